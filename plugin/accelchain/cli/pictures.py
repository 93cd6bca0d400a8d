# SPDX-License-Identifier: Apache-2.0
"""Frames of a result video as JPEG data URIs, and figures of a detections file, for the report."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".avi", ".webm"}
_MAX_WIDTH = 640
_FEW_FRAMES = 600
"""Whose decoding takes no more than some seconds."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame of a result."""

    frame: int
    seconds: float
    data_uri: str


def local_path(uri: str) -> Path | None:
    """Return the path of a ``file://`` URI, None for others."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def pictures(path: Path, count: int = 6) -> list[Picture]:
    """Return ``count`` frames spread over a video; none where it can't be decoded or PyAV is not installed."""
    try:
        import av  # heavy, and only a worker needs it otherwise
    except ImportError:
        return []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = _sought(container, count) if stream.frames > _FEW_FRAMES else _counted(container, count)
            return [Picture(index, float(frame.time or 0.0), _jpeg(frame.to_image())) for index, frame in frames]
    except (av.error.FFmpegError, IndexError, OSError):
        return []  # a report without pictures is better than a run that fails for one


def _counted(container: Any, count: int) -> Iterator[tuple[int, Any]]:
    """Yield frames with their numbers, by decoding all of a video."""
    stream = container.streams.video[0]
    total = stream.frames or count
    wanted = {round((i + 0.5) * total / count) for i in range(count)}
    for index, frame in enumerate(container.decode(stream)):
        if index in wanted:
            yield index, frame


def _sought(container: Any, count: int) -> Iterator[tuple[int, Any]]:
    """Yield key frames with their numbers: in a long video, where decoding all would take long."""
    stream = container.streams.video[0]
    stream.codec_context.skip_frame = "NONKEY"
    begin, last = stream.start_time or 0, -1
    for i in range(count):
        container.seek(begin + round((i + 0.5) * stream.duration / count), stream=stream)
        frame = next(container.decode(stream), None)
        if frame is not None and frame.pts > last:
            last = frame.pts
            yield round((frame.pts - begin) * stream.frames / stream.duration), frame


def detections_per_frame(path: Path) -> list[float]:
    """Return the number of detections of every line of a detections file; empty where it is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return [float(len(json.loads(line)["detections"])) for line in file]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _jpeg(image: object) -> str:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.width > _MAX_WIDTH:
        image = image.resize((_MAX_WIDTH, round(image.height * _MAX_WIDTH / image.width)))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
