# SPDX-License-Identifier: Apache-2.0
"""Opening a video with FFmpeg so that it reads what was named and nothing else.

FFmpeg follows what a file says: a playlist may name any path, ``concat:`` and ``subfile:`` any other file. So FFmpeg is
told which protocols it may use (only the one of the address) and which containers it may take (none that names other
files).
"""

from __future__ import annotations

import errno
import stat

import av
from av.container import InputContainer
from av.error import FFmpegError, HTTPClientError, HTTPError, HTTPServerError
from av.video.stream import VideoStream

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.addresses import Address

SCHEMES = ("file", "http", "https")

_PROTOCOLS = {"file": "file", "http": "http,https,tcp,tls", "https": "http,https,tcp,tls"}
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,rm,mxf,gxf,nut,wtv,dv,ivf,obu,h264,hevc,vvc,h263,m4v,vc1,"
    "mjpeg,mpjpeg,gif,apng,yuv4mpegpipe,jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
_SOUND = "wav,mp3,flac,aac,aiff,w64,ac3,caf"
"""Opened only to say that there is no picture in them."""
_WEB_PLAYLISTS = "hls"
"""Over http(s) a playlist can name nothing but other web addresses."""


def open_video(address: Address, timeout: float) -> tuple[InputContainer, VideoStream]:
    """Open a video.

    Args:
        address: of scheme file, http or https.
        timeout: seconds that the server may take to open, and between two reads.

    Raises:
        InputError: it is missing, unreadable, no video, or holds no pictures.
    """
    if address.scheme == "file":
        _check_file(address)
    containers = f"{_CONTAINERS},{_SOUND}"
    if address.scheme != "file":
        containers += f",{_WEB_PLAYLISTS}"
    options = {"protocol_whitelist": _PROTOCOLS[address.scheme], "format_whitelist": containers}
    # "file:" in front, so that no path can be taken for another protocol.
    url = f"file:{address.path}" if address.scheme == "file" else address.url
    try:
        container = av.open(url, container_options=options, timeout=timeout, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise InputError(f"{address.shown}: {_reason(error, address, timeout)}.", parameter="uri") from None
    try:
        return container, _video_stream(container, address)
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
    if isinstance(error, (HTTPError, HTTPClientError, HTTPServerError)):
        return f"the server answered: {describe(error)}"
    if isinstance(error, av.error.ExitError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        return (
            "is no video that can be read: no known container (mp4, mkv, avi, …), its index is missing, "
            "or it is a playlist that names other files"
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:  # all that FFmpeg says of these
        if address.scheme == "file":
            return "can't be read: truncated within its header, or the disk has an error"
        return "can't be reached: its host is unknown, it redirects without end, or the connection broke"
    return describe(error)
