# SPDX-License-Identifier: Apache-2.0
"""The built-in functions as components of KFP's, marked. Each is made from its manifest when it is first used.

Frames and detections between them are files of ``accelchain step``; in a chain they never leave the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    from kfp.dsl import Artifact, PipelineTask

    from accelchain.kfp.authoring.types import Component, Detections, Frames

    P = ParamSpec("P")
    ALL = 2**31 - 1
    Filter = Literal["none", "gaussian", "median", "sharpen"]
    Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

    def _component(call: Callable[P, PipelineTask]) -> Component[P]:
        """Tell a type checker that this is a component which is called so."""

    @_component
    def decode_video(*, video: Artifact, frames: int = ALL, timeout: float = 15, threads: int = 1) -> PipelineTask:
        """Read a video. Outputs: ``frames``."""

    @_component
    def decode_video_uri(*, uri: str, frames: int = ALL, timeout: float = 15, threads: int = 1) -> PipelineTask:
        """Read a video from an address: file, http(s), s3 or rtsp(s). Outputs: ``frames``."""

    @_component
    def filter_resize(*, frames: Frames, width: int, height: int, filter: Filter = "none") -> PipelineTask:
        """Filter pictures (3 x 3) and scale them. Outputs: ``frames``."""

    @_component
    def detect_person(*, frames: Frames, threshold: float = 0.5, iou: float = 0.5) -> PipelineTask:
        """Find people in pictures of 300 x 300 pixels. Outputs: ``detections``."""

    @_component
    def draw_boxes(*, frames: Frames, detections: Detections, labels: str = "person") -> PipelineTask:
        """Draw boxes with labels and scores. Outputs: ``frames``."""

    @_component
    def encode_video(
        *, frames: Frames, quality: int = 23, preset: Preset = "veryfast", threads: int = 1
    ) -> PipelineTask:
        """Write an H.264 video. Outputs: ``video`` (an artifact, .mp4), ``count`` (frames)."""

    @_component
    def write_detections(*, detections: Detections, labels: str = "person") -> PipelineTask:
        """Write JSON lines, one a frame. Outputs: ``lines`` (an artifact, .jsonl), ``count`` (detections)."""

    @_component
    def copy(*, frames: Frames) -> PipelineTask:
        """Copy frames unchanged. Outputs: ``frames``."""


_ALL_FRAMES = {"frames": 2**31 - 1}
_ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "decode_video": ("decode-video", {"names": {"uri": "video"}, "defaults": _ALL_FRAMES}),
    "decode_video_uri": (
        "decode-video",
        {"name": "decode-video-uri", "addresses": "parameters", "defaults": _ALL_FRAMES},
    ),
    "filter_resize": ("filter-resize", {}),
    "detect_person": ("detect-person", {}),
    "draw_boxes": ("draw-boxes", {}),
    "encode_video": ("encode-video", {"names": {"uri": "video"}, "results": {"count": "frames"}}),
    "write_detections": ("write-detections", {"names": {"uri": "lines"}, "results": {"count": "detections"}}),
    "copy": ("copy", {}),
}

__all__ = [
    "copy",
    "decode_video",
    "decode_video_uri",
    "detect_person",
    "draw_boxes",
    "encode_video",
    "filter_resize",
    "write_detections",
]


def __getattr__(name: str) -> Any:
    if name not in _ARGUMENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from accelchain.kfp.authoring.ready import component_of

    function, options = _ARGUMENTS[name]
    component = component_of(function, **options)
    globals()[name] = component
    return component


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
