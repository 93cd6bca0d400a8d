# SPDX-License-Identifier: Apache-2.0
"""The built-in functions, typed. Names and defaults are those of their manifests.

Called outside of a chain they run in this process on whole streams, which are held in memory: short videos only.
``filter_resize`` and ``copy`` are numpy; the others are the worker's own host implementations (``accelchain[cpu]``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from accelchain.hera.accelerated import accelerated
from accelchain.hera.functions.hosted import run_hosted
from accelchain.hera.functions.pictures import Filter, filtered, scaled
from accelchain.hera.values import Detections, Frames

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


@accelerated("decode-video")
def decode_video(uri: str, frames: int | None = None, timeout: float = 15, threads: int = 1) -> Frames:
    """Read a video.

    Args:
        uri: file:///path, http(s)://address, s3://bucket/key, or rtsp(s)://address of a camera.
        frames: end after so many frames; the whole video where None.
        timeout: seconds that a server may take to open the video, and to send any further data.
        threads: of the decoder; 0 is one a core.
    """
    outputs, origin = run_hosted("decode-video", {}, uri=uri, frames=frames, timeout=timeout, threads=threads)
    return Frames(outputs["frames"], origin)


@accelerated("filter-resize")
def filter_resize(frames: Frames, width: int, height: int, filter: Filter = "none") -> Frames:
    """Filter pictures (3 x 3) and scale them (bilinear, half-pixel centres).

    Args:
        frames: pictures.
        width: of the output, pixels.
        height: of the output, pixels.
        filter: on the source picture before it is scaled.
    """
    scale = [scaled(filtered(np.asarray(frame)[None], filter), height, width)[0] for frame in frames]
    return Frames(np.stack(scale) if scale else np.empty((0, height, width, 3), np.uint8))


@accelerated("detect-person")
def detect_person(frames: Frames, threshold: float = 0.5, iou: float = 0.5) -> Detections:
    """Find people (MobileNetV2-SSDLite).

    Args:
        frames: pictures of 300 x 300 pixels.
        threshold: least score of a detection.
        iou: a box that overlaps a better one by more than this (intersection over union) is dropped.
    """
    outputs, origin = run_hosted("detect-person", {"frames": frames}, threshold=threshold, iou=iou)
    return Detections(outputs["detections"], origin)


@accelerated("draw-boxes")
def draw_boxes(frames: Frames, detections: Detections, labels: str = "person") -> Frames:
    """Draw boxes with labels and scores into a copy of the pictures.

    Args:
        frames: pictures.
        detections: of the same frames.
        labels: names of the classes from class 0, separated by commas.
    """
    outputs, origin = run_hosted("draw-boxes", {"frames": frames, "detections": detections}, labels=labels)
    return Frames(outputs["frames"], origin)


@accelerated("encode-video")
def encode_video(frames: Frames, uri: str, quality: int = 23, preset: Preset = "veryfast", threads: int = 1) -> None:
    """Write an H.264 video, or serve live video (MJPEG).

    Args:
        frames: pictures.
        uri: file:///path, s3://bucket/key or https://address ending in .mp4, .m4v, .mov or .mkv; or
            http://ADDRESS:PORT/path, where browsers watch while it runs.
        quality: of the file, x264's crf: 18 looks as the source does, 23 is good, 30 is small.
        preset: of the file: CPU time against size.
        threads: of the encoder; 0 is as many as it likes.
    """
    run_hosted("encode-video", {"frames": frames}, uri=uri, quality=quality, preset=preset, threads=threads)


@accelerated("write-detections")
def write_detections(detections: Detections, uri: str, labels: str = "person") -> None:
    """Write detections as JSON lines, one a frame.

    Args:
        detections: of all frames.
        uri: file:///path, s3://bucket/key or http(s)://address (HTTP PUT) of the result.
        labels: names of the classes from class 0, separated by commas.
    """
    run_hosted("write-detections", {"detections": detections}, uri=uri, labels=labels)


@accelerated("load-frames")
def load_frames(uri: str, timeout: float = 15) -> Frames:
    """Read pictures that ``accelchain step`` or ``save_frames`` kept.

    Args:
        uri: file:///path, http(s)://address or s3://bucket/key of the file.
        timeout: seconds that a server may take to open the file, and to send any further data.
    """
    outputs, origin = run_hosted("load-frames", {}, uri=uri, timeout=timeout)
    return Frames(outputs["frames"], origin)


@accelerated("load-detections")
def load_detections(uri: str, timeout: float = 15) -> Detections:
    """Read detections that ``accelchain step`` or ``save_detections`` kept.

    Args:
        uri: file:///path, http(s)://address or s3://bucket/key of the file.
        timeout: seconds that a server may take to open the file, and to send any further data.
    """
    outputs, origin = run_hosted("load-detections", {}, uri=uri, timeout=timeout)
    return Detections(outputs["detections"], origin)


@accelerated("save-frames")
def save_frames(frames: Frames, uri: str) -> None:
    """Keep pictures as they are, uncompressed.

    Args:
        frames: pictures.
        uri: file:///path, s3://bucket/key or http(s)://address (HTTP PUT) of the result.
    """
    run_hosted("save-frames", {"frames": frames}, uri=uri)


@accelerated("save-detections")
def save_detections(detections: Detections, uri: str) -> None:
    """Keep detections as they are.

    Args:
        detections: of all frames.
        uri: file:///path, s3://bucket/key or http(s)://address (HTTP PUT) of the result.
    """
    run_hosted("save-detections", {"detections": detections}, uri=uri)


@accelerated("copy")
def copy(frames: Frames) -> Frames:
    """Copy frames unchanged; to try links and devices with."""
    return Frames(np.array(frames))


__all__ = [
    "copy",
    "decode_video",
    "detect_person",
    "draw_boxes",
    "encode_video",
    "filter_resize",
    "load_detections",
    "load_frames",
    "save_detections",
    "save_frames",
    "write_detections",
]
