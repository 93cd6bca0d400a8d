# SPDX-License-Identifier: Apache-2.0
"""From the network's raw outputs to boxes: anchors, decoding, threshold, non-maximum suppression. Pure numpy.

The kernel in ``boxes.cl`` does the same arithmetic in the same order; this is its oracle and the host implementation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_DETECTIONS = 100
COLUMNS = 6
"""x1, y1, x2, y2 in pixels of the source picture, score, class."""
PERSON_COLUMN = 1
"""Column of the network's classes output that holds the logit of "person"."""
PERSON_CLASS = 0
"""Class index in detections."""

_MAP_SIZES = (19, 10, 5, 3, 2, 1)
_SCALES = np.linspace(0.2, 0.95, len(_MAP_SIZES))
_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_CENTRE_SCALE, _SIZE_SCALE = 0.1, 0.2
"""How the network's numbers were scaled when it was trained (TF object detection: 10, 10, 5, 5)."""


def anchors() -> Floats:
    """The SSD's default boxes.

    Returns:
        float32 [1917, 4]: centre y, centre x, height, width as fractions of the picture, in the order of the outputs.
    """
    boxes = []
    for layer, (size, scale) in enumerate(zip(_MAP_SIZES, _SCALES, strict=True)):
        if layer == 0:
            kinds = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            following = _SCALES[layer + 1] if layer + 1 < len(_SCALES) else 1.0
            kinds = [(scale, ratio) for ratio in _RATIOS] + [(math.sqrt(scale * following), 1.0)]
        for y in range(size):
            for x in range(size):
                for s, ratio in kinds:
                    root = math.sqrt(ratio)
                    boxes.append(((y + 0.5) / size, (x + 0.5) / size, s / root, s * root))
    return np.array(boxes, np.float32)


def logit(score: float) -> float:
    """The number whose sigmoid is ``score``; infinite at 0 and 1."""
    if score <= 0:
        return -math.inf
    return math.inf if score >= 1 else math.log(score / (1 - score))


def decode(
    boxes: Floats, classes: Floats, anchor: Floats, threshold: float, iou: float, source_size: tuple[int, int]
) -> Floats:
    """Turn raw outputs into detections.

    Boxes are cut at the picture's edges before they are compared; a box with nothing left is dropped.

    Args:
        boxes: float32 [1917, 4], offsets ty, tx, th, tw from the anchors.
        classes: float32 [1917, 2], logits; column 1 is "person".
        anchor: what ``anchors()`` returns.
        threshold: least score, 0..1.
        iou: a box that overlaps a better one by more than this (intersection over union) is dropped.
        source_size: (width, height) in pixels of the picture that coordinates refer to.

    Returns:
        float32 [100, 6], sorted by score, zero after the last detection.
    """
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # a wild number gives an infinite or an empty box, which is right
        return _decode(boxes, classes[:, PERSON_COLUMN], anchor, threshold, iou, source_size)


def _decode(
    boxes: Floats, person: Floats, anchor: Floats, threshold: float, iou: float, source_size: tuple[int, int]
) -> Floats:
    chosen = np.flatnonzero(person >= np.float32(logit(threshold)))
    chosen = chosen[np.argsort(-person[chosen], kind="stable")]
    corners = _corners(boxes[chosen], anchor[chosen])
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    alive = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    found = np.zeros((MAX_DETECTIONS, COLUMNS), np.float32)
    width, height = source_size
    for row in found:
        left = np.flatnonzero(alive)
        if not len(left):
            break
        best = left[0]
        row[:4] = corners[best] * np.array([width, height, width, height], np.float32)
        row[4] = 1 / (1 + np.exp(-person[chosen[best]]))
        row[5] = PERSON_CLASS
        alive[best] = False
        rest = left[1:]
        size = np.minimum(corners[best, 2:], corners[rest, 2:]) - np.maximum(corners[best, :2], corners[rest, :2])
        common = np.maximum(size[:, 0], 0) * np.maximum(size[:, 1], 0)
        alive[rest] = common <= iou * (area[best] + area[rest] - common)
    return found


def _corners(offsets: Floats, anchor: Floats) -> Floats:
    """x1, y1, x2, y2 as fractions of the picture, held inside it."""
    centre = offsets[:, :2] * np.float32(_CENTRE_SCALE) * anchor[:, 2:] + anchor[:, :2]
    half = np.exp(offsets[:, 2:] * np.float32(_SIZE_SCALE)) * anchor[:, 2:] / 2
    y1, x1 = (centre - half).T
    y2, x2 = (centre + half).T
    corners: Floats = np.clip(np.stack([x1, y1, x2, y2], axis=1), 0, 1)
    return corners
