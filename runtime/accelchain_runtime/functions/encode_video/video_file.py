# SPDX-License-Identifier: Apache-2.0
"""A video file: pictures in, H.264 out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import PurePosixPath

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace, VideoReformatter

from accelchain_runtime.engine.function import Array, InputError
from accelchain_runtime.functions.addresses import Address
from accelchain_runtime.functions.files import WriteError, writing
from accelchain_runtime.functions.publication import Unfinished

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

_TICKS = 90_000
"""Ticks a second of presentation times, MPEG's own."""
_FALLBACK_RATE = 25.0
_KEY_FRAME_SECONDS = 4
_HD_LINES = 720
"""From so many lines on, video is BT.709; below it, BT.601: what players assume."""
_BT709, _SMPTE170M, _LIMITED = 1, 6, 1
"""FFmpeg's numbers for what the stream says of its colours."""


def container_of(address: Address) -> str:
    """Return the container that the ending of an address says.

    Raises:
        InputError: it says none.
    """
    name = address.path if address.scheme == "file" else PurePosixPath(address.route)
    container = CONTAINERS.get(name.suffix.lower())
    if container is None:
        raise InputError(f"{address.shown}: give a name that ends in {', '.join(CONTAINERS)}.", parameter="uri")
    return container


class VideoFile:
    """A file that appears when it is published. Pictures of odd size are widened to an even one: H.264 needs it."""

    def __init__(
        self,
        output: Unfinished,
        container: str,
        size: tuple[int, int],
        rate: float,
        quality: int,
        preset: str,
        threads: int,
    ) -> None:
        """Open the encoder.

        Args:
            output: where the video goes; discarded if this raises.
            container: one of ``CONTAINERS``' values.
            size: (width, height) of the pictures.
            rate: frames a second that are expected; 0 if unknown. Times of pictures decide, not this.
            quality: x264's crf, 0 to 51.
            preset: x264's.
            threads: of the encoder; 0 lets it choose.

        Raises:
            InputError: there is no encoder for such pictures.
        """
        self._output = output
        width, height = size
        even = (width + width % 2, height + height % 2)
        self._padded = None if even == size else np.empty((even[1], even[0], 3), np.uint8)
        self._colours = Colorspace.ITU709 if height >= _HD_LINES else Colorspace.ITU601
        self._reformatter = VideoReformatter()  # keeps its tables from picture to picture
        self._last_tick = -1
        rate = rate if rate > 0 else _FALLBACK_RATE
        try:
            self._container = av.open(self._output.file, "w", format=container)
            self._stream = self._container.add_stream(
                "libx264", rate=Fraction(rate).limit_denominator(1001), options={"preset": preset, "crf": str(quality)}
            )
            self._stream.width, self._stream.height = even
            self._stream.pix_fmt = "yuv420p"
            encoder = self._stream.codec_context
            encoder.time_base = self._stream.time_base = Fraction(1, _TICKS)
            encoder.gop_size = max(1, round(_KEY_FRAME_SECONDS * rate))
            encoder.thread_count = threads
            encoder.color_range = _LIMITED
            matrix = _BT709 if self._colours is Colorspace.ITU709 else _SMPTE170M
            encoder.colorspace = encoder.color_primaries = encoder.color_trc = matrix
        except FFmpegError as error:
            self._output.discard()
            sentence = f"{output.name}: no encoder for {width}x{height} pictures ({error})."
            raise InputError(sentence, parameter="uri") from error

    def add(self, picture: Array, time: float) -> None:
        """Encode a picture.

        Args:
            picture: uint8 [height, width, 3], RGB.
            time: when it is shown, seconds; not after the one before it: it is shown next nevertheless.

        Raises:
            WriteError: the file can't be written.
        """
        if self._padded is not None:
            picture = _pad(picture, self._padded)
        source = av.VideoFrame.from_numpy_buffer(picture, "rgb24")
        frame = self._reformatter.reformat(
            source, format="yuv420p", dst_colorspace=self._colours, dst_color_range="MPEG", threads=1
        )
        self._last_tick = max(round(time * _TICKS), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, Fraction(1, _TICKS)
        self._mux(frame)

    def complete(self) -> int:
        """Write the end of the file, make it durable and return its size in bytes; it is not to be seen yet.

        Raises:
            WriteError: the file can't be written.
        """
        if self._last_tick < 0:
            raise WriteError(f"can't write {self._output.name}: there was no picture to write.")
        self._mux(None)
        with writing(self._output.name):
            self._container.close()
        return self._output.complete()

    def publish(self) -> None:
        """Put the whole file in place.

        Raises:
            WriteError: it can't be put there.
        """
        self._output.publish()

    def discard(self) -> None:
        """Forget the file, unless it is published. Callable in any state."""
        self._output.discard()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with writing(self._output.name):
            for packet in self._stream.encode(frame):
                self._container.mux(packet)


def _pad(picture: Array, target: Array) -> Array:
    """Copy ``picture`` into the larger ``target``, its last row and column repeated."""
    height, width = picture.shape[:2]
    target[:height, :width] = picture
    target[height:, :width] = picture[-1]
    target[:, width:] = target[:, width - 1 : width]
    return target
