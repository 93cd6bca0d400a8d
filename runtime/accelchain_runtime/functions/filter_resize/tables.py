# SPDX-License-Identifier: Apache-2.0
"""Where a scaled picture reads its source, and with which weights: computed once, used by every frame.

Bilinear with half-pixel centres, as OpenCV's INTER_LINEAR: output pixel i lies at ``(i + 0.5) * source / target - 0.5``
of the source, held inside the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
Floats = NDArray[Any]


def positions(source: int, target: int) -> tuple[Integers, Floats]:
    """Where each of ``target`` pixels lies on ``source`` pixels.

    Returns:
        The pixel to the left of (or above) each position, int32 [target], and the fraction of the way to the next one,
        float64 [target], which is 0 on the last pixel.
    """
    where = (np.arange(target) + 0.5) * (source / target) - 0.5
    where = np.clip(where, 0, source - 1)
    left = np.floor(where).astype(np.int32)
    return left, where - left


def mirrored(index: Integers, size: int) -> Integers:
    """Mirror indices beside 0..size-1 without repeating the edge (OpenCV's BORDER_REFLECT_101)."""
    index = np.where(index < 0, -index, index)
    index = np.where(index >= size, 2 * size - 2 - index, index)
    return np.clip(index, 0, size - 1).astype(np.int32)


def row_tables(source: int, target: int, gaussian: bool) -> tuple[Integers, NDArray[np.uint16]]:
    """Source rows that make up an output row, and their weights.

    Args:
        source: height of the source in pixels.
        target: height of the output in pixels.
        gaussian: fold the vertical part (1/4, 1/2, 1/4) of a Gaussian in, so that four rows are blended, not two.

    Returns:
        Row indices int32 [target, taps] and weights uint16 [target, taps] in 1/65536 (1 is written as 65535).
    """
    above, fraction = positions(source, target)
    if gaussian:
        index = np.stack([mirrored(above + step, source) for step in (-1, 0, 1, 2)], axis=1)
        kernel = np.array([[1, 2, 1, 0], [0, 1, 2, 1]]) / 4
        weight = (1 - fraction)[:, None] * kernel[0] + fraction[:, None] * kernel[1]
    else:
        index = np.stack([above, np.minimum(above + 1, source - 1)], axis=1)
        weight = np.stack([1 - fraction, fraction], axis=1)
    return index.astype(np.int32), fractions(weight)


def column_tables(source: int, target: int) -> tuple[Integers, NDArray[np.uint16]]:
    """Source columns of an output row, and their weights.

    Returns:
        Offset in bytes of the left source pixel, int32 [target], and the weights of the left and the right one, each
        repeated for four channels, uint16 [2, 4 * target] in 1/65536 (1 is written as 65535).
    """
    left, fraction = positions(source, target)
    return (3 * left).astype(np.int32), fractions(np.repeat([1 - fraction, fraction], 4, axis=1))


def fractions(weight: Floats) -> NDArray[np.uint16]:
    """Weights 0..1 as 16-bit fractions; 1 becomes 65535, which costs 1/256 of a grey level."""
    return np.minimum(np.round(weight * 65536), 65535).astype(np.uint16)
