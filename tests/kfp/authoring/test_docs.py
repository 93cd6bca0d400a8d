# SPDX-License-Identifier: Apache-2.0
"""What docs/kfp.md tells people to write works."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from kfp import compiler

ROOT = Path(__file__).parents[3]
CLIP = ROOT / "pipelines" / "person-detection" / "people.mp4"
OWN = ROOT / "pipelines" / "own-function" / "functions"
PAGE = (ROOT / "docs" / "kfp.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """All of the page's Python as one module: KFP reads components' sources, so it is a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "functions").symlink_to(OWN)
    file = tmp_path / "page.py"
    file.write_text("\n\n".join(BLOCKS))
    spec = importlib.util.spec_from_file_location("page", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(300)
def test_the_first_example_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "people.mp4").symlink_to(CLIP)
    (tmp_path / "street.py").write_text(BLOCKS[0])
    done = subprocess.run(
        [sys.executable, "street.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.splitlines().count("crowded") == 2
    outcomes = [entry["outcome"] for entry in json.loads((tmp_path / "report.json").read_text())["steps"]]
    assert outcomes.count("fused") == 6
    pipeline = next(yaml.safe_load_all((tmp_path / "street.yaml").read_text()))
    assert "executorLabel" in pipeline["components"]["comp-find-people"]


@pytest.mark.parametrize("pipeline", ["street", "thumbnails", "cameras"])
def test_pipelines_of_the_page_compile(page: ModuleType, tmp_path: Path, pipeline: str) -> None:
    for compile in (compiler.Compiler().compile, page.accel.compile):
        compile(getattr(page, pipeline), str(tmp_path / "compiled.yaml"))
        assert yaml.safe_load_all((tmp_path / "compiled.yaml").read_text())


def test_components_of_the_page(page: ModuleType) -> None:
    assert sorted(page.invert.component_spec.inputs) == ["frames"]
    assert sorted(page.quiet.component_spec.outputs) == ["lines", "people"]
    assert sorted(page.live.component_spec.inputs) == ["frames", "preset", "quality", "threads", "uri"]
    assert page.shrink.name == "shrink"


def test_the_table_of_ready_made_components_is_right(page: ModuleType) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", PAGE[PAGE.index("## Ready-made") :], re.MULTILINE)
    functions = page.accel.functions
    for name, inputs, outputs in rows:
        spec = getattr(functions, name).component_spec
        named = set(re.findall(r"`(\w+)`", inputs))
        assert named <= set(spec.inputs) and ("…" in inputs or named == set(spec.inputs)), name
        assert set(re.findall(r"`(\w+)`", outputs)) == set(spec.outputs), name
    assert {name for name, _, _ in rows} == set(functions.__all__)
