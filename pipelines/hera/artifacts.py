# SPDX-License-Identifier: Apache-2.0
"""Artifacts in and out, at places of one's own.

The source reads the input artifact where it lies and the sink writes the output artifact to its key: nothing is copied
into a pod. An artifact without a key goes to the Workflow's artifact repository.
"""

from hera.workflows import DAG, Artifact, Container, S3Artifact, Workflow

from accelchain.hera import Chain
from accelchain.hera.functions import decode_video, encode_video, filter_resize

with Chain("shrink") as shrink:
    street = S3Artifact(bucket="videos", key="street.mp4")
    frames = decode_video(shrink.input("video", artifact=street))
    small = S3Artifact(bucket="videos", key="{{workflow.name}}/small.mp4", global_name="small")
    encode_video(filter_resize(frames, width=640, height=360), uri=shrink.output("small", artifact=small))
    encode_video(filter_resize(frames, width=64, height=36), uri=shrink.output("icon"))

with Workflow(generate_name="artifacts-", entrypoint="main") as w:
    show = Container(
        name="show",
        image="busybox:1.37",
        command=["ls", "-l", "/in"],
        inputs=[Artifact(name="small", path="/in/small.mp4"), Artifact(name="icon", path="/in/icon.mp4")],
    )
    with DAG(name="main"):
        shrunk = shrink()
        shown = show(arguments=[shrunk.get_artifact("small"), shrunk.get_artifact("icon")])
        shrunk >> shown

if __name__ == "__main__":
    print(w.to_yaml())
