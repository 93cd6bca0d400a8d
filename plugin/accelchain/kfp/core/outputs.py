# SPDX-License-Identifier: Apache-2.0
"""Who uses what the tasks of a graph give."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from accelchain.kfp.core.graph import producer, sources
from accelchain.kfp.core.report import JsonObject


class Output(NamedTuple):
    """One output of a task."""

    task: str
    key: str


def exposed(dag: JsonObject) -> dict[str, list[Output]]:
    """Return what a graph's own outputs are made of, by the name of the output."""
    outputs = dag.get("outputs") or {}
    found: dict[str, list[Output]] = {}
    for name, output in (outputs.get("artifacts") or {}).items():
        selectors = output.get("artifactSelectors") or ()
        found[name] = [Output(s["producerSubtask"], s["outputArtifactKey"]) for s in selectors]
    for name, output in (outputs.get("parameters") or {}).items():
        selectors = (output.get("valueFromOneof") or {}).get("parameterSelectors") or ()
        if one := output.get("valueFromParameter"):
            selectors = (one, *selectors)
        found[name] = [Output(s["producerSubtask"], s["outputParameterKey"]) for s in selectors]
    return found


def used_outside(component: JsonObject, members: Collection[str], configs: Mapping[str, Any]) -> set[Output]:
    """Return outputs of members that others need.

    Args:
        component: the graph.
        members: the tasks.
        configs: of other platforms, by executor, for the executors of this graph's tasks.
    """
    dag = component["dag"]
    found = {output for outputs in exposed(dag).values() for output in outputs}
    for name, task in (dag.get("tasks") or {}).items():
        if name not in members:
            found |= {Output(*made) for source in sources(task) if (made := producer(source))}
    for reference in references(dict(configs)):
        if made := producer(reference):
            found.add(Output(*made))
    return {output for output in found if output.task in members}


def references(value: Any) -> Iterator[JsonObject]:
    """Yield every mapping in a platform's configuration that names a task's output; it may be changed in place."""
    if isinstance(value, dict):
        if "taskOutputParameter" in value or "taskOutputArtifact" in value:
            yield value
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)
