# SPDX-License-Identifier: Apache-2.0
"""From KFP's executor input to a command line of ``accelchain_runtime.step``, and from what it told to outputs (pure).

The mapping is that of a mark (docs/kfp.md), written out: every port, parameter, address and result that is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accelchain.kfp.step.artifacts import Artifact, read
from accelchain.kfp.step.errors import StepError

_KEYS = {"parameters", "inputs", "outputs", "addresses", "results", "endings"}


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a component."""

    arguments: tuple[str, ...]
    """Of ``accelchain_runtime.step``."""
    artifacts: Mapping[str, Artifact]
    """Output artifacts by the component's name for them."""
    results: Mapping[str, str]
    """The component's output parameters: what the function tells."""
    files: Mapping[str, str]
    """Where the value of each output parameter is written."""
    output_file: str
    """KFP's ``executor_output.json``."""


def task_of(function: str, mapping: Mapping[str, Any], executor_input: Mapping[str, Any]) -> Task:
    """Return what is to be run.

    Args:
        function: ``NAME`` or ``NAME@VERSION``.
        mapping: ``parameters`` (function's parameter: ``{"input": name}`` or ``{"value": literal}``), ``inputs`` and
            ``outputs`` (port: artifact), ``addresses`` (parameter: ``{"input": artifact}``, ``{"inputParameter":
            name}``, ``{"output": artifact}`` or ``{"value": address}``), ``results`` (output parameter: key),
            ``endings`` (output artifact: ending of its file).
        executor_input: KFP's, as JSON.

    Raises:
        StepError: mapping and executor input do not fit each other.
    """
    if unknown := sorted(set(mapping) - _KEYS):
        raise StepError(f"--map: {unknown[0]} is not known; there are {', '.join(sorted(_KEYS))}.")
    inputs, outputs = executor_input.get("inputs") or {}, executor_input.get("outputs") or {}
    endings = mapping.get("endings") or {}
    ours = [*(mapping.get("outputs") or {}).values()]
    ours += [place["output"] for place in (mapping.get("addresses") or {}).values() if "output" in place]
    made = {  # others are KFP's own, such as executor-logs
        name: artifact.ending_in(str(endings.get(name, "")))
        for name in ours
        if (artifact := read(outputs, name)) is not None
    }
    arguments = [function]
    for parameter, source in (mapping.get("parameters") or {}).items():
        value = source["value"] if "value" in source else _parameter(inputs, source["input"])
        arguments += [f"--{parameter}", as_text(value)] if value is not None else []
    for parameter, place in (mapping.get("addresses") or {}).items():
        address = _address(inputs, made, place)
        arguments += [f"--{parameter}", address] if address is not None else []
    for port, name in (mapping.get("inputs") or {}).items():
        if (artifact := read(inputs, name)) is not None:
            arguments += ["--input", f"{port}={artifact.path}"]
    for port, name in (mapping.get("outputs") or {}).items():
        arguments += ["--output", f"{port}={_made(made, name).path}"]
    results = {name: str(key) for name, key in (mapping.get("results") or {}).items()}
    files = {name: str(output["outputFile"]) for name, output in (outputs.get("parameters") or {}).items()}
    if missing := sorted(set(files) - set(results)):
        raise StepError(f"--map: results says nothing of output parameter {missing[0]}: add what the function tells.")
    return Task(tuple(arguments), made, results, files, str(outputs.get("outputFile") or ""))


def executor_output(task: Task, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``executor_output.json``: each output artifact with the number of frames, each output parameter.

    Args:
        task: that was run.
        told: ``frames`` and ``results``, as ``accelchain_runtime.step`` prints them.

    Raises:
        StepError: the function did not tell an output parameter.
    """
    known = {"frames": told.get("frames")} | dict(told.get("results") or {})
    values = {}
    for name in task.files:
        key = task.results[name]
        if key not in known:
            raise StepError(f"output {name}: the function told no {key}; it told {', '.join(known)}.", code=1)
        values[name] = known[key]
    metadata = {"frames": told["frames"]} if isinstance(told.get("frames"), int) else {}
    return {
        "parameterValues": values,
        "artifacts": {
            name: {"artifacts": [{"name": artifact.name, "uri": artifact.uri, "metadata": metadata}]}
            for name, artifact in task.artifacts.items()
        },
    }


def parameter_files(task: Task, output: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield file and text of each output parameter, as KFP reads them: strings as they are, else JSON."""
    for name, file in task.files.items():
        value = output["parameterValues"][name]
        yield file, value if isinstance(value, str) else json.dumps(value)


def as_text(value: Any) -> str:
    """Return a parameter's value as on a command line; KFP hands whole numbers over as doubles too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _parameter(inputs: Mapping[str, Any], name: str) -> Any:
    """Return an input parameter's value; None where the task was given none."""
    return (inputs.get("parameterValues") or {}).get(name)


def _address(inputs: Mapping[str, Any], made: Mapping[str, Artifact], place: Mapping[str, Any]) -> str | None:
    if "input" in place:
        artifact = read(inputs, place["input"])
        return artifact.path if artifact is not None else None
    if "output" in place:
        return _made(made, place["output"]).path
    value = place["value"] if "value" in place else _parameter(inputs, place["inputParameter"])
    return None if value is None else str(value)


def _made(made: Mapping[str, Artifact], name: str) -> Artifact:
    if name not in made:
        raise StepError(f"--map: the component has no output artifact {name}; it has {', '.join(made) or 'none'}.")
    return made[name]
