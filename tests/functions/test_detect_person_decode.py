# SPDX-License-Identifier: Apache-2.0
"""From raw outputs to boxes, on cases small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelchain_runtime.functions.detect_person.decode import anchors, decode, logit

SQUARE = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)  # centre y, centre x, height, width
STILL = np.zeros((1, 4), np.float32)


def scores(*values: float) -> np.ndarray:
    """A classes output whose persons have these scores."""
    return np.array([[0, logit(value)] for value in values], np.float32)


def test_anchors_are_those_of_the_ssd() -> None:
    table = anchors()
    assert table.shape == (1917, 4)
    root = math.sqrt(2)
    np.testing.assert_allclose(
        table[:3],
        [
            [0.5 / 19, 0.5 / 19, 0.1, 0.1],
            [0.5 / 19, 0.5 / 19, 0.2 / root, 0.2 * root],
            [0.5 / 19, 0.5 / 19, 0.2 * root, 0.2 / root],
        ],
        rtol=1e-6,
    )
    np.testing.assert_allclose(table[3, :2], [0.5 / 19, 1.5 / 19], rtol=1e-6)  # x runs before y
    np.testing.assert_allclose(table[-1], [0.5, 0.5, math.sqrt(0.95), math.sqrt(0.95)], rtol=1e-6)


def test_an_unmoved_box_is_its_anchor_in_pixels_of_the_source() -> None:
    detections = decode(STILL, scores(0.9), SQUARE, 0.5, 0.5, (200, 100))
    np.testing.assert_allclose(detections[0], [60, 40, 140, 60, 0.9, 0], rtol=1e-5)
    assert not detections[1:].any()


def test_offsets_move_by_tenths_and_scale_by_fifths() -> None:
    offsets = np.array([[10 * 0.5, 10 * 0.25, 5 * math.log(2), 5 * math.log(0.5)]], np.float32)
    detections = decode(offsets, scores(0.9), SQUARE, 0.5, 0.5, (1000, 1000))
    np.testing.assert_allclose(detections[0, :4], [500, 400, 700, 800], rtol=1e-5)


def test_boxes_are_cut_at_the_edge_and_dropped_outside() -> None:
    anchor = np.array([[0, 0, 0.2, 0.2], [2, 2, 0.2, 0.2]], np.float32)
    detections = decode(np.zeros((2, 4), np.float32), scores(0.8, 0.9), anchor, 0.5, 0.5, (100, 100))
    np.testing.assert_allclose(detections[0], [0, 0, 10, 10, 0.8, 0], rtol=1e-5)
    assert not detections[1:].any()


def test_of_overlapping_boxes_the_best_stays() -> None:
    # The second covers three quarters of the first's place (IoU 0.6), the third touches neither.
    anchor = np.array([[0.5, 0.5, 0.4, 0.4], [0.5, 0.6, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1]], np.float32)
    raw = np.zeros((3, 4), np.float32), scores(0.7, 0.9, 0.6), anchor
    strict, lenient = (decode(*raw, 0.5, iou, (1, 1))[:, 4] for iou in (0.59, 0.61))
    np.testing.assert_allclose(strict[:3], [0.9, 0.6, 0], rtol=1e-5)
    np.testing.assert_allclose(lenient[:4], [0.9, 0.7, 0.6, 0], rtol=1e-5)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 3), (0.3, 2), (0.6, 1), (1.0, 0)])
def test_threshold_is_the_least_score(threshold: float, count: int) -> None:
    anchor = np.array([[y, 0.5, 0.1, 0.1] for y in (0.2, 0.5, 0.8)], np.float32)
    detections = decode(np.zeros((3, 4), np.float32), scores(0.1, 0.4, 0.8), anchor, threshold, 0.5, (1, 1))
    assert (detections[:, 4] > 0).sum() == count


@given(
    arrays(np.float32, (1917, 4), elements=st.floats(width=32), fill=st.just(np.float32(0))),
    arrays(np.float32, (1917, 2), elements=st.floats(width=32), fill=st.just(np.float32(1))),
)
def test_any_numbers_give_sorted_boxes_inside_the_picture(boxes: np.ndarray, classes: np.ndarray) -> None:
    detections = decode(boxes, classes, anchors(), 0.2, 0.5, (640, 480))
    assert np.isfinite(detections).all()
    assert (np.diff(detections[:, 4]) <= 0).all()
    used = detections[detections[:, 4] > 0]
    assert (used[:, :2] >= 0).all() and (used[:, 2:4] <= [640, 480]).all() and (used[:, :2] < used[:, 2:4]).all()
