# SPDX-License-Identifier: Apache-2.0
"""The interface of dataflow_run, and the command that its container runs."""

from pathlib import Path

import pytest
import yaml
from kfp import compiler, components

from components.data_processing.dataflow_run import dataflow_run
from components.data_processing.dataflow_run.example_pipelines import shrink


def test_it_compiles_and_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "component.yaml"
    compiler.Compiler().compile(dataflow_run, str(file))
    loaded = components.load_component_from_file(str(file))
    assert set(loaded.component_spec.inputs) >= {"manifest", "chain", "parameters", "inputs", "outputs"}
    assert all(loaded.component_spec.inputs[name].optional for name in ("manifest", "chain", "run_timeout"))
    assert set(loaded.component_spec.outputs) >= {"dataflow", "frames", "status", "metrics", "report", "summary"}


@pytest.mark.parametrize("name", ["manifest", "chain", "parameters", "inputs", "outputs"])
def test_what_is_not_given_is_not_said(name: str, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(shrink, str(file))
    (executor,) = next(yaml.safe_load_all(file.read_text()))["deploymentSpec"]["executors"].values()
    words = [word for word in executor["container"]["args"] if f'"InputName": "{name}"' in word]
    assert len(words) == 1 and words[0].startswith('{"IfPresent"')
