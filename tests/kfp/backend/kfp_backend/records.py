# SPDX-License-Identifier: Apache-2.0
"""What the backend remembers of a run: executions as in ML Metadata (metadata/client.go)."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from kfp_backend.values import BackendError, Value

DONE = ("COMPLETE", "CACHED", "CANCELED")
GOOD = ("COMPLETE", "CACHED")


@dataclass
class Artifact:
    """An artifact in ML Metadata."""

    id: int
    uri: str
    metadata: dict[str, Value]

    def runtime(self) -> dict[str, Any]:
        """metadata/client.go:ToRuntimeArtifact: its name is its id, its type is empty."""
        metadata = dict(self.metadata)
        return {"name": str(self.id), "uri": self.uri, "type": {"instanceSchema": ""}, "metadata": metadata}


@dataclass
class Execution:
    """One execution: of a DAG, an iteration, a container or an importer."""

    id: int
    kind: str
    """DAG, Container or Importer."""
    task: str = ""
    parent: int = 0
    state: str = "RUNNING"
    inputs: dict[str, Value] = field(default_factory=dict)
    artifacts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    output_artifacts: dict[str, Artifact] = field(default_factory=dict)
    output_specs: dict[str, Any] = field(default_factory=dict)
    """Of a DAG: where its outputs come from."""
    index: int | None = None
    count: int | None = None
    total: int = 0
    fingerprint: str = ""

    @property
    def is_dag(self) -> bool:
        """Whether there are executions in it."""
        return self.kind == "DAG"


class Records:
    """All executions and artifacts; safe between threads."""

    def __init__(self) -> None:
        self.executions: dict[int, Execution] = {}
        self.cache: dict[str, int] = {}
        """Executions by fingerprint."""
        self._ids = itertools.count(1)
        self._lock = threading.RLock()

    def create(self, kind: str, **known: Any) -> Execution:
        """metadata/client.go:CreateExecution."""
        with self._lock:
            made = Execution(next(self._ids), kind, **known)
            self.executions[made.id] = made
            return made

    def artifact(self, name: str, uri: str, metadata: dict[str, Value]) -> Artifact:
        """metadata/client.go:RecordArtifact."""
        kept = {key: value for key, value in metadata.items() if key != "_kfp_workspace"}
        with self._lock:
            return Artifact(
                next(self._ids),
                uri,
                {key: _stored(value) for key, value in kept.items()} | {"display_name": kept.get("display_name", name)},
            )

    def children(self, dag: Execution) -> dict[str, Execution]:
        """metadata/client.go:GetExecutionsInDAG."""
        with self._lock:
            found: dict[str, Execution] = {}
            for each in self.executions.values():
                if each.parent != dag.id:
                    continue
                name = f"{each.task}_{dag.id}"
                index = dag.index if each.index is None else each.index
                if index is not None:
                    name = f"{name}_idx_{index}"
                if name in found:
                    raise BackendError(f"two tasks have the same task name {name!r}")
                found[name] = each
            return found

    def below(self, dag: Execution) -> dict[str, Execution]:
        """driver/resolve.go:getDAGTasks."""
        found = self.children(dag)
        for each in list(found.values()):
            if each.is_dag:
                found |= self.below(each)
        return found

    def update(self, dag: Execution) -> None:
        """metadata/client.go:UpdateDAGExecutionsState."""
        expected = dag.total if dag.count is None else dag.count
        if expected == 0 and dag.count is None:
            return
        with self._lock:
            states = [each.state for each in self.children(dag).values()]
            if sum(state in DONE for state in states) == expected:
                dag.state = "COMPLETE"
            elif "FAILED" in states:
                dag.state = "FAILED"
            else:
                return
            if dag.parent:
                self.update(self.executions[dag.parent])


def _stored(value: Value) -> Value:
    """metadata/converter.go:StructValueToMLMDValue, and back: booleans become numbers, lists and maps are wrapped."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value
