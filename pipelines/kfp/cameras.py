# SPDX-License-Identifier: Apache-2.0
"""The same chain for every camera of a list, two at a time, and one report of them all (ParallelFor, Collected)."""

from pathlib import Path

from kfp import dsl

from accelchain.kfp import chain, compile
from accelchain.kfp.functions import decode_video_uri, detect_person, filter_resize, write_detections


@chain(rate=10)
def count_people(camera: str, frames: int, threshold: float) -> int:
    """Count the boxes around people in some frames of a camera; devices are reserved for 10 frames a second."""
    pictures = decode_video_uri(uri=camera, frames=frames).outputs["frames"]
    small = filter_resize(frames=pictures, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    return write_detections(detections=found).outputs["count"]


@dsl.component(base_image="python:3.12-slim")
def report(counts: list[int]) -> str:
    """Write one line for all cameras."""
    return f"{len(counts)} cameras, {sum(counts)} boxes, the most at one camera: {max(counts)}"


@dsl.pipeline(name="cameras")
def cameras(addresses: list[str], frames: int = 25, threshold: float = 0.4) -> str:
    """Count people at many cameras."""
    with dsl.ParallelFor(addresses, parallelism=2) as camera:
        counted = count_people(camera=camera, frames=frames, threshold=threshold)
    return report(counts=dsl.Collected(counted.output)).output


if __name__ == "__main__":
    compile(cameras, str(Path(__file__).with_suffix(".yaml")))
