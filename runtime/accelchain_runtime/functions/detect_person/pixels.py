# SPDX-License-Identifier: Apache-2.0
"""The network for GPUs and FPGAs: pixels.cl. A layer is one launch of many small work items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer, Kernel, Program
from accelchain_runtime.functions.detect_person.model import Layer, Network, Shape, blocks
from accelchain_runtime.functions.detect_person.steps import Launch, Memory, Step

_PIXELS = 4
"""PIXELS of pixels.cl."""
_PICTURE_ARGUMENT = 2
"""Index of ``picture`` among the arguments of the kernel ``stem``."""


class Pixels:
    """Lays the network out for pixels.cl."""

    lanes = 64

    def __init__(self, device: Device, folder: Path, cache: Path | None, memory: Memory) -> None:
        """Compile the kernels."""
        self._device, self._memory = device, memory
        source = (folder / "pixels.cl").read_text(encoding="utf-8")
        self._program: Program = device.build(source, ["-cl-fast-relaxed-math"], cache)

    def steps(self, network: Network) -> list[Step]:
        """Upload the weights and return the launches in the order of execution."""
        groups = blocks(network)
        # Two maps inside a block, one after the other; heads run beside the backbone, so they have their own.
        inner = max(layer.shape.out_size**2 * layer.shape.outputs for group in groups for layer in group[:-1])
        scratch = {head: [self._memory.floats(inner) for _ in range(2)] for head in (False, True)}
        return [self._step(group, scratch[group[-1].shape.head is not None]) for group in groups]

    def _step(self, group: Sequence[Layer], scratch: Sequence[DeviceBuffer]) -> Step:
        launches, source = [], self._memory.source(group[0])
        for position, layer in enumerate(group):
            out = self._memory.map(layer) if layer is group[-1] else scratch[position]
            launches.append(self._launch(layer, source, out))
            source = out
        return Step.of(group, launches, _PICTURE_ARGUMENT)

    def _launch(self, layer: Layer, source: DeviceBuffer | None, out: DeviceBuffer) -> Launch:
        shape = layer.shape
        kernel = self._device.kernel(self._program, shape.kind)
        quads = -(-shape.outputs // 4)
        if shape.kind == "pointwise":
            self._set_pointwise(kernel, layer, source, out)
            return Launch(kernel, (quads, -(-(shape.out_size**2) // _PIXELS)))
        if shape.outputs % 4 or shape.residual is not None or shape.head is not None:
            raise ValueError(f"layer {shape.index} ({shape.kind}): no kernel does it")
        numbers = (shape.outputs, shape.size, shape.out_size, shape.stride, shape.pad)
        kernel.set_args(
            self._memory.upload(layer.weight.T),
            self._memory.upload(layer.bias),
            source,
            out,
            *map(np.int32, numbers),
            *_limits(shape),
        )
        return Launch(kernel, (quads, shape.out_size, shape.out_size))

    def _set_pointwise(self, kernel: Kernel, layer: Layer, source: DeviceBuffer | None, out: DeviceBuffer) -> None:
        shape = layer.shape
        padding = -shape.outputs % 4
        weight: Array = np.pad(layer.weight, ((0, padding), (0, 0)))
        has_residual = shape.residual is not None
        kernel.set_args(
            self._memory.upload(weight.T),
            self._memory.upload(np.pad(layer.bias, (0, padding))),
            source,
            source if shape.residual is None else self._memory.made(shape.residual),
            out,
            *map(np.int32, (has_residual, shape.offset, shape.outputs, shape.inputs, shape.out_size**2)),
            *_limits(shape),
        )


def _limits(shape: Shape) -> tuple[np.float32, np.float32]:
    return np.float32(shape.low), np.float32(shape.high)
