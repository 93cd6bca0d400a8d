# SPDX-License-Identifier: Apache-2.0
"""Person detection as one step of a DAG, with ordinary steps around it.

``fetch`` and ``publish`` are pods. ``detect`` is a chain of six functions with a branch and a join: one template, one
node of the Workflow, one DataFlow, and no pod of Argo's. Its artifacts lie in the Workflow's artifact repository, where
``fetch`` put the video and ``publish`` takes the results from.
"""

from hera.workflows import DAG, Artifact, Container, NoneArchiveStrategy, Parameter, Workflow

from accelchain.hera import Chain
from accelchain.hera.functions import (
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)

with Chain("detect") as detect:
    threshold = detect.parameter("threshold", default=0.4)
    frames = decode_video(detect.input("video"))
    found = detect_person(filter_resize(frames, width=300, height=300), threshold=threshold)
    encode_video(draw_boxes(frames, found), uri=detect.output("annotated"))
    write_detections(found, uri=detect.output("detections"))
    detect.result("frames")
    detect.result("people", "write-detections.detections")

with Workflow(
    generate_name="person-detection-",
    entrypoint="main",
    arguments=Parameter(name="video", value="https://example.com/street.mp4"),
) as w:
    fetch = Container(
        name="fetch",
        image="curlimages/curl:8.16.0",
        command=["curl", "-fsSL", "-o", "/tmp/video.mp4", "{{inputs.parameters.url}}"],
        inputs=Parameter(name="url"),
        outputs=Artifact(name="video", path="/tmp/video.mp4", archive=NoneArchiveStrategy()),
    )
    publish = Container(
        name="publish",
        image="busybox:1.37",
        command=[
            "sh",
            "-c",
            "echo {{inputs.parameters.people}} found in {{inputs.parameters.frames}} frames; ls -l /in",
        ],
        inputs=[
            Parameter(name="frames"),
            Parameter(name="people"),
            Artifact(name="annotated", path="/in/annotated.mp4"),
            Artifact(name="detections", path="/in/detections.jsonl"),
        ],
    )
    with DAG(name="main"):
        fetched = fetch(arguments={"url": w.get_parameter("video")})
        detected = detect(arguments={"video": fetched.get_artifact("video"), "threshold": 0.5})
        published = publish(
            arguments=[
                detected.get_parameter("frames"),
                detected.get_parameter("people"),
                detected.get_artifact("annotated"),
                detected.get_artifact("detections"),
            ]
        )
        fetched >> detected >> published

if __name__ == "__main__":
    print(w.to_yaml())
