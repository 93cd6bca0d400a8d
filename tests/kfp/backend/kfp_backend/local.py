# SPDX-License-Identifier: Apache-2.0
"""The same pipelines in kfp.local, and what their tasks tell there."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local

from kfp_backend.container import base_environment, without_pip
from kfp_backend.values import Value, compact

Told = dict[str, list[str]]
"""Output parameters as JSON, by the name of the task; of several tasks in order of the text."""


def text_without_pip(text: str) -> str:
    """Return an IR whose lightweight components do not install kfp when they start."""
    documents = list(yaml.safe_load_all(text))
    for executor in documents[0].get("deploymentSpec", {}).get("executors", {}).values():
        if "container" in executor:
            executor["container"]["command"] = without_pip(executor["container"].get("command", []))
    return yaml.safe_dump_all(documents)


def run(text: str, root: Path, environment: Mapping[str, str], **parameters: Value) -> tuple[Told, Any]:
    """Run an IR by SubprocessRunner; return what its tasks told, and the pipeline's task.

    Raises:
        RuntimeError: a task failed.
    """
    component = components.load_component_from_text(text_without_pip(text))
    root.mkdir(parents=True, exist_ok=True)
    workspace = root.parent / f"{root.name}-workspace"
    workspace.mkdir(exist_ok=True)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(workspace))
    with variables({**base_environment(), **environment}), contextlib.redirect_stdout(io.StringIO()):
        task = component(**parameters)
    return told(root), task


def told(root: Path) -> Told:
    """Return output parameters of the tasks that ran below a folder of kfp.local."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("executor_output.json")):
        parameters = json.loads(path.read_text()).get("parameterValues")
        if parameters:
            found[path.parent.name].append(compact(parameters))
    return {name: sorted(texts) for name, texts in found.items()}


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have other environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
