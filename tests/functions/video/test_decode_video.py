# SPDX-License-Identifier: Apache-2.0
"""decode-video on files: every picture, at its time, upright; and what becomes of files that are not whole."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from accelchain_runtime.engine.function import InputError


def levels(decoded):
    """The number that each picture's brightness tells (see ``grey``)."""
    return [round((float(picture.mean()) - 40) / 10) for picture in decoded.pictures]


def picture(colour, size=(64, 48)):
    return np.full((size[1], size[0], 3), colour, np.uint8)


def test_gives_every_picture_with_its_time(tmp_path, make_video, decode):
    decoded = decode(make_video(tmp_path / "clip.mp4"))
    assert (decoded.info.size, decoded.info.rate, decoded.info.frames) == ((64, 48), 10.0, 10)
    assert levels(decoded) == list(range(10))
    assert decoded.times == pytest.approx([n / 10 for n in range(10)])
    assert decoded.warning is None


def test_times_of_a_variable_rate_are_kept_and_count_from_the_first_picture(tmp_path, make_video, decode):
    times = [5.0, 5.1, 5.15, 6.0, 8.5, 8.6, 9.0, 9.1, 9.2, 9.9]
    decoded = decode(make_video(tmp_path / "clip.mkv", times=times))
    assert decoded.times == pytest.approx([t - 5.0 for t in times], abs=0.002)
    assert decoded.warning is None


def test_a_raw_stream_without_times_counts_them(tmp_path, make_video, decode):
    decoded = decode(make_video(tmp_path / "clip.h264"))
    assert decoded.times == pytest.approx([n / decoded.info.rate for n in range(10)])


def test_the_number_of_frames_can_be_limited(tmp_path, make_video, decode):
    decoded = decode(make_video(tmp_path / "clip.mp4"), frames=3)
    assert (len(decoded.pictures), decoded.info.frames, decoded.warning) == (3, 3, None)


def test_several_decoder_threads_give_the_same_pictures(tmp_path, make_video, decode):
    clip = make_video(tmp_path / "clip.mp4")
    one, many = decode(clip), decode(clip, threads=0)
    assert np.array_equal(one.pictures, many.pictures)


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [("ffv1", "gray"), ("ffv1", "yuv420p10le"), ("ffv1", "bgra"), ("ffv1", "yuv444p"), ("mjpeg", "yuvj420p")],
)
def test_whatever_the_pixel_format_pictures_are_rgb(tmp_path, make_video, decode, codec, pixel_format):
    colour = (128, 128, 128) if pixel_format == "gray" else (200, 60, 30)
    clip = make_video(tmp_path / "clip.mkv", [picture(colour)] * 2, codec=codec, pixel_format=pixel_format)
    decoded = decode(clip)
    assert len(decoded.pictures) == 2
    assert np.abs(decoded.pictures[1].astype(int) - colour).max() <= 6


def test_a_rotated_recording_is_turned_upright(tmp_path, make_video, decode):
    sideways = picture((0, 0, 0))
    sideways[:24, :32] = 255  # top left
    clip = make_video(tmp_path / "phone.mp4", [sideways] * 2)
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 36  # version 0: 4 bytes of flags, 36 of fields, then a 3x3 matrix
    quarter_turn_clockwise = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    data[matrix : matrix + 36] = quarter_turn_clockwise
    clip.write_bytes(data)
    decoded = decode(clip)
    assert decoded.info.size == (48, 64)
    upright = decoded.pictures[0]
    assert upright.shape == (64, 48, 3)
    assert upright[:32, 24:].mean() > 245  # top left, turned clockwise, is top right
    assert upright[32:].mean() < 10 and upright[:32, :24].mean() < 10


def test_a_size_that_changes_on_the_way_is_scaled_back(tmp_path, make_video, decode):
    first = make_video(tmp_path / "a.h264", [picture((90, 90, 90))] * 3)
    second = make_video(tmp_path / "b.h264", [picture((180, 180, 180), (128, 96))] * 3)
    clip = tmp_path / "both.h264"
    clip.write_bytes(first.read_bytes() + second.read_bytes())
    decoded = decode(clip)
    assert [p.shape for p in decoded.pictures] == [(48, 64, 3)] * 6
    assert [round(p.mean(), -1) for p in decoded.pictures] == [90] * 3 + [180] * 3
    assert decoded.warning == "the picture's size changed at frame 3; scaled back to 64x48"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_truncated_video_is_read_as_far_as_it_goes(tmp_path, make_video, decode, name):
    noise = np.random.default_rng(1).integers(0, 255, (20, 48, 64, 3), np.uint8)
    clip = make_video(tmp_path / name, list(noise))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    decoded = decode(clip)
    assert 5 <= len(decoded.pictures) <= 15
    assert f"ends at frame {len(decoded.pictures)}" in decoded.warning
    assert "truncated" in decoded.warning


def test_a_damaged_part_is_skipped_and_reported(tmp_path, make_video, decode):
    noise = np.random.default_rng(1).integers(0, 255, (20, 48, 64, 3), np.uint8)
    clip = make_video(tmp_path / "clip.mp4", list(noise))
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(data)
    decoded = decode(clip)
    assert len(decoded.pictures) >= 15
    assert "damaged" in decoded.warning and "the first at frame" in decoded.warning


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def without_index(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\1\0mdat" + bytes(248))


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("missing.mp4", lambda path: None, "there is no such file"),
        ("folder.mp4", Path.mkdir, "is a folder"),
        ("pipe.mp4", os.mkfifo, "is no regular file"),
        ("empty.mp4", Path.touch, "the file is empty"),
        ("text.txt", lambda path: path.write_text("hello\n" * 100), "is no video that can be read"),
        ("lost.mp4", without_index, "is no video that can be read"),
        ("sound.wav", sound_only, "has no video stream, only audio"),
        ("sound.mkv", sound_only, "has no video stream, only audio"),
    ],
)
def test_what_is_no_video_is_refused_before_the_start(tmp_path, decode, name, make, sentence):
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError, match=sentence) as caught:
        decode(path)
    assert caught.value.parameter == "uri"
    assert str(path) in str(caught.value)


def test_a_video_without_one_readable_picture_is_refused(tmp_path, make_video, decode):
    clip = make_video(tmp_path / "clip.mp4")
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    clip.write_bytes(data)
    with pytest.raises(InputError, match="has no picture that can be decoded"):
        decode(clip)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path, make_video, decode):
    clip = make_video(tmp_path / "clip.mp4")
    clip.chmod(0)
    with pytest.raises(InputError, match="may not read"):
        decode(clip)


def test_names_are_percent_decoded_in_addresses_only(tmp_path, make_video, decode):
    make_video(tmp_path / "a b#100%25.mp4")
    path = tmp_path / "a b#100%25.mp4"
    assert len(decode(path).pictures) == 10
    assert len(decode(path.as_uri()).pictures) == 10
