# SPDX-License-Identifier: Apache-2.0
"""What the two ways to run the network (rows.py, pixels.py) have in common: device memory and steps of launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer, Kernel
from accelchain_runtime.functions.detect_person.model import Layer, Network

SLACK = 12 * 1280
"""Floats behind a map that a tile of pixels may read and throw away: twelve pixels of the deepest map."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel with its arguments set, and its index space."""

    kernel: Kernel
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The launches that make one map, or one part of an output."""

    launches: Sequence[Launch]
    source: int | None
    """Index of the layer whose map is read; None: the picture."""
    result: int
    """Index of the layer whose map is made."""
    is_head: bool
    """Whether it ends in an output of the network."""
    picture_argument: int | None = None
    """Which argument of the first launch is the picture, if the step reads that."""

    @classmethod
    def of(cls, group: Sequence[Layer], launches: Sequence[Launch], picture_argument: int) -> Step:
        """The step of a group of layers (see ``model.blocks``)."""
        source, last = group[0].shape.source, group[-1].shape
        return cls(launches, source, last.index, last.head is not None, picture_argument if source is None else None)


class Layout(Protocol):
    """A way to run the network on a device."""

    lanes: int
    """Work items that look for boxes together: LANES of boxes.cl."""

    def steps(self, network: Network) -> list[Step]:
        """Upload the weights and return the launches in the order of execution."""


class Memory:
    """Device memory of one detector: maps, outputs, weights, scratch. Kernels don't keep it alive; this does."""

    def __init__(self, device: Device, network: Network) -> None:
        self._device = device
        self._held: list[DeviceBuffer] = []
        self.outputs = [self.floats(int(np.prod(shape))) for shape in network.outputs]
        self._maps: dict[int, DeviceBuffer] = {}

    def map(self, layer: Layer) -> DeviceBuffer:
        """The buffer that a layer writes: a map of its own, or the output that it belongs to."""
        shape = layer.shape
        if shape.head is not None:
            return self.outputs[shape.head]
        if shape.index not in self._maps:
            self._maps[shape.index] = self.floats(shape.out_size**2 * shape.outputs)
        return self._maps[shape.index]

    def source(self, layer: Layer) -> DeviceBuffer | None:
        """The map that a layer reads; None: the picture."""
        return None if layer.shape.source is None else self._maps[layer.shape.source]

    def made(self, index: int) -> DeviceBuffer:
        """The map of the layer ``index``, which an earlier step makes."""
        return self._maps[index]

    def floats(self, count: int) -> DeviceBuffer:
        """Memory for ``count`` floats and the slack behind them."""
        return self.allocate(4 * (count + SLACK))

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Memory that lives as long as this."""
        self._held.append(self._device.allocate(nbytes))
        return self._held[-1]

    def upload(self, array: Array) -> DeviceBuffer:
        """A float32 copy of ``array`` on the device."""
        self._held.append(self._device.upload(np.ascontiguousarray(array, np.float32)))
        return self._held[-1]

    def release(self) -> None:
        """Give everything back."""
        while self._held:
            self._device.release(self._held.pop())
