# SPDX-License-Identifier: Apache-2.0
"""decode-video on the CPU, by FFmpeg."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from accelchain_runtime.functions.addresses import Address, parse
from accelchain_runtime.functions.remote.failures import Refused, Unavailable, as_input_error

from .condition import Condition
from .opening import LIVE, SCHEMES, Video, describe, open_video
from .reconnect import reconnect
from .resume import last_key_picture

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0
"""How long ``close`` waits for a read that is under way."""


class DecodeVideo:
    """A source of RGB pictures; turned upright, all of the first one's size."""

    def __init__(self) -> None:
        self.info = SourceInfo((0, 0))
        self._open: Callable[[], Video]
        self._video: Video | None = None
        self._reading = threading.Lock()  # FFmpeg must not be closed under a read in another thread
        self._reformatter = VideoReformatter()  # keeps its tables from picture to picture
        self._pictures: Iterator[VideoFrame] = iter(())
        self._first: VideoFrame | None = None
        self._size = (0, 0)  # width and height before the picture is turned
        self._quarter_turns = 0
        self._threads = 1
        self._live = False
        self._stopping = threading.Event()
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
        uri, timeout = str(context.parameters["uri"]), float(context.parameters.get("timeout", 15))
        address = parse(uri, SCHEMES)
        self._open = partial(open_video, address, uri, context.reach, timeout)
        self._live, self._stopping = address.scheme in LIVE, context.stopping
        self._limit = context.parameters.get("frames")
        self._threads = int(context.parameters.get("threads", 1))
        self._begin(self._open(), timeout)
        self._first = next(self._pictures, None)
        if self._first is None:
            self._raise_failure(at_setup=True)
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
        if context.start_frame:
            self._go_to(context.start_frame, address, timeout, context.stopping)
            total = max(total - context.start_frame, 0) if total is not None else None
        recorded = address.scheme == "file" or not self._is_endless()
        self.info = SourceInfo((width, height), self._condition.rate, total, recorded=recorded)
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
            Unavailable, Refused: the server broke off, and could not be reached again.
        """
        with self._reading:
            if self._limit is not None and self._count >= self._limit:
                raise EndOfStream(self._condition.warning(self._count, complete=True))
            picture, self._first = self._first or next(self._pictures, None), None
            if picture is None and self._live:
                picture = self._reconnected()
            if picture is None:
                self._raise_failure()
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
        if self._video is None or not self._reading.acquire(timeout=_CLOSE_SECONDS):
            return
        try:
            self._first, self._pictures = None, iter(())
            self._video.close()
            self._video = None
        finally:
            self._reading.release()

    def _begin(self, video: Video, timeout: float) -> None:
        """Take over a video that was opened."""
        container, stream = video.container, video.stream
        stream.thread_type = "NONE" if self._threads == 1 else "AUTO"
        stream.codec_context.thread_count = self._threads
        self._video = video
        self._condition = Condition.of(container, stream, timeout)
        self._pictures = self._decode(container, stream)

    def _go_to(self, number: int, address: Address, timeout: float, stopping: threading.Event) -> None:
        """Have ``enqueue`` begin with picture ``number``; the first picture was decoded. Live video just counts on."""
        assert self._first is not None
        if self._is_endless() and address.scheme != "file":
            self._count = number
            return
        self._time_of(self._first)
        if address.scheme == "file":
            self._leap(number, timeout)
        while self._count < number and not stopping.is_set():
            picture, self._first = self._first or next(self._pictures, None), None
            if picture is None:
                return
            self._time_of(picture)
            self._count += 1

    def _is_endless(self) -> bool:
        """Whether the container promises no end: live video, as far as it can be known."""
        return self._live or (self._condition.promised_packets is None and self._condition.promised_end is None)

    def _raise_failure(self, *, at_setup: bool = False) -> None:
        """Raise why there was nothing more to read, if it was not the end."""
        failure = self._video.failure if self._video is not None else None
        if failure is not None:
            raise as_input_error(failure) if at_setup and isinstance(failure, Refused) else failure

    def _reconnected(self) -> VideoFrame | None:
        """The next picture of a camera that broke off, if it comes back; times go on with the time that it took."""
        failure = self._video.failure if self._video is not None else None
        if self._video is None or not isinstance(failure, Unavailable):
            return None
        begun, condition = time.monotonic(), self._condition
        _log.warning("%s Connecting again.", failure)
        self._video.close()
        self._begin(reconnect(self._open, condition.timeout, self._stopping), condition.timeout)
        self._condition = condition  # what was seen before counts on
        self._condition.interruption = ""
        self._start, self._time = None, self._time + time.monotonic() - begun
        return next(self._pictures, None)

    def _leap(self, number: int, timeout: float) -> None:
        """Go on from the last key picture before ``number``, if there is one that can be gone to exactly."""
        video = self._open()
        first, condition, pictures, old = self._first, self._condition, self._pictures, self._video
        assert old is not None
        key = last_key_picture(video.container, video.stream, number)
        if key is not None:
            video.container.seek(key.time, stream=video.stream)
            self._begin(video, timeout)
            self._first = next(self._pictures, None)
            if self._first is not None and self._first.pts == key.time:
                self._count = key.number
                self._condition.packets += key.number
                old.close()
                return
        video.close()
        self._first, self._condition, self._pictures, self._video = first, condition, pictures, old

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
