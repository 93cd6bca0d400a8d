# SPDX-License-Identifier: Apache-2.0
"""What happens when something fails: two ways to try again, a time limit, and a step that tells of it.

``retries`` is ours: the DataFlow runs again within its step, after 1 to 300 s. ``retry_strategy`` is Argo's: a new
attempt is a new DataFlow. Use one of them. A node is ``Failed`` by the fault of its input or a function, ``Error`` by
that of the machines: Argo tries only the former again unless it is told ``Always``.
"""

from hera.workflows import DAG, Container, Parameter, RetryStrategy, Workflow
from hera.workflows.models import Backoff

from accelchain.hera import Chain
from accelchain.hera.functions import decode_video, detect_person, encode_video, filter_resize, write_detections

with Chain("shrink", retries=2, timeout="30m") as shrink:
    frames = decode_video(shrink.input("video", uri=shrink.parameter("from", str)), timeout=60)
    encode_video(
        filter_resize(frames, width=640, height=360), uri=shrink.output("small", uri=shrink.parameter("to", str))
    )

again = RetryStrategy(limit="1", retry_policy="Always", backoff=Backoff(duration="30s"))
with Chain("detect", retry_strategy=again, timeout="30m") as detect:
    frames = decode_video(detect.input("video", uri=detect.parameter("from", str)))
    found = detect_person(filter_resize(frames, width=300, height=300))
    write_detections(found, uri=detect.output("found", uri=detect.parameter("to", str)))

with Workflow(
    generate_name="retries-",
    entrypoint="main",
    arguments=[Parameter(name="shrink", value=True)],
) as w:
    w.on_exit = Container(
        name="tell", image="busybox:1.37", command=["echo", "{{workflow.status}} {{workflow.failures}}"]
    )
    with DAG(name="main", fail_fast=False):
        shrink(
            arguments={"from": "s3://videos/street.mp4", "to": "s3://videos/street.small.mp4"},
            when="{{workflow.parameters.shrink}} == true",
        )
        detect(arguments={"from": "s3://videos/street.mp4", "to": "s3://videos/street.jsonl"})

if __name__ == "__main__":
    print(w.to_yaml())
