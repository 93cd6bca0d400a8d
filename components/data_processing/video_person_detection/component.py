# SPDX-License-Identifier: Apache-2.0
"""Finds people in a video."""

import json
import os

from kfp import compiler, dsl

IMAGE = os.environ.get("ACCELCHAIN_LAUNCHER_IMAGE", "localhost/accelchain-launcher:dev")
"""The image of accelchain's launcher. The variable counts when the pipeline is compiled."""
_CHAIN = {
    "parameters": [{"name": "threshold", "type": "number", "default": 0.4}],
    "inputs": [{"name": "video"}],
    "outputs": [{"name": "annotated"}, {"name": "detections"}],
    "functions": [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        {"name": "resize", "type": "filter-resize", "parameters": {"width": 300, "height": 300}},
        {"name": "detect", "type": "detect-person", "parameters": {"threshold": "$(parameters.threshold)"}},
        {"name": "draw", "type": "draw-boxes"},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.annotated.uri)"}},
        {"name": "write", "type": "write-detections", "parameters": {"uri": "$(outputs.detections.uri)"}},
    ],
    "connections": [
        {"from": "decode.frames", "to": "resize.frames"},
        {"from": "resize.frames", "to": "detect.frames"},
        {"from": "decode.frames", "to": "draw.frames"},
        {"from": "detect.detections", "to": "draw.detections"},
        {"from": "draw.frames", "to": "encode.frames"},
        {"from": "detect.detections", "to": "write.detections"},
    ],
}
_MANIFEST = {"metadata": {"name": "person-detection"}, "spec": {"chain": _CHAIN}}
_MAP = {
    "parameters": {"threshold": {"input": "threshold"}},
    "inputs": {"video": {"artifact": "video"}},
    "outputs": {
        "annotated": {"artifact": "annotated", "ending": ".mp4"},
        "detections": {"artifact": "detections", "ending": ".jsonl"},
    },
    "results": {"people": "write.detections", "frames_per_second": "framesPerSecond"},
    "pages": {"metrics": "metrics", "report": "report", "summary": "summary"},
}


@dsl.container_component
def video_person_detection(
    video: dsl.Input[dsl.Artifact],
    annotated: dsl.Output[dsl.Artifact],
    detections: dsl.Output[dsl.Artifact],
    people: dsl.OutputPath(int),
    frames: dsl.OutputPath(int),
    frames_per_second: dsl.OutputPath(float),
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    threshold: float = 0.4,
):
    """Find people in a video, and draw boxes around them.

    Six functions in one chain: decode, filter and resize, detect, draw, encode, write. The video is read where it lies
    (a file, an object in S3, http, rtsp), the results are written straight to the pipeline's root.

    Args:
        video: A video, by its uri; use ``dsl.importer`` for one that no step makes.
        threshold: Least score of a person, from 0 to 1.
        annotated: The video with boxes (.mp4).
        detections: A line of JSON a frame (.jsonl): boxes in pixels, scores, labels.
        people: Detections in all frames.
        frames: Frames of the video.
        frames_per_second: Over the whole run.
        metrics: Frames, seconds, frames a second and microseconds a frame of each function.
        report: A page: placement, throughput, frames with boxes.
        summary: Placement, edges and the DataFlow itself as Markdown.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-m", "accelchain.kfp.launcher"],
        args=[
            "run",
            "--executor-input",
            "{{$}}",
            "--compat",
            "kfp.dsl.executor_main",
            "--manifest",
            json.dumps(_MANIFEST),
            "--map",
            json.dumps(_MAP),
        ],
    )


if __name__ == "__main__":
    compiler.Compiler().compile(video_person_detection, __file__.replace(".py", "_component.yaml"))
