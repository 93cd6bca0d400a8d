# SPDX-License-Identifier: Apache-2.0
"""What the API server's compiler makes of an IR, and what it refuses: compiler/visitor.go, compiler/argocompiler."""

from __future__ import annotations

import copy
from typing import Any

from kfp_backend.values import BackendError

LAST = "ALL_UPSTREAM_TASKS_COMPLETED"


def add_implicit_dependencies(task: dict[str, Any]) -> None:
    """compiler/argocompiler/dag.go:addImplicitDependencies."""
    found = task.setdefault("dependentTasks", [])
    for kind, source in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact")):
        for spec in task.get("inputs", {}).get(kind, {}).values():
            producer = spec.get(source, {}).get("producerTask")
            if producer and producer not in found:
                found.append(producer)


def check_compiles(spec: dict[str, Any]) -> None:
    """compiler/visitor.go and compiler/argocompiler: what the API server refuses before anything runs."""
    components = {"root": spec["root"], **spec.get("components", {})}
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for name, component in components.items():
        if "executorLabel" in component:
            if component["executorLabel"] not in executors:
                raise BackendError(f"executor with label {component['executorLabel']!r} not found")
            continue
        tasks = component.get("dag", {}).get("tasks", {})
        if not any(task.get("triggerPolicy", {}).get("strategy") != LAST for task in tasks.values()):
            raise BackendError(f"DAG {name} must contain one or more non-exit tasks")
        for key, task in tasks.items():
            if task["componentRef"]["name"] not in components:
                raise BackendError(f"component spec for {task['componentRef']['name']!r} not found")
            if "artifactIterator" in task:
                raise BackendError("artifact iterator not implemented yet")
            whole = copy.deepcopy(task)
            add_implicit_dependencies(whole)
            for producer in whole["dependentTasks"]:
                if producer not in tasks:
                    raise BackendError(f"failed to add implicit deps: unknown producer task {producer!r} of {key!r}")
