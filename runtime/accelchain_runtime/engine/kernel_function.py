# SPDX-License-Identifier: Apache-2.0
"""A function that is one OpenCL kernel and needs no Python (``kernel:`` in the manifest)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, InputError, SetupContext, TensorSpec
from accelchain_runtime.registry import FunctionFolder


class KernelFunction:
    """Launches the kernel once a frame.

    Arguments in order: every input buffer, every output buffer, ``int height, int width, int channels`` of the first
    input, then the parameters (integer and boolean as int, number as float).
    """

    def __init__(self, function: FunctionFolder, kernel: Mapping[str, Any]) -> None:
        self._function = function
        self._declaration = kernel
        self._device: Any = None
        self._kernel: Any = None
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._global_size: tuple[int, ...] = ()

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Build the kernel.

        Raises:
            InputError: the file is missing or does not compile, the chain has no input for a port, or a parameter
                is a string.
        """
        self._inputs = [port["name"] for port in self._function.inputs]
        self._outputs = [port["name"] for port in self._function.outputs]
        for name in self._inputs:
            if name not in context.inputs:
                raise InputError(f"{context.name}: input {name} is open; a kernel needs all its inputs.")
        if not self._inputs or not self._outputs:
            raise InputError(f"{context.name}: a kernel without Python needs at least one input and one output.")
        outputs = output_specs(self._function, context)
        file = context.folder / self._declaration["file"]
        try:
            source = f'#line 1 "{file.name}"\n{file.read_text(encoding="utf-8")}'  # what the compiler's words refer to
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise InputError(f"{context.name}: kernel file {file} can't be read: {reason}.") from error
        device = self._device = context.device
        self._kernel = device.kernel(device.build(source, (), context.cache), self._declaration["name"])
        height, width, channels = picture_shape(context.inputs[self._inputs[0]], context.name)
        values = [_argument(name, value, context.name) for name, value in context.parameters.items()]
        buffers = [None] * (len(self._inputs) + len(self._outputs))
        try:
            self._kernel.set_args(*buffers, *map(np.int32, (height, width, channels)), *values)
        except Exception as error:  # the device API's own error class: a wrong number of arguments
            raise InputError(
                f"{context.name}: kernel {self._declaration['name']} must take {len(buffers)} buffers, int height, "
                f"int width, int channels and {len(values)} parameters: {error}."
            ) from error
        self._global_size = work_size(
            self._declaration.get("workItems", "elements"), outputs[self._outputs[0]], context.name
        )
        return outputs

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Launch the kernel for one frame."""
        kernel, index = self._kernel, 0
        for name in self._inputs:
            kernel.set_arg(index, inputs[name].device)
            index += 1
        for name in self._outputs:
            kernel.set_arg(index, outputs[name].device)
            index += 1
        event: Event = self._device.launch(queue, kernel, self._global_size, None, wait_for)
        return event

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Drop the kernel."""
        self._kernel = None


def output_specs(function: FunctionFolder, context: SetupContext) -> dict[str, TensorSpec]:
    """Return what the outputs carry: the first input's shape, but for what the manifest fixes.

    Raises:
        InputError: a shape names a parameter without a whole number, or its rank is not the first input's.
    """
    first = context.inputs[function.inputs[0]["name"]]
    names: dict[str, int] = {}
    for port in function.inputs:
        spec = context.inputs[port["name"]]
        names |= {
            str(name): size
            for name, size in zip(port.get("shape") or (), spec.shape, strict=False)
            if isinstance(name, str)
        }
    outputs = {}
    for port in function.outputs:
        shape = port.get("shape") or list(first.shape)
        sizes: list[int] = []
        for position, dimension in enumerate(shape):
            size = _dimension(dimension, position, first, names, context.parameters)
            if size is None:
                raise InputError(f"{context.name}: size {dimension} of output {port['name']} is not known.")
            sizes.append(size)
        outputs[port["name"]] = TensorSpec(tuple(sizes), port.get("dtype", first.dtype))
    return outputs


def _dimension(
    dimension: int | str, position: int, first: TensorSpec, names: Mapping[str, int], parameters: Mapping[str, Any]
) -> int | None:
    if isinstance(dimension, int):
        return dimension
    if dimension.startswith("$"):
        value = parameters.get(dimension[1:])
        return value if isinstance(value, int) and value > 0 else None
    if dimension in names:
        return names[dimension]
    return first.shape[position] if position < len(first.shape) else None


def picture_shape(spec: TensorSpec, function: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of a tensor of one to three dimensions.

    Raises:
        InputError: it has more.
    """
    if not 1 <= len(spec.shape) <= 3:
        raise InputError(f"{function}: a kernel without Python takes one to three dimensions, not {list(spec.shape)}.")
    if len(spec.shape) == 1:
        return 1, spec.shape[0], 1
    height, width, *channels = spec.shape
    return height, width, channels[0] if channels else 1


def work_size(items: str, output: TensorSpec, function: str) -> tuple[int, ...]:
    """Return the kernel's global size for ``elements``, ``pixels`` (x, y) or ``rows`` of the output."""
    height, width, _ = picture_shape(output, function)
    if items == "rows":
        return (height,)
    if items == "pixels":
        return (width, height)
    return (prod(output.shape),)


def _argument(name: str, value: Any, function: str) -> Any:
    if isinstance(value, bool | int):
        return np.int32(value)
    if isinstance(value, float):
        return np.float32(value)
    raise InputError(f"{function}: parameter {name} is a string, which a kernel can't take.", parameter=name)
