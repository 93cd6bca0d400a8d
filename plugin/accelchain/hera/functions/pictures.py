# SPDX-License-Identifier: Apache-2.0
"""filter-resize in numpy: what the kernels do, within one grey level."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Filter = Literal["none", "gaussian", "median", "sharpen"]
Pictures = NDArray[Any]

_CROSS = ((0, 1), (1, 0), (1, 2), (2, 1))


def filtered(pictures: Pictures, name: Filter) -> Pictures:
    """Filter pictures by 3 x 3 pixels.

    Args:
        pictures: uint8 [frames, height, width, 3].
        name: the filter. Beside the picture Gauss and sharpen mirror it without its edge, median repeats the edge.

    Returns:
        float32 or uint8 of the same shape, grey levels.
    """
    if name == "none":
        return pictures
    _, height, width, _ = pictures.shape
    around = _around(pictures, name)
    taps = {(y, x): around[:, y : y + height, x : x + width] for y in range(3) for x in range(3)}
    if name == "median":
        return np.asarray(np.median(np.stack(list(taps.values())), axis=0))
    if name == "gaussian":
        weights = (1, 2, 1)
        return np.asarray(np.sum([taps[y, x] * np.float32(weights[y] * weights[x] / 16) for y, x in taps], axis=0))
    cross = np.sum([taps[place].astype(np.int16) for place in _CROSS], axis=0)
    return np.asarray(np.clip(taps[1, 1].astype(np.int16) * 5 - cross, 0, 255))


def scaled(pictures: Pictures, height: int, width: int) -> Pictures:
    """Scale pictures, bilinear with half-pixel centres.

    Args:
        pictures: [frames, height, width, 3], grey levels.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        uint8 [frames, height, width, 3].
    """
    top, down = _positions(pictures.shape[1], height)
    left, right = _positions(pictures.shape[2], width)
    below = np.minimum(top + 1, pictures.shape[1] - 1)
    beside = np.minimum(left + 1, pictures.shape[2] - 1)
    weight = down[:, None, None]
    rows = pictures[:, top] * (1 - weight) + pictures[:, below] * weight
    weight = right[:, None]
    return np.rint(rows[:, :, left] * (1 - weight) + rows[:, :, beside] * weight).astype(np.uint8)


def _around(pictures: Pictures, name: Filter) -> Pictures:
    """Return pictures with one more pixel at each side; a side of one pixel can only be repeated."""
    result = pictures
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        result = np.pad(result, pad, mode="edge" if name == "median" or pictures.shape[axis] == 1 else "reflect")
    return result


def _positions(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the pixel before each of ``target`` pixels, and the fraction of the way to the next one."""
    where = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    before = np.floor(where).astype(np.intp)
    return before, (where - before).astype(np.float32)
