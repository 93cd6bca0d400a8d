# SPDX-License-Identifier: Apache-2.0
"""filter-resize against OpenCV, and its two kernels against each other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelchain_runtime.engine.function import InputError, TensorSpec
from accelchain_runtime.functions.filter_resize.opencl import FILTERS, FilterResize

SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
OPENCV: dict[str, Any] = {
    "none": lambda picture: picture,
    "gaussian": lambda picture: cv2.GaussianBlur(picture, (3, 3), 0),
    "median": lambda picture: cv2.medianBlur(picture, 3),
    "sharpen": lambda picture: cv2.filter2D(picture, -1, SHARPEN),
}
# (source height, source width, height, width): down, up, odd, one way each, extreme ratios, tiny pictures
SIZES = [
    (576, 768, 300, 300),
    (48, 64, 300, 300),
    (241, 317, 97, 133),
    (200, 60, 50, 260),
    (1080, 1920, 16, 16),
    (16, 3000, 700, 17),
    (1, 1, 16, 16),
    (1, 40, 16, 24),
    (40, 2, 24, 16),
    (3, 3, 31, 29),
    (300, 300, 300, 300),
]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def worst(got: np.ndarray, wanted: np.ndarray) -> int:
    return int(np.abs(got.astype(int) - wanted).max())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{1}x{0}-{3}x{2}".format(*size))
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("kernel", ["rows", "pixels"])
def test_within_one_grey_level_of_opencv(start: Any, kernel: Any, name: str, size: tuple[int, ...]) -> None:
    height, width, out_height, out_width = size
    source = picture(height, width)
    run = start(
        FilterResize(kernel), "filter-resize", frames=source.shape, width=out_width, height=out_height, filter=name
    )
    assert run.outputs == {"frames": TensorSpec((out_height, out_width, 3))}
    wanted = cv2.resize(OPENCV[name](source), (out_width, out_height), interpolation=cv2.INTER_LINEAR)
    assert worst(run(source), wanted) <= 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    name=st.sampled_from(list(FILTERS)),
)
def test_both_kernels_are_equal_bit_by_bit(start: Any, source: Any, target: Any, name: str) -> None:
    frame = picture(*source)
    results = [
        start(
            FilterResize(kernel), "filter-resize", frames=frame.shape, width=target[1], height=target[0], filter=name
        )(frame)
        for kernel in ("rows", "pixels")
    ]
    np.testing.assert_array_equal(*results)


def test_same_size_without_filter_changes_nothing(start: Any) -> None:
    frame = picture(64, 80)
    np.testing.assert_array_equal(
        start(FilterResize(), "filter-resize", frames=frame.shape, width=80, height=64)(frame), frame
    )


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("name", FILTERS)
def test_a_flat_picture_stays_flat(start: Any, name: str, value: int) -> None:
    frame = np.full((37, 53, 3), value, np.uint8)
    run = start(FilterResize(), "filter-resize", frames=frame.shape, width=71, height=19, filter=name)
    assert np.unique(run(frame)).tolist() == [value]


def test_frames_in_flight_keep_apart(start: Any) -> None:
    frames = [picture(90, 120) // (i + 1) for i in range(6)]
    run = start(FilterResize(), "filter-resize", frames=frames[0].shape, width=50, height=40, filter="gaussian")
    enqueued = [run.enqueue({"frames": run.slot(frame)}, (120, 90)) for frame in frames]
    for frame, (outputs, events) in zip(frames, enqueued, strict=True):
        np.testing.assert_array_equal(run.read(outputs["frames"], events), run(frame))


@pytest.mark.parametrize(
    ("frames", "parameters", "field", "words"),
    [
        ((30, 40), {}, None, r"uint8 \[height, width, 3\]"),
        ((30, 40, 4), {}, None, r"uint8 \[height, width, 3\]"),
        ((30, 40, 3), {"width": 15}, "width", "from 16 to 8192"),
        ((30, 40, 3), {"height": 8193}, "height", "from 16 to 8192"),
        ((30, 40, 3), {"width": True}, "width", "from 16 to 8192"),
        ((30, 40, 3), {"filter": "blur"}, "filter", "none, gaussian, median, sharpen"),
    ],
)
def test_refuses_wrong_input(start: Any, frames: Any, parameters: Any, field: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        start(FilterResize(), "filter-resize", frames=frames, **({"width": 32, "height": 32} | parameters))
    assert error.value.parameter == field
