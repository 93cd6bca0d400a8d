# SPDX-License-Identifier: Apache-2.0
"""Bodies that run the worker's own host implementation of a function, in this process, on whole streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelchain.hera.errors import CompositionError
from accelchain.hera.values import Origin, Stream

if TYPE_CHECKING:
    from accelchain_runtime.engine.function import Function, TensorSpec


@dataclass(slots=True)
class _Array:
    """A frame's bytes as a host function sees them."""

    spec: TensorSpec
    array: NDArray[Any]
    device: Any = None


def run_hosted(function: str, inputs: Mapping[str, Stream], **parameters: Any) -> tuple[dict[str, Any], Origin]:
    """Run a function on streams, as a worker does on its host, and publish what it makes.

    Args:
        function: name of a built-in function that has a host implementation.
        inputs: streams by the name of the port; frames of equal number belong together.
        parameters: of the function; None where not given.

    Returns:
        Arrays [frames, *shape] by the name of the output port, and what the source said of the frames.

    Raises:
        CompositionError: the worker's packages (``accelchain[cpu]``) are not installed.
        accelchain_runtime.engine.function.InputError: the input is wrong; the message says what to do.
    """
    try:
        from accelchain_runtime.devices.base import HostDevice
        from accelchain_runtime.engine.function import SetupContext, TensorSpec
        from accelchain_runtime.engine.loader import load_class
        from accelchain_runtime.registry import find

        folder = next(found for found in find() if found.name == function)
        implementation = next(i for i in folder.spec["implementations"] if i["api"] == "host")
        made: Function = load_class(folder, implementation)()
    except ImportError as error:
        raise CompositionError(
            f"'{function}' runs here only with the worker's packages ({error}): pip install 'accelchain[cpu]'."
        ) from error
    defaults = {p["name"]: p["default"] for p in folder.parameters if "default" in p}
    given = {name: value for name, value in parameters.items() if value is not None}
    origin = next((stream.origin for stream in inputs.values() if stream.origin is not None), None)
    context = SetupContext(
        name=function,
        parameters=defaults | given,
        inputs={name: TensorSpec(stream.shape[1:], stream.dtype.name) for name, stream in inputs.items()},
        device=HostDevice(),
        folder=folder.folder,
        source_size=origin.size if origin is not None else (0, 0),
        source_rate=_rate(origin),
    )
    finished = False
    try:
        outputs, origin = _frames(made, made.setup(context), inputs, origin)
        made.finish()
        if (publish := getattr(made, "publish", None)) is not None:
            publish()
        finished = True
    finally:
        made.close(discard=not finished)
    return outputs, origin


def _frames(
    made: Function, specs: Mapping[str, TensorSpec], inputs: Mapping[str, Stream], origin: Origin | None
) -> tuple[dict[str, Any], Origin]:
    from accelchain_runtime.engine.function import EndOfStream, FrameInfo, TensorSpec

    frames: dict[str, list[NDArray[Any]]] = {name: [] for name in specs}
    times: list[float] = []
    number, count = 0, min((len(stream) for stream in inputs.values()), default=None)
    info = FrameInfo(0, 0.0, origin.size if origin is not None else (0, 0))
    while count is None or number < count:
        info = replace(info, number=number, time=_time(origin, number))
        read = {n: _Array(TensorSpec(s.shape[1:], s.dtype.name), np.asarray(s[number])) for n, s in inputs.items()}
        written = {name: _Array(spec, np.empty(spec.shape, spec.dtype)) for name, spec in specs.items()}
        try:
            made.enqueue(info, read, written, None, ())
        except EndOfStream:
            break
        for name, output in written.items():
            frames[name].append(output.array)
        times.append(info.time)
        number += 1
    outputs = {
        name: np.stack(arrays) if arrays else np.empty((0, *specs[name].shape), specs[name].dtype)
        for name, arrays in frames.items()
    }
    return outputs, origin or Origin(info.source_size, tuple(times))


def _time(origin: Origin | None, number: int) -> float:
    return origin.times[number] if origin is not None and number < len(origin.times) else 0.0


def _rate(origin: Origin | None) -> float:
    """Return frames a second, 0 where it is not known."""
    if origin is None or len(origin.times) < 2 or origin.times[-1] <= origin.times[0]:
        return 0.0
    return (len(origin.times) - 1) / (origin.times[-1] - origin.times[0])
