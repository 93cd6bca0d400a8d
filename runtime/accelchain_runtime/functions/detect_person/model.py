# SPDX-License-Identifier: Apache-2.0
"""The network as a list of convolutions, with everything else folded into them.

The detector is MobileNetV2-SSDLite: after folding, a layer is a convolution (1x1, depthwise 3x3, or the 3x3 stem) with
a bias, a clamp and at most one residual input. Ends of the graph write side by side into one of the network's outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

INPUT_SIZE = 300
"""Width and height in pixels of the picture that the network takes."""
UNBOUNDED = 3e38
"""Clamp limit of a layer without activation."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A layer without its numbers: what it reads, what it does, where its result goes."""

    index: int
    kind: Literal["pointwise", "depthwise", "stem"]
    source: int | None
    """Index of the layer whose map is read; None: the picture."""
    size: int
    """Edge length of the map that is read, pixels."""
    inputs: int
    """Channels of the map that is read."""
    out_size: int
    """Edge length of the map that is made, pixels."""
    outputs: int
    """Channels of the map that is made."""
    stride: int
    pad: int
    """Zero pixels to the left of and above the map; what lies to the right and below follows from the sizes."""
    low: float
    high: float
    residual: int | None = None
    """Index of the layer whose map is added after the clamp."""
    head: int | None = None
    """Index of the network's output that this layer writes to; None: its map is read by other layers."""
    offset: int = 0
    """First number of that output which this layer writes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: ``weight`` float32 [outputs, 3 * 3 * inputs or inputs] (row, column, channel), ``bias`` [outputs].

    A depthwise layer's weight is [outputs, 9].
    """

    shape: Shape
    weight: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in the order of execution, and the shapes of the outputs: boxes [anchors, 4], classes [anchors, 2]."""

    layers: Sequence[Layer]
    outputs: Sequence[tuple[int, ...]]

    def readers(self) -> dict[int, list[Layer]]:
        """Layers that read the map of each layer, as input or as residual."""
        found: dict[int, list[Layer]] = {layer.shape.index: [] for layer in self.layers}
        for layer in self.layers:
            for source in (layer.shape.source, layer.shape.residual):
                if source is not None:
                    found[source].append(layer)
        return found


def blocks(network: Network) -> list[list[Layer]]:
    """Group layers that one launch can do: [expand,] depthwise, project. Everything else stays alone.

    A map inside a group is read by nobody else, so it never needs to exist as a whole.

    Returns:
        Groups in the order of execution; every layer is in exactly one.
    """
    readers, taken, groups = network.readers(), set[int](), list[list[Layer]]()
    for layer in network.layers:
        if layer.shape.index in taken:
            continue
        chain = [layer]
        while len(chain) < 3 and len(readers[chain[-1].shape.index]) == 1:
            chain += readers[chain[-1].shape.index]
        kinds = [link.shape.kind for link in chain]
        if kinds[0] != "depthwise" and kinds[1:] == ["depthwise", "pointwise"]:
            length = 3
        elif kinds[:2] == ["depthwise", "pointwise"]:
            length = 2
        else:
            length = 1
        groups.append(chain[:length])
        taken.update(link.shape.index for link in chain[:length])
    return groups
