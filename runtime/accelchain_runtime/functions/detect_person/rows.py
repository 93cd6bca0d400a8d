# SPDX-License-Identifier: Apache-2.0
"""The network for CPUs: rows.cl. A block of layers is one launch, with a band of rows for each core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer, Program
from accelchain_runtime.functions.detect_person.model import Layer, Network, blocks
from accelchain_runtime.functions.detect_person.steps import Launch, Memory, Step

_MOST_BANDS = 16
"""More would spend more on the rows that neighbouring bands both expand than further cores give."""
_TILE_PIXELS = {8: 5, 16: 10}
"""Vector width -> pixels of a tile: two accumulators each, in the 16 registers of AVX2 or the 32 of AVX-512."""
_PICTURE_ARGUMENT = 6
"""Index of ``x`` among the arguments of the kernel ``block``."""
_NOTHING, _POINTWISE, _STEM = 0, 1, 2
"""EXPAND_* of rows.cl."""


class Rows:
    """Lays the network out for rows.cl."""

    lanes = 1

    def __init__(
        self, device: Device, folder: Path, cache: Path | None, memory: Memory, *, narrow: bool = False
    ) -> None:
        """Compile the kernels; ``narrow`` uses vectors of 8 floats even where the device has 16."""
        self._width = 16 if device.vector_width >= 16 and not narrow else 8
        self._tile = _TILE_PIXELS[self._width]
        self._bands = min(device.compute_units, _MOST_BANDS)
        self._device, self._memory = device, memory
        defines = [f"-DV={self._width}", f"-Dvec=float{self._width}", f"-DPT={self._tile}"]
        source = (folder / "rows.cl").read_text(encoding="utf-8")
        self._program: Program = device.build(source, ["-cl-fast-relaxed-math", *defines], cache)

    def steps(self, network: Network) -> list[Step]:
        """Upload the weights and return the launches in the order of execution."""
        groups = blocks(network)
        needed = max(self._share(group[-2]) for group in groups if len(group) > 1)
        # Heads run beside the backbone, so they need scratch memory of their own; they are too small for bands.
        backbone, heads = (self._memory.floats(bands * needed) for bands in (self._bands, 1))
        return [self._single(group[0]) if len(group) == 1 else self._block(group, backbone, heads) for group in groups]

    def _single(self, layer: Layer) -> Step:
        shape = layer.shape
        if shape.kind != "pointwise" or shape.residual is not None or shape.head is not None:
            raise ValueError(f"layer {shape.index} ({shape.kind}) belongs to no block, and stands alone in no kernel")
        kernel = self._device.kernel(self._program, "pointwise")
        kernel.set_args(
            *self._panels(layer),
            self._memory.source(layer),
            self._memory.map(layer),
            *map(np.int32, (shape.outputs, shape.inputs, shape.out_size**2)),
            *map(np.float32, (shape.low, shape.high)),
        )
        panels = -(-shape.outputs // (2 * self._width))
        return Step.of([layer], [Launch(kernel, (panels,), (1,))], _PICTURE_ARGUMENT)

    def _block(self, group: Sequence[Layer], backbone: DeviceBuffer, heads: DeviceBuffer) -> Step:
        first, depth, project = group[0], group[-2], group[-1]
        head = project.shape.head is not None
        self._check(group)
        expand = _NOTHING if first is depth else _STEM if first.shape.kind == "stem" else _POINTWISE
        source = self._memory.source(first)
        depth_weight, depth_bias = self._memory.upload(depth.weight.T), self._memory.upload(depth.bias)
        # Without an expansion its arguments are never read, but a kernel's arguments must all be set.
        expansion = (depth_weight, depth_bias) if expand == _NOTHING else self._panels(first)
        d, p = depth.shape, project.shape
        rows = d.out_size if head else -(-d.out_size // self._bands)
        numbers = (
            expand,
            first.shape.inputs,
            d.outputs,
            p.outputs,
            d.size,
            d.out_size,
            d.stride,
            d.pad,
            rows,
            int(p.residual is not None),
            p.offset,
            self._share(depth),
        )
        kernel = self._device.kernel(self._program, "block")
        kernel.set_args(
            *expansion,
            depth_weight,
            depth_bias,
            *self._panels(project),
            source,
            self._memory.map(project),
            heads if head else backbone,
            *map(np.int32, numbers),
            *map(np.float32, (p.low, p.high)),
        )
        return Step.of(group, [Launch(kernel, (-(-d.out_size // rows),), (1,))], _PICTURE_ARGUMENT)

    def _check(self, group: Sequence[Layer]) -> None:
        """What the kernel ``block`` takes for granted."""
        first, depth, project = group[0].shape, group[-2].shape, group[-1].shape
        if any((layer.shape.low, layer.shape.high) != (0, 6) for layer in group[:-1]):
            raise ValueError(f"block at layer {first.index}: its inner layers must end in ReLU6")
        if project.residual not in (None, first.source):
            raise ValueError(f"block at layer {first.index}: its residual must be its own input")
        if any(layer.shape.outputs % self._width for layer in group[:-1]):
            raise ValueError(f"block at layer {first.index}: channels must be multiples of {self._width}")
        if first.kind == "stem" and (first.stride, first.pad, first.size) != (2, 0, 2 * first.out_size):
            raise ValueError("the stem must halve its picture, with padding to the right and below only")
        if depth.kind != "depthwise":
            raise ValueError(f"layer {depth.index} must be depthwise")

    def _share(self, depth: Layer) -> int:
        """Floats of scratch memory that one band needs: see ``block`` in rows.cl."""
        shape = depth.shape
        picture = 3 * (6 * shape.size + 6) + 16
        return (3 * shape.size + shape.out_size + self._tile) * shape.outputs + picture

    def _panels(self, layer: Layer) -> tuple[DeviceBuffer, DeviceBuffer]:
        """Weights [M, K] as panels [M / 2V][K][2V], padded with zeros to whole vectors; the bias likewise."""
        width = self._width
        weight: Array = np.pad(layer.weight, ((0, -len(layer.weight) % width), (0, 0)))
        panels = [weight[m : m + 2 * width].T.ravel() for m in range(0, len(weight), 2 * width)]
        bias = np.pad(layer.bias, (0, width + -len(layer.bias) % width))
        return self._memory.upload(np.concatenate(panels)), self._memory.upload(bias)
