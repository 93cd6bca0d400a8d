# SPDX-License-Identifier: Apache-2.0
"""Every folder of pipelines/argo is what its expect.yaml says, and right by our lint and by Argo's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.documents import is_argo, templates
from accelchain.cli.commands import cli

PIPELINES = Path(__file__).parents[3] / "pipelines"
CHAIN = PIPELINES / "person-detection" / "dataflow.yaml"
FOLDERS = sorted(path.parent for path in PIPELINES.glob("argo/*/expect.yaml"))
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.yaml") if path.name != "expect.yaml")
FIELDS = {"steps", "outputs", "chain", "resource"}

JsonObject = dict[str, Any]


def name_of(path: Path) -> str:
    return str(path.relative_to(PIPELINES / "argo"))


def call(*arguments: object) -> Result:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done


def read(path: Path) -> list[JsonObject]:
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def steps_of(path: Path) -> dict[str, JsonObject]:
    """Templates of ours by name."""
    found = (place for d in read(path) if is_argo(d) for place in templates(d))
    return {place.name: place.template for place in found if is_ours(place.template)}


def main_file(folder: Path) -> Path:
    return next(path for path in (folder / "workflow.yaml", folder / "templates.yaml") if path.exists())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_our_lint_finds_nothing(path: Path) -> None:
    done = call("validate", path, CHAIN)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_an_example_is_what_it_says(folder: Path) -> None:
    expected = yaml.safe_load((folder / "expect.yaml").read_text())
    assert set(expected) <= FIELDS, "this test does not know what to do with a field"
    steps = steps_of(main_file(folder))
    assert set(steps) == set(expected["steps"])
    for name, template in steps.items():
        calls = [
            task["name"]
            for document in read(main_file(folder))
            for place in templates(document)
            for group in (place.template.get("steps") or [place.template.get("dag", {}).get("tasks", [])])
            for task in group
            if task.get("template") == name
        ]
        assert calls == expected["steps"][name]
        declared = [parameter["name"] for parameter in template.get("outputs", {}).get("parameters", [])]
        assert declared == expected["outputs"][name]
        spec = template["plugin"]["accelchain"]["dataflow"]
        chain = spec["chainRef"]["name"] if "chainRef" in spec else [f["name"] for f in spec["chain"]["functions"]]
        assert chain == expected["chain"]


@pytest.mark.parametrize("folder", [f for f in FOLDERS if steps_of(main_file(f))], ids=name_of)
def test_a_cluster_without_plugins_runs_it_too_or_is_told_why_not(folder: Path, tmp_path: Path) -> None:
    expected = yaml.safe_load((folder / "expect.yaml").read_text())
    done = call("argo", "resource", main_file(folder), "-o", tmp_path / "resource.yaml")
    if why := expected.get("resource"):
        assert done.exit_code == 2 and why in done.stderr
        return
    assert done.exit_code == 0, done.stderr
    assert steps_of(tmp_path / "resource.yaml") == {}
    argo_lint(tmp_path / "resource.yaml")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_argos_lint_finds_nothing(path: Path) -> None:
    if not os.environ.get("ACCELCHAIN_ARGO"):
        pytest.skip("ACCELCHAIN_ARGO names no argo command (docs/argo.md says where its releases are)")
    argo_lint(path)


TEMPLATES = [
    block
    for block in re.findall(r"```yaml\n(.*?)```", (PIPELINES.parent / "docs" / "argo.md").read_text(), re.DOTALL)
    if "plugin:" in block
]


@pytest.mark.parametrize("text", TEMPLATES, ids=range(len(TEMPLATES)))
def test_what_the_docs_tell_people_to_write_is_right(text: str, tmp_path: Path) -> None:
    parsed = yaml.safe_load(text)
    template = parsed[0] if isinstance(parsed, list) else {"name": "detect", **parsed}
    inputs = template.get("inputs", {})
    arguments = {
        "parameters": [{"name": p["name"], "value": "0.4"} for p in inputs.get("parameters", [])],
        "artifacts": [{"name": a["name"], "s3": {"key": "x"}} for a in inputs.get("artifacts", [])],
    }
    spec = {"entrypoint": "detect", "arguments": arguments, "templates": [template]}
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "docs-"}}
    file = tmp_path / "workflow.yaml"
    file.write_text(yaml.safe_dump({**head, "spec": spec}))
    done = call("validate", file, CHAIN)
    assert (done.exit_code, done.stderr) == (0, "")
    argo_lint(file)


def argo_lint(path: Path) -> None:
    """Let Argo's own command check a file, where there is one."""
    argo = os.environ.get("ACCELCHAIN_ARGO")
    if not argo:
        return
    done = subprocess.run(
        [argo, "lint", "--offline", "--no-color", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
