# SPDX-License-Identifier: Apache-2.0
"""A stream that a task of kfp.local starts in a running ``accelchain up``, and another one ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import local

from components.deployment.dataflow_delete import dataflow_delete
from components.deployment.dataflow_deploy import dataflow_deploy

REPOSITORY = Path(__file__).parents[4]
CLIP = REPOSITORY / "pipelines/person-detection/people.mp4"
ACCELCHAIN = [sys.executable, "-m", "accelchain.cli.main"]
LATE = {
    "kind": "DataFlow",
    "spec": {
        "chain": {
            "inputs": [{"name": "camera"}],
            "outputs": [{"name": "film"}],
            "functions": [
                {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.camera.uri)"}},
                {"name": "dawdle", "type": "dawdle", "parameters": {"seconds": 2}},
                {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.film.uri)"}},
            ],
            "connections": [
                {"from": "decode.frames", "to": "dawdle.frames"},
                {"from": "dawdle.frames", "to": "encode.frames"},
            ],
        },
    },
}
"""A clip that takes minutes, in the place of a camera."""


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ACCELCHAIN_FUNCTIONS", str(REPOSITORY / "tests/realkube/functions"))
    process = subprocess.Popen([*ACCELCHAIN, "up"], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline(), "it prints a kubeconfig when it is ready"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    yield
    process.terminate()
    process.wait(20)


def test_deploy_and_delete(up: None, tmp_path: Path) -> None:
    film = {"film": str(tmp_path / "film.mp4")}
    deployed = dataflow_deploy(name="camera", manifest=LATE, inputs={"camera": str(CLIP)}, outputs=film)
    assert deployed.outputs["dataflow"] == "camera"
    listed = subprocess.run([*ACCELCHAIN, "get", "dataflows"], capture_output=True, text=True, check=True).stdout
    assert "camera" in listed and "Running" in listed
    assert dataflow_delete(name="camera").outputs["dataflow"] == "camera"
    listed = subprocess.run([*ACCELCHAIN, "get", "dataflows"], capture_output=True, text=True, check=True).stdout
    assert "camera" not in listed
    assert dataflow_delete(name="camera").outputs["dataflow"] == "camera", "one that is gone is no error"
