# SPDX-License-Identifier: Apache-2.0
"""decode-video on the CPU, by FFmpeg."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from accelchain_runtime.engine.function import (
    Array,
    Buffer,
    EndOfStream,
    Event,
    FrameInfo,
    InputError,
    SetupContext,
    SourceInfo,
    TensorSpec,
)
from accelchain_runtime.functions.addresses import parse

from .condition import Condition
from .opening import SCHEMES, describe, open_video

_CLOSE_SECONDS = 1.0
"""How long ``close`` waits for a read that is under way."""


class DecodeVideo:
    """A source of RGB pictures; turned upright, all of the first one's size."""

    def __init__(self) -> None:
        self.info = SourceInfo((0, 0))
        self._container: InputContainer | None = None
        self._reading = threading.Lock()  # FFmpeg must not be closed under a read in another thread
        self._reformatter = VideoReformatter()  # keeps its tables from picture to picture
        self._pictures: Iterator[VideoFrame] = iter(())
        self._first: VideoFrame | None = None
        self._size = (0, 0)  # width and height before the picture is turned
        self._quarter_turns = 0
        self._limit: int | None = None
        self._count = 0
        self._start: float | None = None
        self._time = 0.0
        self._condition = Condition()

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open the video and decode its first picture.

        Returns:
            ``frames``: uint8 [height, width, 3].

        Raises:
            InputError: ``uri`` is missing, unreadable, no video, without pictures, or of a scheme that isn't supported.
        """
        address = parse(str(context.parameters["uri"]), SCHEMES)
        timeout = float(context.parameters.get("timeout", 15))
        self._limit = context.parameters.get("frames")
        self._container, stream = open_video(address, timeout)
        threads = int(context.parameters.get("threads", 1))
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.codec_context.thread_count = threads
        self._condition = Condition.of(self._container, stream, timeout)
        self._pictures = self._decode(self._container, stream)
        self._first = next(self._pictures, None)
        if self._first is None:
            why = self._condition.interruption or "it is empty or damaged"
            raise InputError(f"{address.shown}: has no picture that can be decoded: {why}.", parameter="uri")
        self._size = (self._first.width, self._first.height)
        self._quarter_turns = round(self._first.rotation / 90) % 4
        width, height = self._size if self._quarter_turns % 2 == 0 else self._size[::-1]
        try:
            self._rgb(self._first)
        except (FFmpegError, ValueError) as error:
            kind = self._first.format.name
            raise InputError(
                f"{address.shown}: pixel format {kind} can't be turned into RGB ({describe(error)}).", parameter="uri"
            ) from None
        total = self._condition.promised_packets
        if total is not None and self._limit is not None:
            total = min(total, self._limit)
        self.info = SourceInfo((width, height), self._condition.rate, total)
        return {"frames": TensorSpec((height, width, 3))}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Decode the next picture into ``outputs["frames"]`` and set the frame's time and source size.

        Raises:
            EndOfStream: the video or ``frames`` is at its end; the warning says what was damaged or missing.
        """
        with self._reading:
            if self._count == self._limit:
                raise EndOfStream(self._condition.warning(self._count, complete=True))
            picture, self._first = self._first or next(self._pictures, None), None
            if picture is None:
                raise EndOfStream(self._condition.warning(self._count, complete=False))
            if (picture.width, picture.height) != self._size:
                self._condition.resized(self._count, self._size)
            if picture.is_corrupt:
                self._condition.damaged(self._count)
            frame.time = self._time_of(picture)
            frame.source_size = self.info.size
            np.copyto(outputs["frames"].array, np.rot90(self._rgb(picture), self._quarter_turns))
            self._count += 1
        return None

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Close the video. A read that hangs in another thread is left to its own timeout."""
        if self._container is None or not self._reading.acquire(timeout=_CLOSE_SECONDS):
            return
        try:
            self._first, self._pictures = None, iter(())
            self._container.close()
            self._container = None
        finally:
            self._reading.release()

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Every picture that can be read, whatever lies between them."""
        decoded = 0
        try:
            for packet in container.demux(stream):
                self._condition.packets += packet.size > 0
                try:
                    pictures = packet.decode()
                except FFmpegError:
                    self._condition.damaged(decoded)
                    continue
                for picture in pictures:
                    decoded += 1
                    yield picture
            return
        except ExitError:
            self._condition.interruption = f"no data for {self._condition.timeout:g} s"
        except (FFmpegError, OSError) as error:
            self._condition.interruption = describe(error)
        for picture in stream.decode(None):  # what the decoder still holds
            picture.time_base = (
                stream.time_base
            )  # it had it from the packet; here there is none, and times would be NaN
            yield picture

    def _rgb(self, picture: VideoFrame) -> Array:
        """The picture as uint8 [height, width, 3] of the first one's size, in FFmpeg's own memory."""
        width, height = self._size
        picture = self._reformatter.reformat(picture, width, height, "rgb24", threads=1)
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[:height, : width * 3].reshape(height, width, 3)

    def _time_of(self, picture: VideoFrame) -> float:
        """Seconds since the first picture; counted on where the container gives no times."""
        if picture.time is None:
            if self._count:
                self._time += 1 / (self._condition.rate or 25)
        else:
            if self._start is None:
                self._start = picture.time - self._time
            self._time, self._condition.seconds = picture.time - self._start, picture.time
        return self._time
