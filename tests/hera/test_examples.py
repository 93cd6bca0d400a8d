# SPDX-License-Identifier: Apache-2.0
"""Every example makes the YAML beside it, and that YAML is right. ``REGENERATE=1`` writes it anew."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hera.workflows import Workflow

from accelchain.argo.lint import Known, lint, load
from accelchain.cli.commands import cli
from accelchain.hera.known import installed_types

FOLDER = Path(__file__).parents[2] / "pipelines" / "hera"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def workflow_of(example: Path) -> Workflow:
    spec = importlib.util.spec_from_file_location(example.stem, example)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    found: Workflow = module.w
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path) -> None:
    workflow = workflow_of(example)
    golden = example.with_suffix(".yaml")
    if os.environ.get("REGENERATE"):
        golden.write_text(f"# Made by {example.name}.\n{workflow.to_yaml()}", encoding="utf-8")
    text = golden.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == workflow.to_dict()
    assert Workflow.from_yaml(text).to_dict() == workflow.to_dict()  # type: ignore[attr-defined]
    report = lint(load(text, golden.name), Known(types=installed_types()))
    assert not report.findings


def call(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def fused_of(pods: Path) -> str:
    return call("fuse", pods).replace("# Made by as_tasks.py.", "# Made of as_tasks.yaml by accelchain fuse.", 1)


def meaning(text: str) -> Any:
    """What a fused file says but for the original that it keeps, whose packing is zlib's affair."""
    document = yaml.safe_load(text)
    del document["metadata"]["annotations"]["accelchain.io/fused-from"]
    return document


def test_the_pods_of_an_example_are_one_chain_again(tmp_path: Path) -> None:
    pods, golden = FOLDER / "as_tasks.yaml", FOLDER / "as_tasks.fused.yaml"
    text = fused_of(pods)
    if os.environ.get("REGENERATE"):
        golden.write_text(text, encoding="utf-8")
    assert meaning(golden.read_text(encoding="utf-8")) == meaning(text)
    call("validate", golden)
    assert yaml.safe_load(call("unfuse", golden)) == yaml.safe_load(pods.read_text(encoding="utf-8"))


def test_all_are_there() -> None:
    assert len(EXAMPLES) == 5
