# SPDX-License-Identifier: Apache-2.0
"""decode-video from a frame on: the same pictures with the same numbers and times as the whole video has there."""

from __future__ import annotations

import numpy as np
import pytest

from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import parse
from accelchain_runtime.functions.decode_video import resume
from accelchain_runtime.functions.decode_video.opening import open_video


@pytest.fixture
def moving():
    """Sixty pictures that tell each other apart exactly."""
    return list(np.random.default_rng(1).integers(0, 255, (60, 48, 64, 3), np.uint8))


KINDS = {
    "closed groups": ("clip.mp4", {"g": "7", "bf": "0"}),
    "pictures shown in another order": ("clip.mp4", {"g": "9", "bf": "3"}),
    "open groups": ("clip.mkv", {"g": "8", "bf": "3", "x264-params": "open-gop=1"}),
    "one group": ("clip.mkv", {"g": "1000", "bf": "2"}),
    "no times": ("clip.h264", {"g": "7", "bf": "0"}),
    "an old container": ("clip.avi", {"g": "7", "bf": "0"}),
    "a stream's container": ("clip.ts", {"g": "7", "bf": "2"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_a_video_is_the_rest_of_the_whole(tmp_path, make_video, decode, moving, kind):
    name, options = KINDS[kind]
    clip = make_video(tmp_path / name, moving, **options)
    whole = decode(clip)
    assert len(whole.pictures) == 60
    for start in (1, 6, 7, 8, 16, 27, 40, 59):
        rest = decode(clip, start=start)
        assert rest.times == pytest.approx(whole.times[start:])
        assert np.array_equal(rest.pictures, whole.pictures[start:])
        assert rest.warning is None
        if whole.info.frames is not None:
            assert rest.info.frames == 60 - start


def test_times_of_a_variable_rate_go_on(tmp_path, make_video, decode):
    times = [5.0, 5.1, 5.15, 6.0, 8.5, 8.6, 9.0, 9.1, 9.2, 9.9]
    clip = make_video(tmp_path / "clip.mkv", times=times)
    assert decode(clip, start=7).times == pytest.approx([t - 5.0 for t in times[7:]], abs=0.002)


@pytest.mark.parametrize("start", [10, 11, 1000])
def test_beyond_the_end_there_is_nothing_and_no_warning(tmp_path, make_video, decode, start):
    decoded = decode(make_video(tmp_path / "clip.mp4"), start=start)
    assert (decoded.pictures, decoded.info.frames, decoded.warning) == ([], 0, None)


def test_the_limit_counts_from_the_beginning_of_the_video(tmp_path, make_video, decode):
    clip = make_video(tmp_path / "clip.mp4")
    decoded = decode(clip, frames=6, start=4)
    assert (len(decoded.pictures), decoded.info.frames, decoded.warning) == (2, 2, None)
    assert decode(clip, frames=3, start=4).pictures == []


def test_what_lies_before_is_not_decoded(tmp_path, make_video, moving, decode, monkeypatch):
    clip = make_video(tmp_path / "clip.mp4", moving, g="10", bf="2")
    found = []
    real = resume.last_key_picture
    monkeypatch.setattr(
        "accelchain_runtime.functions.decode_video.host.last_key_picture",
        lambda *arguments: found.append(real(*arguments)) or found[-1],
    )
    assert len(decode(clip, start=45).pictures) == 15
    assert found[0].number == 40


def test_a_truncated_video_is_told_of_as_without_a_start(tmp_path, make_video, moving, decode):
    clip = make_video(tmp_path / "clip.mp4", moving)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    whole, rest = decode(clip), decode(clip, start=20)
    assert len(rest.pictures) == len(whole.pictures) - 20 > 0
    assert rest.warning == whole.warning
    assert "truncated" in rest.warning


def test_a_key_picture_that_others_are_shown_before_is_no_place_to_begin_at(tmp_path, make_video, moving, context):
    clip = make_video(tmp_path / "clip.mp4", moving, g="8", bf="3", **{"x264-params": "open-gop=1"})
    video = open_video(parse(str(clip), ("file",)), "", Reach(), 5)
    try:
        assert resume.last_key_picture(video.container, video.stream, 50) is None
    finally:
        video.close()
