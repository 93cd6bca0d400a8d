# SPDX-License-Identifier: Apache-2.0
"""A task's inputs when it begins: driver/resolve.go:resolveInputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kfp_backend import upstream
from kfp_backend.expressions import select
from kfp_backend.records import Execution, Records
from kfp_backend.values import BackendError, Value, kind_of, to_text


class _NullError(Exception):
    """driver/resolve.go:ErrResolvedParameterNull."""


@dataclass(frozen=True)
class Job:
    """What ``{{$.pipeline_job_…}}`` stands for."""

    run_id: str
    workflow: str
    display_name: str
    created: str
    """RFC3339."""


@dataclass(frozen=True)
class Asked:
    """Whose inputs are wanted."""

    name: str
    task: dict[str, Any]
    component: dict[str, Any]
    dag: Execution
    index: int | None = None
    """Of the iteration, for its driver."""
    is_dag: bool = False


def resolve(records: Records, job: Job, asked: Asked) -> dict[str, Any]:
    """Return ``inputs`` of the executor input.

    Raises:
        BackendError: the driver fails.
    """
    definitions = asked.component.get("inputDefinitions", {}).get("parameters", {})
    nil: set[str] = set()
    if asked.index is not None:
        values, artifacts = _iteration(asked)
    else:
        values = _omitted(asked, definitions, nil) if asked.is_dag else {}
        for name, spec in asked.task.get("inputs", {}).get("parameters", {}).items():
            declared = definitions.get(name, {})
            if declared.get("parameterType") == "TASK_CONFIG":
                continue
            try:
                value = _parameter(records, job, asked, spec)
            except _NullError as null:
                if declared.get("isOptional"):
                    continue
                raise BackendError(f"the resolved input parameter is null: {null}") from None
            literals = declared.get("literals", [])
            if literals and value not in literals:
                raise BackendError(f"validating parameter {name!r}: {value!r} is not one of {literals}")
            values[name] = value
        artifacts = {
            name: _artifact(records, asked, spec)
            for name, spec in asked.task.get("inputs", {}).get("artifacts", {}).items()
        }
    for name, spec in asked.task.get("inputs", {}).get("parameters", {}).items():
        if selector := spec.get("parameterExpressionSelector"):
            if name not in values:
                raise BackendError(f"resolving parameter {name!r}: value not found in inputs")
            values[name] = select(selector, values[name])
    _check(asked, definitions, values, nil)
    return {
        "parameterValues": values,
        "artifacts": {name: {"artifacts": listed} for name, listed in artifacts.items()},
    }


def items(value: Value) -> list[Value]:
    """driver/util.go:getItems."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_int=float)
        except ValueError as error:
            raise BackendError(f"items are no JSON: {error}") from None
        return value if isinstance(value, list) else []
    if not isinstance(value, list):
        raise BackendError(f"value of type {type(value).__name__} cannot be iterated")
    return value


def _iteration(asked: Asked) -> tuple[dict[str, Value], dict[str, list[dict[str, Any]]]]:
    iterator = asked.task.get("parameterIterator")
    if iterator is None:
        raise BackendError("artifact iterator not implemented yet")
    values = dict(asked.dag.inputs)
    source = iterator["items"].get("inputParameter") or iterator["itemInput"]
    assert asked.index is not None
    item = items(values[source])[asked.index]
    del values[source]
    values[iterator["itemInput"]] = item
    return values, dict(asked.dag.artifacts)


def _omitted(asked: Asked, definitions: dict[str, Any], nil: set[str]) -> dict[str, Value]:
    """Return optional inputs of a DAG that its caller left out."""
    given = asked.task.get("inputs", {}).get("parameters", {})
    found: dict[str, Value] = {}
    for name, declared in definitions.items():
        if name not in given and declared.get("isOptional"):
            found[name] = declared.get("defaultValue")
            if "defaultValue" not in declared:
                nil.add(name)
    return found


def _parameter(records: Records, job: Job, asked: Asked, spec: dict[str, Any]) -> Value:
    """driver/resolve.go:resolveInputParameter."""
    if (name := spec.get("componentInputParameter")) is not None:
        if name not in asked.dag.inputs:
            raise BackendError(f"parent DAG does not have input parameter {name}")
        if asked.dag.inputs[name] is None:
            raise _NullError(name)
        return asked.dag.inputs[name]
    if (output := spec.get("taskOutputParameter")) is not None:
        return upstream.parameter(records, asked.dag, output["producerTask"], output["outputParameterKey"])
    if "taskFinalStatus" in spec:
        return _final_status(records, job, asked)
    if "constant" not in spec.get("runtimeValue", {}):
        raise BackendError(f"param runtime value spec {spec} not implemented")
    constant = spec["runtimeValue"]["constant"]
    if not isinstance(constant, str):
        return constant
    if "{{$.workspace_path}}" in constant:
        return constant.replace("{{$.workspace_path}}", "/kfp-workspace")
    whole = {
        "{{$.pipeline_job_name}}": job.display_name,
        "{{$.pipeline_job_resource_name}}": job.workflow,
        "{{$.pipeline_job_uuid}}": job.run_id,
        "{{$.pipeline_task_name}}": asked.name,
        "{{$.pipeline_task_uuid}}": str(asked.dag.id),
        "{{$.pipeline_job_create_time_utc}}": job.created,
        "{{$.pipeline_job_schedule_time_utc}}": job.created,
    }
    return whole.get(constant, constant)


def _final_status(records: Records, job: Job, asked: Asked) -> Value:
    dependent = asked.task.get("dependentTasks", [])
    if not dependent:
        raise BackendError(f"task {asked.name} has no dependent tasks")
    producer = records.below(asked.dag).get(f"{dependent[0]}_{asked.dag.id}")
    if producer is None:
        raise BackendError(f"producer task, {dependent[0]}, not in tasks")
    return {
        "state": producer.state,
        "pipelineTaskName": producer.task,
        "pipelineJobResourceName": job.workflow,
        "error": {},
    }


def _artifact(records: Records, asked: Asked, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """driver/resolve.go:resolveInputArtifact."""
    if (name := spec.get("componentInputArtifact")) is not None:
        if name not in asked.dag.artifacts:
            raise BackendError(f"parent DAG does not have input artifact {name}")
        return asked.dag.artifacts[name]
    output = spec["taskOutputArtifact"]
    return upstream.artifacts(records, asked.dag, output["producerTask"], output["outputArtifactKey"])


def _check(asked: Asked, definitions: dict[str, Any], values: dict[str, Value], nil: set[str]) -> None:
    """handleParamTypeValidationAndConversion of driver/resolve.go:resolveInputs."""
    iterator = asked.task.get("parameterIterator", {})
    for name, declared in definitions.items():
        if iterator and asked.index is None and iterator.get("itemInput") == name:
            continue
        if iterator and asked.index is not None and iterator.get("items", {}).get("inputParameter") == name:
            continue
        if name not in values:
            if not declared.get("isOptional") and "defaultValue" not in declared:
                raise BackendError(f"neither value nor default value provided for non-optional parameter {name!r}")
            if declared.get("isOptional"):
                continue
        value, kind = values.get(name), declared.get("parameterType")
        if name in nil:
            continue
        if kind == "STRING":
            values[name] = to_text(value)
        elif value is None:
            raise BackendError(f"got null for input parameter {name!r}")
        elif kind not in kind_of(value):
            raise BackendError(f"input parameter {name!r} type mismatch: expect {kind}, got {value!r}")
