# SPDX-License-Identifier: Apache-2.0
"""Tasks of a pipeline as it is, grouped by ``with chain``; an ordinary component looks at frames in between (a tap)."""

from pathlib import Path

from kfp import dsl

from accelchain.kfp import Frames, chain, compile
from accelchain.kfp.functions import decode_video_uri, detect_person, filter_resize, write_detections


@dsl.component(base_image="python:3.12-slim")
def brightness(frames: dsl.Input[Frames]) -> float:
    """Return the mean brightness of the pictures in a file of frames; docs/functions.md describes the format."""
    import json
    import struct

    with open(frames.path, "rb") as file:
        _, _, length, count = struct.unpack("<8sIIQ", file.read(24))
        height, width, channels = json.loads(file.read(length))["shape"]
        total = 0
        for _ in range(count):
            file.read(*struct.unpack("<I", file.read(4)))  # what travels with a frame
            total += sum(file.read(height * width * channels))
    return total / (count * height * width * channels)


@dsl.pipeline(name="grouped")
def grouped(video: str, frames: int = 10, threshold: float = 0.4) -> dsl.Artifact:
    """Find people, and measure what the detector saw."""
    with chain("detect"):
        pictures = decode_video_uri(uri=video, frames=frames)
        small = filter_resize(frames=pictures.outputs["frames"], width=300, height=300)
        found = detect_person(frames=small.outputs["frames"], threshold=threshold)
        lines = write_detections(detections=found.outputs["detections"])
    brightness(frames=small.outputs["frames"])  # not in the chain: it gets a file, written beside the chain's way
    return lines.outputs["lines"]


if __name__ == "__main__":
    compile(grouped, str(Path(__file__).with_suffix(".yaml")))
