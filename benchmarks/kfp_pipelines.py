# SPDX-License-Identifier: Apache-2.0
"""Pipelines that the figures of Kubeflow Pipelines are measured with, and kfp.local to run them."""

# no annotations from __future__: KFP reads the types of pipelines
import contextlib
import io
import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from kfp import compiler, components, dsl, local

import accelchain.kfp
from accelchain.kfp import Detections, chain
from accelchain.kfp.functions import copy, decode_video_uri, detect_person, encode_video, filter_resize


@chain
def find_people(video: str, frames: int) -> Detections:
    """Three functions: uncompressed frames go from the first to the second, small ones to the third."""
    pictures = decode_video_uri(uri=video, frames=frames).outputs["frames"]
    small = filter_resize(frames=pictures, width=300, height=300).outputs["frames"]
    return detect_person(frames=small).outputs["detections"]  # type: ignore[no-any-return]


@dsl.pipeline(name="three-functions")
def three_functions(video: str, frames: int) -> Detections:
    """The chain alone."""
    return find_people(video=video, frames=frames).output  # type: ignore[no-any-return]


@chain
def hand_over(video: str, frames: int) -> dsl.Artifact:
    """Frames of any size, worked on as little as can be: from host to device, on the device, and back to the host."""
    pictures = decode_video_uri(uri=video, frames=frames).outputs["frames"]
    again = copy(frames=copy(frames=pictures).outputs["frames"]).outputs["frames"]
    return encode_video(frames=again, preset="ultrafast").outputs["video"]  # type: ignore[no-any-return]


@dsl.pipeline(name="hand-over")
def handing(video: str, frames: int) -> dsl.Artifact:
    """The chain alone."""
    return hand_over(video=video, frames=frames).output  # type: ignore[no-any-return]


def texts(pipeline: Any, folder: Path) -> tuple[str, str]:
    """Return a pipeline's IR as separate steps and fused."""
    plain, fused = folder / f"{pipeline.name}.yaml", folder / f"{pipeline.name}-fused.yaml"
    compiler.Compiler().compile(pipeline, str(plain))
    accelchain.kfp.compile(pipeline, str(fused))
    return plain.read_text(), fused.read_text()


def seconds(text: str, root: Path, **arguments: Any) -> float:
    """Run an IR by kfp.local; return the seconds that it took.

    Raises:
        RuntimeError: it failed; the message is what it printed last.
    """
    component = components.load_component_from_text(text)
    root.mkdir(parents=True, exist_ok=True)
    logging.getLogger().setLevel(logging.ERROR)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(root))
    printed = io.StringIO()
    began = time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of images that it does not use, and of resources that it does not set
            component(**arguments)
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{printed.getvalue()[-2000:]}") from error
    return time.monotonic() - began


def clip(path: Path, width: int, height: int, frames: int) -> Path:
    """Write a video of plain pictures, which costs next to nothing to decode and encode."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.full((height, width, 3), index * 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def parts(whole: float, start: float, hand_overs: float) -> Mapping[str, float]:
    """Return where the seconds went: to the start of steps, to hand-overs, and to work."""
    return {
        "seconds": round(whole, 2),
        "start": round(start, 2),
        "hand_over": round(hand_overs, 4),
        "work": round(max(0.0, whole - start - hand_overs), 2),
    }
