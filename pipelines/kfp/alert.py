# SPDX-License-Identifier: Apache-2.0
"""What a chain counted decides what happens next (If, Else, OneOf)."""

from pathlib import Path

from kfp import dsl

from accelchain.kfp import chain, compile
from accelchain.kfp.functions import decode_video_uri, detect_person, filter_resize, write_detections


@chain
def count_people(video: str, frames: int) -> int:
    """Count the boxes around people."""
    pictures = decode_video_uri(uri=video, frames=frames).outputs["frames"]
    small = filter_resize(frames=pictures, width=300, height=300).outputs["frames"]
    return write_detections(detections=detect_person(frames=small).outputs["detections"]).outputs["count"]


@dsl.component(base_image="python:3.12-slim")
def alert(people: int, limit: int) -> str:
    """Say that there are too many people."""
    return f"alert: {people} boxes, {limit} are allowed"


@dsl.component(base_image="python:3.12-slim")
def note(people: int) -> str:
    """Say that all is well."""
    return f"quiet: {people} boxes"


@dsl.pipeline(name="alert")
def crowd(video: str, frames: int = 10, limit: int = 20) -> str:
    """Raise an alert where a video shows too many people."""
    people = count_people(video=video, frames=frames).output
    with dsl.If(people > limit):
        loud = alert(people=people, limit=limit)
    with dsl.Else():
        quiet = note(people=people)
    return dsl.OneOf(loud.output, quiet.output)


if __name__ == "__main__":
    compile(crowd, str(Path(__file__).with_suffix(".yaml")))
