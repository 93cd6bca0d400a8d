# SPDX-License-Identifier: Apache-2.0
"""encode-video to a file: every picture at its time and in its colours; a file that is there only when it is whole."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace

import av
import numpy as np
import pytest

from accelchain_runtime.engine.function import FrameInfo, InputError, TensorSpec
from accelchain_runtime.functions.encode_video.host import EncodeVideo
from accelchain_runtime.functions.files import WriteError


@pytest.fixture
def open_sink(context):
    sinks = []

    def start(uri, size=(64, 48), rate=10.0, **parameters):
        sink = EncodeVideo()
        sinks.append(sink)
        inputs = {"frames": TensorSpec((size[1], size[0], 3))}
        assert sink.setup(context({"uri": str(uri), **parameters}, inputs=inputs, source_rate=rate)) == {}
        return sink

    yield start
    for sink in sinks:
        sink.close(discard=True)


def finish(sink):
    """End as a run does that succeeds."""
    results = sink.finish()
    sink.publish()
    return results


def add(sink, number, picture, time=None):
    picture.flags.writeable = False
    frame = FrameInfo(number, number / 10 if time is None else time, (64, 48))
    sink.enqueue(frame, {"frames": SimpleNamespace(array=picture)}, {}, None, ())


def grey(number, size=(64, 48)):
    return np.full((size[1], size[0], 3), 40 + 10 * number, np.uint8)


@pytest.mark.parametrize("ending", ["mp4", "m4v", "mov", "mkv", "MP4"])
def test_writes_every_picture_at_its_time(tmp_path, open_sink, decode, ending):
    path = tmp_path / f"out.{ending}"
    sink = open_sink(path.as_uri())
    for number in range(10):
        add(sink, number, grey(number))
    assert finish(sink) == {"frames": 10, "bytes": path.stat().st_size}
    decoded = decode(path)
    assert [round((p.mean() - 40) / 10) for p in decoded.pictures] == list(range(10))
    assert decoded.times == pytest.approx([n / 10 for n in range(10)], abs=0.002)
    assert (decoded.info.rate, decoded.warning) == (10.0, None)


def test_what_players_need_is_in_the_file(tmp_path, open_sink):
    sink = open_sink(tmp_path / "out.mp4", preset="ultrafast", quality=30)
    for number in range(10):
        add(sink, number, grey(number))
    finish(sink)
    with av.open(str(tmp_path / "out.mp4")) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 10)
        assert container.duration == pytest.approx(1_000_000, abs=2000)  # the last picture has its time too


def test_the_times_of_a_variable_rate_are_kept(tmp_path, open_sink, decode):
    times = [0.0, 0.1, 0.15, 1.0, 3.5, 3.6]
    sink = open_sink(tmp_path / "out.mp4", rate=0.0)
    for number, time in enumerate(times):
        add(sink, number, grey(number), time)
    finish(sink)
    assert decode(tmp_path / "out.mp4").times == pytest.approx(times, abs=0.001)


def test_times_that_stand_still_or_go_back_lose_no_picture(tmp_path, open_sink, decode):
    sink = open_sink(tmp_path / "out.mp4")
    for number, time in enumerate([0.0, 0.0, 0.2, 0.1, 0.3]):
        add(sink, number, grey(number), time)
    finish(sink)
    decoded = decode(tmp_path / "out.mp4")
    assert [round((p.mean() - 40) / 10) for p in decoded.pictures] == list(range(5))


@pytest.mark.parametrize("size", [(33, 17), (64, 47), (63, 48), (17, 17)])
def test_an_odd_size_is_widened_by_its_last_row_and_column(tmp_path, open_sink, decode, size):
    width, height = size
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[:, width // 2 :] = 200
    sink = open_sink(tmp_path / "out.mp4", size=size, quality=5)
    add(sink, 0, picture)
    finish(sink)
    decoded = decode(tmp_path / "out.mp4")
    assert decoded.info.size == (width + width % 2, height + height % 2)
    assert np.abs(decoded.pictures[0][:height, :width, 1].astype(int) - picture[..., 1]).mean() < 5
    assert np.abs(decoded.pictures[0][-1, -1].astype(int) - 200).max() < 12


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)], ids=["sd", "hd"])
def test_colours_survive(tmp_path, open_sink, decode, size):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
    sink = open_sink(tmp_path / "out.mp4", size=size, quality=5, preset="ultrafast")
    for number, colour in enumerate(colours):
        add(sink, number, np.full((size[1], size[0], 3), colour, np.uint8))
    finish(sink)
    for colour, picture in zip(colours, decode(tmp_path / "out.mp4").pictures, strict=True):
        assert np.abs(picture.mean(axis=(0, 1)) - colour).max() < 5


def test_an_earlier_result_stays_until_the_new_one_is_whole(tmp_path, open_sink, decode):
    path = tmp_path / "out.mp4"
    path.write_text("earlier")
    sink = open_sink(path)
    add(sink, 0, grey(0))
    assert path.read_text() == "earlier"
    finish(sink)
    assert len(decode(path).pictures) == 1
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_run_that_failed_leaves_the_folder_as_it_was(tmp_path, open_sink):
    sink = open_sink(tmp_path / "out.mp4")
    add(sink, 0, grey(0))
    sink.close(discard=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("{folder}/missing/out.mp4", "does not exist"),
        ("{folder}/out.avi", "give a name that ends in .mp4"),
        ("{folder}/out", "give a name that ends in .mp4"),
        ("https://127.0.0.1:8090/live", "give a name that ends in .mp4"),
        ("rtsp://127.0.0.1/live", "rtsp: addresses are not supported"),
        ("http://127.0.0.1/live", "give a port"),
        ("http://192.0.2.1:8090/live", "can't serve at this address"),
    ],
)
def test_an_output_that_cant_be_written_is_refused_at_the_start(tmp_path, open_sink, uri, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        open_sink(uri.format(folder=tmp_path))
    assert caught.value.parameter == "uri"
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_fails_and_names_the_file(tmp_path, open_sink):
    sink = open_sink(tmp_path / "out.mp4", size=(320, 240), quality=1)
    random = np.random.default_rng(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"out\.mp4"):
            for number in range(60):
                add(sink, number, random.integers(0, 255, (240, 320, 3), np.uint8))
            finish(sink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.close(discard=True)
    assert os.listdir(tmp_path) == []


def test_a_run_without_a_picture_writes_no_empty_video(tmp_path, open_sink):
    sink = open_sink(tmp_path / "out.mp4")
    with pytest.raises(WriteError, match="there was no picture"):
        finish(sink)
