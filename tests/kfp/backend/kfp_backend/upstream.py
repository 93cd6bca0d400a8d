# SPDX-License-Identifier: Apache-2.0
"""Where an output of another task comes from, through DAGs, loops and branches: driver/resolve.go."""

from __future__ import annotations

from typing import Any

from kfp_backend.records import GOOD, Execution, Records
from kfp_backend.values import BackendError, Value


def parameter(records: Records, dag: Execution, producer: str, key: str) -> Value:
    """driver/resolve.go:resolveUpstreamParameters."""
    tasks, name = _start(records, dag, producer)
    while (task := tasks[name]).is_dag:
        if _iterations(records, task):
            return [found.outputs.get(at) for found, at in _collect(tasks, name, key, is_artifact=False)]
        name, key = _producer(task, tasks, name, key, is_artifact=False)
        if name not in tasks:
            raise BackendError(f"subTaskName, {name}, not in tasks")
    return task.outputs.get(key)  # nil where there is none: nobody complains


def artifacts(records: Records, dag: Execution, producer: str, key: str) -> list[dict[str, Any]]:
    """driver/resolve.go:resolveUpstreamArtifacts."""
    tasks, name = _start(records, dag, producer)
    while (task := tasks[name]).is_dag:
        if _iterations(records, task):
            pairs = _collect(tasks, name, key, is_artifact=True)
            return [found.output_artifacts[at].runtime() for found, at in pairs if at in found.output_artifacts]
        name, key = _producer(task, tasks, name, key, is_artifact=True)
        if name not in tasks:
            raise BackendError(f"subTaskName, {name}, not in tasks")
    if key not in task.output_artifacts:
        raise BackendError(f"cannot find output artifact key {key!r} in producer task {producer!r}")
    return [task.output_artifacts[key].runtime()]


def _start(records: Records, dag: Execution, producer: str) -> tuple[dict[str, Execution], str]:
    """driver/resolve.go:InferIndexedTaskName."""
    name = f"{producer}_{dag.id}" + ("" if dag.index is None else f"_idx_{dag.index}")
    tasks = records.below(dag)
    if name not in tasks:
        raise BackendError(f"producer task, {name}, not in tasks")
    return tasks, name


def _iterations(records: Records, task: Execution) -> int:
    """driver/resolve.go:getParallelForIterationCount: its own, or its DAG's."""
    return (records.executions[task.parent].count or 0) if task.count is None else task.count


def _collect(tasks: dict[str, Execution], loop: str, key: str, *, is_artifact: bool) -> list[tuple[Execution, str]]:
    """driver/resolve.go:CollectInputs, breadth first; the containers in order, and their keys."""
    found: list[tuple[Execution, str]] = []
    queue = [loop]
    below = ""
    previous_task, previous_key = tasks[loop].task, key
    while queue:
        task = tasks[queue.pop(0)]
        if task.task == previous_task:
            key = previous_key
        previous_task, previous_key = task.task, key
        below, key = _producer(task, tasks, below, key, is_artifact=is_artifact)
        if not task.is_dag:
            found.append((task, key))
        elif task.count is None:
            queue.append(below if task.index is None else f"{below}_idx_{task.index}")
        else:
            queue += [f"{task.task}_{task.id}_idx_{number}" for number in range(task.count)]
    return found


def _producer(
    dag: Execution, tasks: dict[str, Execution], name: str, key: str, *, is_artifact: bool
) -> tuple[str, str]:
    """driver/resolve.go:GetProducerTask."""
    specs = dag.output_specs.get("artifacts" if is_artifact else "parameters")
    if not specs:
        return name, key
    spec = specs.get(key)
    if spec is None:
        raise BackendError(f"output key {key!r} not found in parent task {dag.task!r} (dag ID {dag.id})")
    if is_artifact:
        choices = spec.get("artifactSelectors", [])
        output = "outputArtifactKey"
        is_choice = len(choices) > 1
    else:
        output = "outputParameterKey"
        is_choice = "valueFromOneof" in spec
        choices = spec["valueFromOneof"]["parameterSelectors"] if is_choice else [spec["valueFromParameter"]]
    for choice in choices:
        below = f"{choice['producerSubtask']}_{dag.id}"
        if not is_choice or (below in tasks and tasks[below].state in GOOD):
            return below, choice[output]
    raise BackendError(f"processing OneOf: No successful task found for output key {key!r} in parent task {dag.task!r}")
