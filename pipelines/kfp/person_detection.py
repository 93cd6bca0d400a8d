# SPDX-License-Identifier: Apache-2.0
"""Find people in a video: a chain of six functions as one task, with ordinary components around it.

``python pipelines/kfp/person_detection.py`` writes person_detection.yaml, to be uploaded as any pipeline.
"""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from accelchain.kfp import chain, compile
from accelchain.kfp.functions import (
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)


class Found(NamedTuple):
    """What the chain gives."""

    annotated: dsl.Artifact
    people: dsl.Artifact
    count: int


@dsl.component(base_image="python:3.12-slim")
def fetch(address: str, video: dsl.Output[dsl.Artifact]) -> None:
    """Get a video from a web server, or from a path on this machine."""
    import shutil
    import urllib.request

    url = address if ":" in address else f"file://{address}"
    with urllib.request.urlopen(url, timeout=30) as source, open(video.path, "wb") as target:
        shutil.copyfileobj(source, target)


@chain
def annotate(video: dsl.Input[dsl.Artifact], threshold: float = 0.4) -> Found:
    """Frames stay on the devices; video and boxes come out."""
    frames = decode_video(video=video).outputs["frames"]
    small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    drawn = draw_boxes(frames=frames, detections=found).outputs["frames"]
    lines = write_detections(detections=found)
    return Found(encode_video(frames=drawn).outputs["video"], lines.outputs["lines"], lines.outputs["count"])


@dsl.component(base_image="python:3.12-slim")
def publish(annotated: dsl.Input[dsl.Artifact], people: dsl.Input[dsl.Artifact], count: int) -> str:
    """Say what was found, in a sentence."""
    import json
    import os

    with open(people.path) as lines:
        frames = [json.loads(line) for line in lines]
    most = max(len(frame["detections"]) for frame in frames)
    size = os.path.getsize(annotated.path)
    return f"{count} boxes in {len(frames)} frames, at most {most} at a time; the video has {size} bytes"


@dsl.pipeline(name="person-detection")
def person_detection(address: str, threshold: float = 0.4) -> str:
    """Get a video, find the people in it, say what was found."""
    found = annotate(video=fetch(address=address).outputs["video"], threshold=threshold)
    return publish(
        annotated=found.outputs["annotated"], people=found.outputs["people"], count=found.outputs["count"]
    ).output


if __name__ == "__main__":
    compile(person_detection, str(Path(__file__).with_suffix(".yaml")))
