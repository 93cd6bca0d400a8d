# SPDX-License-Identifier: Apache-2.0
"""One chain for every video of a list, no more than four at a time.

The list comes from a step before; each item is an address, which reaches the chain as a parameter. The semaphore bounds
how many DataFlows run at once, in this and in other Workflows.
"""

from hera.workflows import Parameter, Steps, Workflow, script
from hera.workflows.models import ConfigMapKeySelector, SemaphoreRef, Synchronization

from accelchain.hera import Chain
from accelchain.hera.functions import decode_video, detect_person, filter_resize, write_detections

four_at_a_time = Synchronization(
    semaphores=[SemaphoreRef(config_map_key_ref=ConfigMapKeySelector(name="limits", key="detect"))]
)

with Chain("detect", synchronization=four_at_a_time, rate=10) as detect:
    key = detect.parameter("key", str)
    frames = decode_video(detect.input("video", uri=f"s3://videos/{key}", credentials="videos"))
    on_gpu = detect_person.options(device_types=["gpu", "fpga"])
    found = on_gpu(filter_resize(frames, width=300, height=300))
    write_detections(found, uri=detect.output("found", uri=f"s3://results/{key}.jsonl", credentials="videos"))
    detect.result("people", "write-detections.detections", default=0)


@script(image="python:3.12-slim")
def listed() -> None:
    """Print the list."""
    import json
    import sys

    json.dump([f"street/{hour:02}.mp4" for hour in range(24)], sys.stdout)


@script(image="python:3.12-slim")
def total(people: list[int]) -> None:
    """Print the sum."""
    print(sum(map(int, people)))


with Workflow(generate_name="fan-out-", entrypoint="main") as w, Steps(name="main"):
    videos = listed()
    detected = detect(with_param=videos.result, arguments={"key": "{{item}}"})
    total(arguments=Parameter(name="people", value="{{steps.detect.outputs.parameters.people}}"))

if __name__ == "__main__":
    print(w.to_yaml())
