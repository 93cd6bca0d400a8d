# SPDX-License-Identifier: Apache-2.0
"""kfp.local with containers that only pretend: its own graphs, inputs and outputs, without a process a task."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import threading
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from kfp import components, local

from accelchain.kfp import core
from kfp_backend.container import Pod
from kfp_backend.pretended import LAUNCHER, Pretender
from kfp_backend.values import Value, compact

_RUN = "kfp.local.subprocess_task_handler.run_local_subprocess"
_ALLOWED = "kfp.dsl.executor_main"
"""The word that SubprocessRunner looks for."""
_NOBODY = Pod("", "", Path(), {})


class LocalError(Exception):
    """kfp.local does not run this pipeline."""


@dataclass
class Ran:
    """What tasks gave."""

    by_executor: Counter[str] = field(default_factory=Counter)
    """Executor, output parameters, and what is in artifacts: as JSON; how often."""
    outputs: dict[str, Value] = field(default_factory=dict)
    """Of the pipeline itself: values, and what is in artifacts."""


def run(pipeline: core.Pipeline, pretender: Pretender, folder: Path, told: Collection[str], **given: Value) -> Ran:
    """Run a pipeline.

    Args:
        pipeline: before or after fusing.
        pretender: stands for its images.
        folder: the pipeline root.
        told: executors whose outputs are wanted.
        given: the pipeline's parameters.

    Raises:
        LocalError: kfp.local refuses it, or it failed.
    """
    spec = copy.deepcopy(pipeline.spec)
    by_label = {each["executorLabel"]: each for each in spec["components"].values() if "executorLabel" in each}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "container" in executor:
            executor["container"] = {
                "image": "python",
                "command": [label, "{{$}}", _ALLOWED],
                "args": _payload(executor["container"]),
            }
    found, lock = Ran(), threading.Lock()

    def pretend(full_command: list[str], env_vars: Any = None) -> int:
        del env_vars
        label, text, *command = full_command
        executor_input = _whole(json.loads(text))
        result = pretender.execute(_NOBODY, command, executor_input, by_label[label], None, None)
        if not result.is_good:
            return 1
        artifacts = {name: {"artifacts": [artifact]} for name, artifact in result.artifacts.items()}
        output = Path(executor_input["outputs"]["outputFile"])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"parameterValues": result.parameters, "artifacts": artifacts}))
        if label in told:
            contents = {name: pretender.contents.get(a["uri"]) for name, a in result.artifacts.items()}
            with lock:
                found.by_executor[compact([label, result.parameters, contents])] += 1
        return 0

    root, workspace = folder / "root", folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    whole = {name: int(v) if declared[name]["parameterType"] == "NUMBER_INTEGER" else v for name, v in given.items()}
    with mock.patch(_RUN, pretend), mock.patch("builtins.print", print), _quiet():  # its loops leave print changed
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(workspace))
        try:
            task = components.load_component_from_text(yaml.safe_dump(spec))(**whole)
        except Exception as error:  # it has no class of its own for what it can't do
            raise LocalError(str(error)) from error
    outputs = task.outputs
    found.outputs = {
        name: pretender.contents.get(value.uri, value.uri) if hasattr(value, "uri") else value
        for name, value in outputs.items()
        if not isinstance(value, list)
    }
    return found


def _payload(container: dict[str, Any]) -> list[str]:
    """Return what the pretender looks at: nothing but for a launcher."""
    arguments = container.get("args", [])
    return (
        [LAUNCHER, *arguments[arguments.index("--payload") :][:2]] if LAUNCHER in container.get("command", []) else []
    )


def _whole(executor_input: dict[str, Any]) -> dict[str, Any]:
    """Put empty maps where kfp.local leaves them out."""
    for side, kinds in (("inputs", ("artifacts", "parameterValues")), ("outputs", ("artifacts", "parameters"))):
        for kind in kinds:
            executor_input.setdefault(side, {}).setdefault(kind, {})
    return executor_input


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
