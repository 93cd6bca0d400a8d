# SPDX-License-Identifier: Apache-2.0
"""What an IR tells without running it: its pods, and wires that the real backend doesn't look at before a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kfp_backend.values import Value, kind_of


def pods(spec: dict[str, Any], iterations: int = 2) -> int:
    """Return the pods of a run in which everything is triggered and nothing cached.

    Root driver 1; container task 2; importer 1; sub-DAG 1 more; loop 1 more, and 1 more an iteration: counted in the
    workflows that compiler/argocompiler makes.

    Args:
        spec: the PipelineSpec.
        iterations: of every loop.
    """
    return 1 + _pods_of(spec, spec["root"], iterations)


def _pods_of(spec: dict[str, Any], component: dict[str, Any], iterations: int) -> int:
    return sum(_pods_of_task(spec, task, iterations) for task in component["dag"]["tasks"].values())


def _pods_of_task(spec: dict[str, Any], task: dict[str, Any], iterations: int) -> int:
    component = spec["components"][task["componentRef"]["name"]]
    if "dag" in component:
        inside = 1 + _pods_of(spec, component, iterations)
        return 1 + iterations * inside if "parameterIterator" in task else inside
    executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
    return 1 if "importer" in executor else 2


def dangling(spec: dict[str, Any]) -> Iterator[str]:
    """Yield what the backend's compiler and driver pass over in silence: somebody gets nothing, or the wrong thing."""
    components = {"root": spec["root"], **spec.get("components", {})}
    for name, component in components.items():
        if "dag" not in component:
            continue
        tasks = component["dag"]["tasks"]
        for task_name, task in tasks.items():
            called = components[task["componentRef"]["name"]]
            for problem in _task_problems(component, tasks, components, task, called):
                yield f"{name}.{task_name}: {problem}"
        for problem in _output_problems(component, tasks, components):
            yield f"{name}: {problem}"


def _definitions(component: dict[str, Any], side: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = component.get(f"{side}Definitions", {}).get(kind, {})
    return found


def _task_problems(
    outer: dict[str, Any],
    tasks: dict[str, Any],
    components: dict[str, Any],
    task: dict[str, Any],
    called: dict[str, Any],
) -> Iterator[str]:
    iterator = task.get("parameterIterator", {})
    for kind, producing, key, entering in (
        ("parameters", "taskOutputParameter", "outputParameterKey", "componentInputParameter"),
        ("artifacts", "taskOutputArtifact", "outputArtifactKey", "componentInputArtifact"),
    ):
        declared = _definitions(called, "input", kind)
        given = task.get("inputs", {}).get(kind, {})
        for name, source in given.items():
            if name not in declared and not iterator:
                yield f"input {name} was never declared"
            if entering in source and source[entering] not in _definitions(outer, "input", kind):
                yield f"input {name} is of {source[entering]}, which the graph lacks"
            if producing in source:
                producer = tasks.get(source[producing]["producerTask"])
                if producer is None:
                    yield f"input {name} is of a task that isn't there"
                    continue
                made = _definitions(components[producer["componentRef"]["name"]], "output", kind)
                if source[producing][key] not in made:
                    yield f"input {name} is of output {source[producing][key]}, which nobody makes"
            constant = source.get("runtimeValue", {}).get("constant")
            expected = declared.get(name, {}).get("parameterType")
            if constant is not None and expected and not _fits(constant, expected):
                yield f"input {name} is {constant!r} for {expected}"
        for name, declaration in declared.items():
            is_given = name in given or name == iterator.get("itemInput")
            if not is_given and not declaration.get("isOptional") and "defaultValue" not in declaration:
                yield f"input {name} is not given"
    for other in task.get("dependentTasks", []):
        if other not in tasks:
            yield f"it depends on {other}, which isn't there"


def _fits(constant: Value, expected: str) -> bool:
    """As SDKs write constants; the backend takes 0.5 for an integer, and makes text of everything for a string."""
    is_broken = expected == "NUMBER_INTEGER" and isinstance(constant, float) and not constant.is_integer()
    return expected in kind_of(constant) and not is_broken


def _output_problems(component: dict[str, Any], tasks: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    outputs = component["dag"].get("outputs", {})
    for kind, key in (("parameters", "outputParameterKey"), ("artifacts", "outputArtifactKey")):
        declared = _definitions(component, "output", kind)
        for name, source in outputs.get(kind, {}).items():
            if name not in declared:
                yield f"output {name} was never declared"
            choices = source.get("artifactSelectors") or source.get("valueFromOneof", {}).get("parameterSelectors")
            for choice in choices or [source["valueFromParameter"]]:
                task = tasks.get(choice["producerSubtask"])
                called = components[task["componentRef"]["name"]] if task else {}
                if choice[key] not in _definitions(called, "output", kind):
                    yield f"output {name} is of {choice['producerSubtask']}.{choice[key]}, which nobody makes"
        for name in declared:
            if name not in outputs.get(kind, {}):
                yield f"output {name} is made by nobody"
