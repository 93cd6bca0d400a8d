# SPDX-License-Identifier: Apache-2.0
"""Flows that last as long as a test wants them to, and small videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

Flow = dict[str, Any]

MANIFEST = """
apiVersion: accelchain.io/v1alpha1
kind: FunctionType
metadata: {name: dawdle}
spec:
  version: 1.0.0
  description: Hands pictures on, late.
  inputs: [{name: frames, type: frames, dtype: uint8, shape: [height, width, 3]}]
  outputs: [{name: frames, type: frames, dtype: uint8, shape: [height, width, 3]}]
  parameters:
    - {name: seconds, type: number, minimum: 0, default: 0.1}
    - {name: failAt, type: integer, minimum: 0, default: 0, description: the frame at which it breaks; 0 is never}
  implementations: [{name: host, api: host, deviceTypes: [cpu], entrypoint: "dawdle:Dawdle", framesPerSecond: 100}]
"""
CODE = '''
"""Waits for every picture."""
import logging
import time


class Dawdle:
    def setup(self, context):
        self._seconds = context.parameters["seconds"]
        self._fail_at = context.parameters["failAt"]
        self._count = 0
        return {"frames": context.inputs["frames"]}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        self._count += 1
        if self._fail_at and self._count >= self._fail_at:
            logging.getLogger("dawdle").error("the reason is told in the log")
            raise RuntimeError("dawdle breaks")
        time.sleep(self._seconds)
        outputs["frames"].array[...] = inputs["frames"].array

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
'''


def write_video(path: Path, frames: int, width: int = 64, height: int = 48) -> Path:
    """Write a small video, 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.full((height, width, 3), index * 5 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``--functions`` with ``dawdle``."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "dawdle").mkdir()
    (folder / "dawdle" / "functiontype.yaml").write_text(MANIFEST)
    (folder / "dawdle" / "dawdle.py").write_text(CODE)
    return folder


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 100 frames."""
    return write_video(tmp_path_factory.mktemp("video") / "grey.mp4", 100)


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """Make videos: path, number of frames, width, height."""
    return write_video


@pytest.fixture
def late_flow(video: Path) -> Callable[..., str]:
    """Make the YAML of a flow that takes ``seconds`` a frame of a video of 100 frames."""

    def make(output: Path, name: str = "late", spec: Mapping[str, Any] | None = None, **parameters: object) -> str:
        functions = [
            {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
            {"name": "dawdle", "type": "dawdle", "parameters": parameters},
            {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.film.uri)"}},
        ]
        connections = [
            {"from": "decode.frames", "to": "dawdle.frames"},
            {"from": "dawdle.frames", "to": "encode.frames"},
        ]
        chain = {
            "inputs": [{"name": "video"}],
            "outputs": [{"name": "film"}],
            "functions": functions,
            "connections": connections,
        }
        flow: Flow = {
            "apiVersion": "accelchain.io/v1alpha1",
            "kind": "DataFlow",
            "metadata": {"name": name},
            "spec": {
                "inputs": {"video": {"uri": video.as_uri()}},
                "outputs": {"film": {"uri": output.absolute().as_uri()}},
                "chain": chain,
                **(spec or {}),
            },
        }
        return yaml.safe_dump(flow)

    return make
