# SPDX-License-Identifier: Apache-2.0
"""Every example makes the YAML beside it, and that YAML is right. ``REGENERATE=1`` writes it anew."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path

import pytest
import yaml
from hera.workflows import Workflow

from accelchain.argo.lint import Known, lint, load
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


def test_all_are_there() -> None:
    assert len(EXAMPLES) == 5
