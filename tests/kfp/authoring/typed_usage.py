# SPDX-License-Identifier: Apache-2.0
"""What a type checker sees. Checked by test_types.py, never run: each ``reveal_type`` is followed by what it shows."""

from __future__ import annotations

from typing import reveal_type

from accelchain.kfp import accelerated, chain, compile, component_of, fused, literal, offload
from accelchain.kfp.functions import decode_video_uri, detect_person, filter_resize, write_detections


@accelerated("measure", parameters={"least": 3, "mode": literal("fast")}, device_types=["gpu"])
def measure(text: str) -> int:
    return len(text)


@chain
def people(uri: str, threshold: float = 0.5) -> int:
    frames = decode_video_uri(uri=uri, threads=2)
    small = filter_resize(frames=frames.outputs["frames"], width=300, height=300)
    found = detect_person(frames=small.outputs["frames"], threshold=threshold)
    count: int = write_detections(detections=found.outputs["detections"]).outputs["count"]
    return count


@chain(name="crowd", rate=8, retries=1)
def crowd(uri: str) -> None:
    people(uri=uri)


def usage() -> None:
    reveal_type(measure)  # Component
    reveal_type(people)  # Component
    reveal_type(crowd)  # Component
    reveal_type(people.name)  # str
    reveal_type(fused(people))  # Component
    reveal_type(component_of("copy"))  # Component
    reveal_type(chain("detect"))  # Chain
    reveal_type(filter_resize.name)  # str
    with chain("detect", rate=4) as open_chain:
        reveal_type(open_chain)  # Chain
    reveal_type(offload("task", "copy"))  # str
    compile(people, "people.yaml", report="report.json", functions=["functions"])

    people(uri=3)  # error: arg-type
    people()  # error: call-arg
    people(uri="a", level=3)  # error: call-arg
    crowd(uri="a", threshold=0.5)  # error: call-arg
    filter_resize(frames=people.component_spec, width="wide", height=1)  # error: arg-type
    filter_resize(frames=people.component_spec, width=1)  # error: call-arg
    filter_resize(frames=people.component_spec, width=1, height=1, filter="blur")  # error: arg-type
    accelerated("x", device_types=["tpu"])  # error: list-item
    accelerated("x", rate="fast")  # error: arg-type
    chain("x", retries="many")  # error: call-overload
    compile(people, "people.yaml", fuze=False)  # error: call-arg
