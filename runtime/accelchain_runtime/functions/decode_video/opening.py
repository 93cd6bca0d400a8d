# SPDX-License-Identifier: Apache-2.0
"""Opening a video with FFmpeg so that it reads what was named and nothing else.

FFmpeg follows what a file says: a playlist may name any path, ``concat:`` and ``subfile:`` any other file. So FFmpeg is
told which protocols it may use (none but its own for plain files and the connection to the relay of a camera) and which
containers it may take. Everything else it reads through a Python file, and what a playlist names is opened by the
same rules (``functions.remote``).
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address
from accelchain_runtime.functions.remote.archive import is_named_so
from accelchain_runtime.functions.remote.rtsp.camera import Camera, open_camera
from accelchain_runtime.functions.remote.sources import Source, open_source

SCHEMES = ("file", "http", "https", "s3", "rtsp", "rtsps")
LIVE = ("rtsp", "rtsps")

_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,rm,mxf,gxf,nut,wtv,dv,ivf,obu,h264,hevc,vvc,h263,m4v,vc1,"
    "mjpeg,mpjpeg,gif,apng,yuv4mpegpipe,jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
_SOUND = "wav,mp3,flac,aac,aiff,w64,ac3,caf"
"""Opened only to say that there is no picture in them."""
_PLAYLISTS = "hls"
_NO_PROTOCOL = "none"
"""No protocol of FFmpeg's has this name."""
_BUFFER_BYTES = 256 << 10


@dataclass(slots=True)
class Video:
    """An open video."""

    container: InputContainer
    stream: VideoStream
    origin: Source | Camera | None
    """What FFmpeg reads from, unless it opened a file itself."""

    @property
    def failure(self) -> Exception | None:
        """Why the origin ended before its end."""
        return self.origin.failure if self.origin is not None else None

    def close(self) -> None:
        """Close it all."""
        self.container.close()
        if self.origin is not None:
            self.origin.close()


def open_video(address: Address, uri: str, reach: Reach, timeout: float) -> Video:
    """Open a video.

    Args:
        address: of one of ``SCHEMES``.
        uri: the parameter that it was parsed from.
        reach: the plan's.
        timeout: seconds that a server may take to open, and between two reads.

    Raises:
        InputError: it is missing, unreadable, no video, or holds no pictures; the address or credentials are wrong.
        Unavailable: the server is down or slow.
    """
    if address.scheme == "file" and not reach.confined:
        _check_file(address)
    if address.scheme == "file" and not reach.confined and not is_named_so(address.path.name):
        # "file:" in front, so that no path can be taken for another protocol.
        return _open(f"file:{address.path}", address, timeout, None, protocols="file")
    if address.scheme in LIVE:
        camera = open_camera(address, uri, reach, timeout)
        return _closing(
            camera,
            lambda: _open(camera.url, address, 2 * timeout, camera, "rtsp,rtp,tcp", "rtsp,sdp,rtp", camera.options),
        )
    source = open_source(address, uri, reach, timeout)
    containers = f"{_CONTAINERS},{_SOUND}" + (f",{_PLAYLISTS}" if source.nested else "")
    return _closing(source, lambda: _open(source.file, address, timeout, source, _NO_PROTOCOL, containers))


def _closing(origin: Source | Camera, opening: Callable[[], Video]) -> Video:
    try:
        video = opening()
        if isinstance(origin, Source):
            origin.begin()
        return video
    except BaseException:
        failure = origin.failure
        origin.close()
        if failure is not None:  # FFmpeg can't know the reason why there was nothing more to read
            raise origin.at_setup(failure) from None
        raise


def _open(
    file: Any,
    address: Address,
    timeout: float,
    origin: Source | Camera | None,
    protocols: str,
    containers: str = f"{_CONTAINERS},{_SOUND}",
    others: dict[str, str] | None = None,
) -> Video:
    options = {"protocol_whitelist": protocols, "format_whitelist": containers, "http_persistent": "0"}
    try:
        container = av.open(
            file,
            container_options={**options, **(others or {})},
            timeout=timeout,
            metadata_errors="replace",
            buffer_size=_BUFFER_BYTES,
            io_open=origin.nested if isinstance(origin, Source) else None,
        )
    except (FFmpegError, OSError) as error:
        raise InputError(f"{address.shown}: {_reason(error, address, timeout)}.", parameter="uri") from None
    try:
        return Video(container, _video_stream(container, address), origin)
    except InputError:
        container.close()
        raise


def describe(error: Exception) -> str:
    """FFmpeg's words for an error, without addresses."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _check_file(address: Address) -> None:
    path = address.path
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            problem = "is a folder, no video"
        elif not stat.S_ISREG(status.st_mode):  # a pipe or a device could keep FFmpeg waiting for ever
            problem = "is no regular file"
        elif status.st_size == 0:
            problem = "the file is empty"
        else:
            with path.open("rb"):
                return
    except FileNotFoundError:
        problem = "there is no such file"
    except PermissionError:
        problem = "this user may not read the file"
    except OSError as error:
        problem = error.strerror or str(error)
    raise InputError(f"{path}: {problem}.", parameter="uri")


def _video_stream(container: InputContainer, address: Address) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            return stream
    kinds: list[str] = sorted({stream.type for stream in container.streams}) or ["nothing"]
    raise InputError(f"{address.shown}: has no video stream, only {' and '.join(kinds)}.", parameter="uri")


def _reason(error: Exception, address: Address, timeout: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        return (
            "is no video that can be read: no known container (mp4, mkv, avi, …), its index is missing, "
            "or it is a playlist that names other files"
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:  # all that FFmpeg says of these
        return "can't be read: truncated within its header, or the disk has an error"
    return describe(error)
