# SPDX-License-Identifier: Apache-2.0
"""The interface of dataflow_deploy, and what it says without a cluster."""

from pathlib import Path

import pytest
from kfp import compiler, components, local

from components.deployment.dataflow_deploy import dataflow_deploy
from components.deployment.dataflow_deploy.example_pipelines import live


def test_it_compiles_and_is_loaded_again(tmp_path: Path) -> None:
    for each in (dataflow_deploy, live):
        compiler.Compiler().compile(each, str(tmp_path / "compiled.yaml"))
        components.load_component_from_file(str(tmp_path / "compiled.yaml"))
    assert not dataflow_deploy.component_spec.inputs["name"].optional
    assert set(dataflow_deploy.component_spec.outputs) == {"dataflow", "namespace", "endpoint"}


def test_nothing_outlives_a_task_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    with pytest.raises(RuntimeError):
        dataflow_deploy(name="camera", chain="watch")
    assert "accelchain up" in capfd.readouterr().out
