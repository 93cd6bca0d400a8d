# SPDX-License-Identifier: Apache-2.0
"""A table, a chain and an evaluation: pandas chooses what is looked at, metrics say how it went."""

from pathlib import Path

from kfp import dsl

from accelchain.kfp import chain, compile
from accelchain.kfp.functions import decode_video_uri, detect_person, filter_resize, write_detections


@dsl.component(base_image="python:3.12-slim", packages_to_install=["pandas"])
def choose(table: str) -> str:
    """Return the address of the video with the most people last time; the table is CSV: video,people."""
    import io

    import pandas

    rows = pandas.read_csv(io.StringIO(table))
    return str(rows.sort_values("people", ascending=False).iloc[0]["video"])


@chain
def find(video: str, frames: int, threshold: float) -> dsl.Artifact:
    """Find people."""
    pictures = decode_video_uri(uri=video, frames=frames).outputs["frames"]
    small = filter_resize(frames=pictures, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    return write_detections(detections=found).outputs["lines"]


@dsl.component(base_image="python:3.12-slim")
def evaluate(lines: dsl.Input[dsl.Artifact], metrics: dsl.Output[dsl.Metrics]) -> float:
    """Return the mean score, and keep what the run's page shows."""
    import json

    with open(lines.path) as file:
        frames = [json.loads(line) for line in file]
    scores = [found["score"] for frame in frames for found in frame["detections"]]
    mean = sum(scores) / len(scores) if scores else 0.0
    metrics.log_metric("frames", len(frames))
    metrics.log_metric("boxes", len(scores))
    metrics.log_metric("mean score", mean)
    return mean


@dsl.pipeline(name="mixed")
def mixed(table: str, frames: int = 10, threshold: float = 0.4) -> float:
    """Look at the busiest video, and judge what was found."""
    found = find(video=choose(table=table).output, frames=frames, threshold=threshold)
    return evaluate(lines=found.output).outputs["Output"]


if __name__ == "__main__":
    compile(mixed, str(Path(__file__).with_suffix(".yaml")))
