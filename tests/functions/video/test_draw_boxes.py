# SPDX-License-Identifier: Apache-2.0
"""draw-boxes: boxes where people are, labels that can be read, the source untouched."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from accelchain_runtime.engine.function import FrameInfo, InputError, TensorSpec
from accelchain_runtime.functions.draw_boxes.host import DrawBoxes
from accelchain_runtime.functions.draw_boxes.tags import colour_of, tag

DETECTIONS = TensorSpec((100, 6), "float32")


@pytest.fixture
def draw(context):
    """``draw(rows, size=(width, height), source=(width, height))`` returns the picture before and after."""

    def run(rows, *, size=(320, 240), source=None, **parameters):
        function = DrawBoxes()
        spec = TensorSpec((size[1], size[0], 3))
        assert function.setup(context(parameters, inputs={"frames": spec, "detections": DETECTIONS})) == {
            "frames": spec
        }
        before = np.full(spec.shape, 77, np.uint8)
        before.flags.writeable = False
        detections = np.zeros(DETECTIONS.shape, np.float32)
        if rows:
            detections[: len(rows)] = rows
        after = np.zeros(spec.shape, np.uint8)
        slots = {"frames": SimpleNamespace(array=before), "detections": SimpleNamespace(array=detections)}
        function.enqueue(FrameInfo(0, 0.0, source or size), slots, {"frames": SimpleNamespace(array=after)}, None, ())
        return before, after

    return run


def drawn(before, after):
    """(left, top, right, bottom) of what changed."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_without_detections_the_picture_is_copied(draw):
    before, after = draw([])
    assert np.array_equal(before, after)


def test_a_box_has_its_class_colour_on_four_sides_and_leaves_the_inside(draw):
    _, after = draw([(100, 80, 200, 180, 0.97, 0)])
    for y, x in ((80, 150), (180, 150), (130, 100), (130, 200)):
        assert tuple(after[y, x]) == colour_of(0)
    assert (after[90:170, 110:190] == 77).all()


def test_boxes_are_in_pixels_of_the_source_picture(draw):
    _, after = draw([(400, 320, 800, 720, 0.97, 0)], size=(320, 240), source=(1280, 960))
    for y, x in ((80, 150), (180, 150), (130, 100), (130, 200)):
        assert tuple(after[y, x]) == colour_of(0)


def test_the_label_stands_above_the_box(draw):
    before, after = draw([(100, 80, 200, 180, 0.97, 0)])
    label = tag("person 97 %", colour_of(0), 11)
    left, top, *_ = drawn(before, after)
    assert np.array_equal(after[top : top + label.shape[0], left : left + label.shape[1]], label)
    assert top + label.shape[0] <= 80


def test_labels_say_different_things():
    texts = [tag(text, colour_of(0), 14) for text in ("person 97 %", "person 87 %", "bicycle 97 %")]
    assert len({text.tobytes() for text in texts}) == 3
    darkness = [(text.min(axis=2) < 60).mean() for text in texts]
    assert min(darkness) > 0.05  # letters are there


def test_the_surest_detection_is_on_top(draw):
    _, after = draw([(100, 80, 200, 180, 0.9, 0), (100, 80, 200, 180, 0.5, 1)])
    assert tuple(after[130, 100]) == colour_of(0)


def test_rows_after_the_first_score_of_zero_are_no_detections(draw):
    before, after = draw([(10, 40, 60, 90, 0, 0), (100, 80, 200, 180, 0.9, 0)])
    assert np.array_equal(before, after)


@pytest.mark.parametrize(
    "row",
    [
        (-50, -50, 20, 20, 0.9, 0),
        (300, 200, 900, 900, 0.9, 0),
        (-1e9, -1e9, 1e9, 1e9, 0.9, 0),
        (0, 0, 1, 1, 0.9, 7),
        (319, 239, 320, 240, 0.9, 0),
    ],
)
def test_a_box_that_leaves_the_picture_is_cut(draw, row):
    before, after = draw([row])
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("row", [(np.nan, 0, 9, 9, 0.9, 0), (0, 0, np.inf, 9, 0.9, 0), (50, 50, 40, 40, 0.9, 0)])
def test_what_is_no_box_is_not_drawn(draw, row):
    before, after = draw([row])
    assert np.array_equal(before, after)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (3, 200)])
def test_tiny_pictures_are_no_trouble(draw, size):
    before, after = draw([(0, 0, *size, 0.9, 0)], size=size)
    assert not np.array_equal(before, after)


def test_inputs_of_another_kind_are_refused(context):
    frames = TensorSpec((48, 64, 3))
    for inputs in (
        {"frames": TensorSpec((48, 64)), "detections": DETECTIONS},
        {"frames": frames, "detections": TensorSpec((100, 5), "float32")},
    ):
        with pytest.raises(InputError, match="must be"):
            DrawBoxes().setup(context({}, inputs=inputs))
