# SPDX-License-Identifier: Apache-2.0
"""encode-video's live views: MJPEG for browsers, and the view that it offers to the worker's server."""

from __future__ import annotations

import io
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from accelchain_runtime.engine.function import FrameInfo, InputError, TensorSpec
from accelchain_runtime.functions.encode_video import live
from accelchain_runtime.functions.encode_video.host import EncodeVideo

SIZE = (64, 48)
DEADLINE = 10.0


@pytest.fixture
def open_sink(context):
    sinks = []

    def start(uri, size=SIZE, live=None):
        sink = EncodeVideo()
        sinks.append(sink)
        sink.setup(context({"uri": str(uri)}, inputs={"frames": TensorSpec((size[1], size[0], 3))}, live=live))
        return sink

    yield start
    for sink in sinks:
        sink.close(discard=True)


def show(sink, level, size=SIZE):
    picture = np.full((size[1], size[0], 3), level, np.uint8)
    sink.enqueue(FrameInfo(0, 0.0, size), {"frames": SimpleNamespace(array=picture)}, {}, None, ())
    return picture


def level_of(jpeg):
    return round(float(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).mean()))


class Feeder:
    """Shows one picture after the other until it is told to stop."""

    def __init__(self, sink, level=100, size=SIZE):
        self.shown = 0
        self._sink, self._level, self._size, self._stop = sink, level, size, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.wait(0.002):
            show(self._sink, self._level, self._size)
            self.shown += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Viewer:
    """A browser, as far as MJPEG goes."""

    def __init__(self, port, path="/live"):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.stream = self._socket.makefile("rb")
        self.status = self.stream.readline().decode().strip()
        self.headers = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name] = value

    def jpeg(self):
        line = self.stream.readline()
        if line.strip() in (b"--frame--", b""):
            return None
        assert line == b"--frame\r\n"
        assert self.stream.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(self.stream.readline().split(b": ")[1])
        assert self.stream.readline() == b"\r\n"
        body = self.stream.read(length)
        assert self.stream.readline() == b"\r\n"
        return body

    def close(self):
        self.stream.close()
        self._socket.close()


def test_browsers_watch_while_it_runs(open_sink):
    port = free_port()
    sink = open_sink(f"http://127.0.0.1:{port}/live")
    viewers = [Viewer(port), Viewer(port, "/live?x=1")]
    with Feeder(sink, level=120):
        for viewer in viewers:
            assert viewer.status == "HTTP/1.0 200 OK"
            assert viewer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
            assert "Content-Length" not in viewer.headers
            assert [level_of(viewer.jpeg()) for _ in range(3)] == pytest.approx([120] * 3, abs=2)
    assert sink.finish()["frames"] > 0
    sink.close()
    for viewer in viewers:
        while viewer.jpeg() is not None:  # ends with the run, within the viewer's deadline
            pass
        viewer.close()


def test_another_path_is_not_found(open_sink):
    port = free_port()
    open_sink(f"http://127.0.0.1:{port}/live")
    viewer = Viewer(port, "/other")
    assert viewer.status.startswith("HTTP/1.0 404")
    viewer.close()


def test_a_viewer_that_reads_nothing_slows_neither_the_flow_nor_others(open_sink):
    port, size = free_port(), (640, 480)
    sink = open_sink(f"http://127.0.0.1:{port}/live", size)
    stuck, viewer = Viewer(port), Viewer(port)
    with Feeder(sink, size=size) as feeder:
        for _ in range(50):
            assert viewer.jpeg() is not None
        shown, before = feeder.shown, time.monotonic()
        while feeder.shown < shown + 50:
            assert time.monotonic() - before < DEADLINE
    viewer.close()
    stuck.close()


def test_viewers_that_leave_are_forgotten(open_sink):
    port = free_port()
    sink = open_sink(f"http://127.0.0.1:{port}/live")
    with Feeder(sink):
        for _ in range(40):  # more than may watch at once
            viewer = Viewer(port)
            while viewer.status.startswith("HTTP/1.0 503"):
                viewer.close()
                viewer = Viewer(port)
            assert viewer.jpeg() is not None
            viewer.close()


def test_an_address_in_use_is_refused_and_free_again_after_the_run(open_sink):
    port = free_port()
    first = open_sink(f"http://127.0.0.1:{port}/live")
    with pytest.raises(InputError, match="in use"):
        open_sink(f"http://127.0.0.1:{port}/live")
    first.close()
    open_sink(f"http://127.0.0.1:{port}/live")


@pytest.fixture
def watched(tmp_path, open_sink):
    """A sink that writes a file, and the live view that it offered."""
    offered = {}
    sink = open_sink(tmp_path / "out.mp4", live=offered.__setitem__)
    (source,) = offered.values()
    assert list(offered) == ["step"]
    return sink, source


def test_a_file_too_can_be_watched(watched):
    sink, source = watched
    subscription = source.subscribe()
    with Feeder(sink, level=90):
        assert level_of(subscription.next(DEADLINE)) == pytest.approx(90, abs=2)
    subscription.close()


def test_nothing_comes_when_nothing_is_shown(watched):
    assert watched[1].subscribe().next(0.01) is None


def test_the_picture_is_the_viewers_own(watched, monkeypatch):
    sink, source = watched
    subscription, entered, release = source.subscribe(), threading.Event(), threading.Event()
    fromarray = Image.fromarray

    def slow(array):
        entered.set()
        assert release.wait(DEADLINE)
        return fromarray(array)

    monkeypatch.setattr(live.Image, "fromarray", slow)
    got = []
    thread = threading.Thread(target=lambda: got.append(subscription.next(DEADLINE)))
    thread.start()
    deadline = time.monotonic() + DEADLINE
    while not entered.wait(0.005):
        picture = show(sink, 150)
        picture[:] = 0  # the flow uses its slot again
        assert time.monotonic() < deadline
    show(sink, 10)  # goes on while the viewer is still busy
    release.set()
    thread.join(DEADLINE)
    assert level_of(got[0]) == pytest.approx(150, abs=2)


def test_no_jpeg_is_made_while_nobody_watches(watched, monkeypatch):
    sink, source = watched
    monkeypatch.setattr(live.Image, "fromarray", lambda array: pytest.fail("a JPEG was made"))
    subscription = source.subscribe()
    assert subscription.next(0.01) is None
    for _ in range(5):
        show(sink, 50)


def test_the_end_of_the_run_ends_every_wait(watched):
    sink, source = watched
    subscription, got = source.subscribe(), []
    thread = threading.Thread(target=lambda: got.append(subscription.next(60)))
    thread.start()
    show(sink, 1)
    sink.close(discard=True)
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert subscription.next(60) is None and subscription.ended
