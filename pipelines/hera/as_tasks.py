# SPDX-License-Identifier: Apache-2.0
"""The same chain as four ordinary pods, to compare results with and without accelerators.

``as_tasks()`` is a DAG template with the chain's arguments and artifacts; its pods hand over files.
``accelchain fuse pipelines/hera/as_tasks.yaml`` makes one chain of it again.
"""

from hera.workflows import DAG, S3Artifact, Workflow

from accelchain.hera import Chain
from accelchain.hera.functions import copy, decode_video, encode_video, filter_resize

with Chain("shrink") as shrink:
    height = shrink.parameter("height", default=360)
    frames = copy(decode_video(shrink.input("video")))
    encode_video(filter_resize(frames, width=640, height=height), uri=shrink.output("small"))

with Workflow(generate_name="as-tasks-", entrypoint="main") as w, DAG(name="main"):
    shrunk = shrink.as_tasks(name="shrink")
    shrunk(arguments={"video": S3Artifact(name="video", bucket="videos", key="street.mp4"), "height": 240})

if __name__ == "__main__":
    print(w.to_yaml())
