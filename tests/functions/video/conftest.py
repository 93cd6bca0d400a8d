# SPDX-License-Identifier: Apache-2.0
"""Videos made for a test, and sources and sinks run the way the engine runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.engine.function import EndOfStream, FrameInfo, SetupContext, SourceInfo, TensorSpec
from accelchain_runtime.functions.decode_video.host import DecodeVideo

TICKS = 1000


@dataclass
class Slot:
    """A frame's bytes on the host."""

    array: Any

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.array.shape, str(self.array.dtype))


@dataclass
class Decoded:
    """All that a source gave."""

    info: SourceInfo
    pictures: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    warning: str | None = None


def context_of(parameters: dict[str, Any], **others: Any) -> SetupContext:
    """A SetupContext of a host function."""
    return SetupContext(
        name="step", parameters=parameters, inputs=others.pop("inputs", {}), device=HostDevice(), **others
    )


@pytest.fixture
def context() -> Callable[..., SetupContext]:
    """``context({"uri": …}, inputs={…})``."""
    return context_of


@pytest.fixture
def decode() -> Iterator[Callable[..., Decoded]]:
    """``decode(uri, frames=…)`` runs decode-video to its end; ``start`` is its first frame's number."""
    sources: list[DecodeVideo] = []

    def run(uri: object, start: int = 0, **parameters: Any) -> Decoded:
        source = DecodeVideo()
        sources.append(source)
        spec = source.setup(context_of({"uri": str(uri), **parameters}, start_frame=start))["frames"]
        result = Decoded(source.info)
        try:
            while True:
                frame = FrameInfo(number=len(result.pictures), time=-1.0, source_size=(0, 0))
                slot = Slot(np.zeros(spec.shape, spec.dtype))
                source.enqueue(frame, {}, {"frames": slot}, None, ())
                assert frame.source_size == source.info.size
                result.pictures.append(slot.array)
                result.times.append(frame.time)
        except EndOfStream as end:
            result.warning = end.warning
        return result

    yield run
    for source in sources:
        source.close()


def grey(number: int, size: tuple[int, int] = (64, 48)) -> Any:
    """A picture whose brightness tells its number: uint8 [height, width, 3]."""
    return np.full((size[1], size[0], 3), 40 + 10 * number, np.uint8)


@pytest.fixture
def make_video() -> Callable[..., Path]:
    """``make_video(path, pictures, times=…, codec=…)`` writes a video with PyAV."""

    def make(
        path: Path,
        pictures: Sequence[Any] = tuple(grey(n) for n in range(10)),
        *,
        times: Sequence[float] | None = None,
        rate: int = 10,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        **options: str,
    ) -> Path:
        with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
            settings = {"g": "5", "bf": "0", "preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=rate, options={**settings, **options})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixel_format
            if times is not None:
                stream.codec_context.time_base = Fraction(1, TICKS)
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)
                frame.time_base = Fraction(1, TICKS)
                frame.pts = round((times[number] if times is not None else number / rate) * TICKS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """``serve(answer)`` starts an HTTP server on loopback and returns its address; ``answer(handler)`` is a GET."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with suppress(ConnectionError):
                    answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def noise() -> list[Any]:
    """Forty pictures that don't compress: their video is too large for FFmpeg to read ahead."""
    return list(np.random.default_rng(1).integers(0, 255, (40, 96, 128, 3), np.uint8))
