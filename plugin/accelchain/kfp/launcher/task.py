# SPDX-License-Identifier: Apache-2.0
"""One run of a task: what KFP tells of it, and what is told to KFP (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accelchain.cli.record import work_seconds
from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.errors import WRONG_INPUT, LaunchError
from accelchain.kfp.step.artifacts import Artifact, read
from accelchain.kfp.step.errors import StepError

JsonObject = dict[str, Any]

_FRAMES = "frames"


@dataclass(frozen=True, slots=True)
class Task:
    """What stands in KFP's executor input."""

    values: Mapping[str, Any]
    """Input parameters."""
    inputs: Mapping[str, Artifact]
    outputs: Mapping[str, Artifact]
    """Output artifacts, with the endings that the payload gives them."""
    files: Mapping[str, str]
    """Where the value of each output parameter is written."""
    output_file: str
    """KFP's ``executor_output.json``."""


def task_of(text: str, payload: Payload) -> Task:
    """Return what KFP put in place of ``{{$}}``.

    Raises:
        LaunchError: it is something else, or lacks what the payload needs.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise LaunchError(f"--executor-input is no JSON ({error}).", WRONG_INPUT) from None
    if not isinstance(document, dict):
        raise LaunchError("--executor-input is no JSON object.", WRONG_INPUT)
    inputs, outputs = document.get("inputs") or {}, document.get("outputs") or {}
    endings = {place["artifact"]: place.get("ending", "") for place in payload.outputs.values() if "artifact" in place}
    wanted = [place["artifact"] for place in payload.inputs.values() if "artifact" in place]
    try:
        taken = {name: found for name in wanted if (found := read(inputs, name)) is not None}
        made = {
            name: found.ending_in(endings.get(name, ""))
            for name in (*endings, *payload.pages.values())
            if (found := read(outputs, name)) is not None
        }
    except StepError as error:
        raise LaunchError(str(error), WRONG_INPUT) from None
    for name in wanted:
        if name not in taken:
            raise LaunchError(f"input artifact {name} is not there: the task that makes it gave none.", WRONG_INPUT)
    for name in endings:
        if name not in made:
            raise LaunchError(f"--executor-input has no output artifact {name}.", WRONG_INPUT)
    files = {name: str(output["outputFile"]) for name, output in (outputs.get("parameters") or {}).items()}
    values = inputs.get("parameterValues") or {}
    return Task(values, taken, made, files, str(outputs.get("outputFile") or ""))


def told(flow: JsonObject) -> dict[str, Any]:
    """Return all that a flow tells, by the name that results ask for it by."""
    status, meta = flow.get("status") or {}, flow["metadata"]
    progress = status.get("progress") or {}
    workers = status.get("workers") or [{}]
    live = (workers[0].get("live") or [""])[0]
    address = workers[0].get("address") or ""
    results = {entry["name"]: entry["value"] for entry in (status.get("outputs") or {}).get("parameters") or ()}
    return {
        "dataflow": meta["name"],
        "namespace": meta.get("namespace", ""),
        "phase": status.get("phase", ""),
        "endpoint": f"http://{address}{live}" if address else "",
        _FRAMES: progress.get("frames", 0),
        "framesPerSecond": progress.get("framesPerSecond", 0.0),
        "seconds": work_seconds(progress),
        "results": {name: _number(value) for name, value in results.items()},
        "status": status,
        **results,
    }


def parameter_values(payload: Payload, task: Task, flow: JsonObject) -> dict[str, Any]:
    """Return the values of the task's output parameters.

    Raises:
        LaunchError: the flow does not tell one of them.
    """
    known = told(flow)
    found = {}
    for name in task.files:
        key = payload.results.get(name, name)
        if key not in known and key.rpartition(".")[2] == _FRAMES:
            key = _FRAMES  # a function that is no sink counts no frames of its own
        if key not in known:
            raise LaunchError(f"output {name}: the flow told no {key}; it told {', '.join(sorted(known))}.")
        found[name] = _cast(known[key], payload.types.get(name, ""))
    return found


def executor_output(task: Task, values: Mapping[str, Any], metadata: Mapping[str, JsonObject]) -> JsonObject:
    """Return ``executor_output.json``: kfp.local knows no output artifact that is not listed there."""
    return {
        "parameterValues": dict(values),
        "artifacts": {
            name: {"artifacts": [{"name": a.name, "uri": a.uri, "metadata": dict(metadata.get(name) or {})}]}
            for name, a in task.outputs.items()
        },
    }


def parameter_files(task: Task, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield file and text of each output parameter, as KFP reads them: strings as they are, else JSON."""
    for name, file in task.files.items():
        if name in values:
            value = values[name]
            yield file, value if isinstance(value, str) else json.dumps(value)


def _number(text: str) -> str | int | float:
    """Return what a flow's status tells as a text, which is a number more often than not."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _cast(value: Any, kind: str) -> Any:
    """Return a value in KFP's type; a flow's status has texts."""
    if kind == "STRING":
        return str(value)
    if isinstance(value, str) and kind:
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if kind == "NUMBER_INTEGER" and isinstance(value, float | int):
        return int(value)
    return value
