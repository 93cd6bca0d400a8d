# SPDX-License-Identifier: Apache-2.0
"""Outside of a chain an accelerated function is a plain function."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from accelchain.hera import Detections, Frames, Origin, PortType, Stream, accelerated
from accelchain.hera.functions import (
    copy,
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)
from accelchain.hera.functions.pictures import Filter

PEOPLE = Path(__file__).parents[2] / "pipelines" / "person-detection" / "people.mp4"
SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


@accelerated("invert")
def invert(frames: Frames, by: int = 255) -> Frames:
    """Invert pictures."""
    return Frames(by - np.asarray(frames))


def pictures(*shape: int) -> Frames:
    return Frames(np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_the_body_runs_on_arrays() -> None:
    source = pictures(2, 4, 6)
    result = invert(source, by=200)
    assert isinstance(result, Frames)
    assert np.array_equal(np.asarray(result), 200 - np.asarray(source))
    assert np.array_equal(source >> invert >> invert, source)
    assert invert.__doc__ == "Invert pictures."
    assert invert.body(source) is not None


def test_arrays_of_numpy_are_taken_too() -> None:
    assert invert(np.zeros((1, 2, 2, 3), np.uint8)).max() == 255  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Frames are uint8 \[frames, height, width, 3\], not uint8 \[2, 2, 3\]"):
        invert(np.zeros((2, 2, 3), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not float64"):
        invert(np.zeros((1, 2, 2, 3)))  # type: ignore[arg-type]


def test_what_the_source_said_travels_along() -> None:
    origin = Origin((1920, 1080), (0.0, 0.5))
    small = invert(filter_resize(Frames(np.zeros((2, 8, 8, 3), np.uint8), origin), width=16, height=16))
    assert small.origin == origin
    assert invert(pictures(1, 4, 6)).origin == Origin((6, 4), (0.0,))


def test_a_port_type_of_ones_own() -> None:
    class Depth(Stream):
        port = PortType("depth", "float32", ("height", "width"))

    @accelerated("depth")
    def depth(frames: Frames) -> Depth:
        return Depth(np.asarray(frames, np.float32).mean(axis=3))

    assert depth(pictures(2, 4, 6)).shape == (2, 4, 6)


@pytest.mark.parametrize("size", [(48, 64, 30, 41), (31, 17, 64, 64), (1, 20, 16, 16)])
@pytest.mark.parametrize("name", ["none", "gaussian", "median", "sharpen"])
def test_filter_resize_is_within_a_grey_level_of_opencv(name: Filter, size: tuple[int, int, int, int]) -> None:
    height, width, out_height, out_width = size
    source = pictures(2, height, width)
    got = filter_resize(source, width=out_width, height=out_height, filter=name)
    for picture, result in zip(np.asarray(source), np.asarray(got), strict=True):
        blurred = {
            "none": lambda p=picture: p,
            "gaussian": lambda p=picture: cv2.GaussianBlur(p, (3, 3), 0),
            "median": lambda p=picture: cv2.medianBlur(p, 3),
            "sharpen": lambda p=picture: cv2.filter2D(p, -1, SHARPEN),
        }[name]()
        wanted = cv2.resize(blurred, (out_width, out_height), interpolation=cv2.INTER_LINEAR)
        assert np.abs(result.astype(int) - wanted).max() <= 1


def test_the_whole_demo_without_a_cluster(tmp_path: Path) -> None:
    frames = decode_video(PEOPLE.as_uri(), frames=3)
    found = detect_person(filter_resize(frames, width=300, height=300), threshold=0.6)
    encode_video(draw_boxes(copy(frames), found), uri=(tmp_path / "a.mp4").as_uri())
    write_detections(found, uri=(tmp_path / "a.jsonl").as_uri())

    assert decode_video((tmp_path / "a.mp4").as_uri()).shape == frames.shape
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    boxes = np.array([d["box"] for d in lines[0]["detections"]])
    assert len(boxes) == 2
    assert boxes[:, 2].max() > 300  # pixels of the source picture, not of the scaled one


def test_a_sink_that_fails_leaves_no_file(tmp_path: Path) -> None:
    broken = Detections(np.zeros((1, 100, 6), np.float32), Origin((4, 4), (0.0,)))
    with pytest.raises(Exception, match=r"no/such"):
        write_detections(broken, uri=(tmp_path / "no/such/a.jsonl").as_uri())
    assert list(tmp_path.iterdir()) == []
