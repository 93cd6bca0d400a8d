# SPDX-License-Identifier: Apache-2.0
"""The interface of dataflow_delete; what it does is tested with dataflow_deploy."""

from pathlib import Path

from kfp import compiler, components

from components.deployment.dataflow_delete import dataflow_delete
from components.deployment.dataflow_delete.example_pipelines import off


def test_it_compiles_and_is_loaded_again(tmp_path: Path) -> None:
    for each in (dataflow_delete, off):
        compiler.Compiler().compile(each, str(tmp_path / "compiled.yaml"))
        components.load_component_from_file(str(tmp_path / "compiled.yaml"))
    assert set(dataflow_delete.component_spec.inputs) == {"name", "timeout"}
