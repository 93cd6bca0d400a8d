# SPDX-License-Identifier: Apache-2.0
"""Which task of a graph comes before which."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from accelchain.kfp.core.report import JsonObject


def producer(source: JsonObject) -> tuple[str, str] | None:
    """Return task and key of an input that another task gives, None where none does."""
    if "taskOutputParameter" in source:
        found = source["taskOutputParameter"]
        return str(found["producerTask"]), str(found["outputParameterKey"])
    if "taskOutputArtifact" in source:
        found = source["taskOutputArtifact"]
        return str(found["producerTask"]), str(found["outputArtifactKey"])
    return None


def sources(task: JsonObject) -> Iterator[JsonObject]:
    """Yield where a task's inputs come from."""
    inputs = task.get("inputs") or {}
    yield from (inputs.get("parameters") or {}).values()
    yield from (inputs.get("artifacts") or {}).values()


def before(tasks: Mapping[str, JsonObject]) -> dict[str, set[str]]:
    """Return for each task those that it waits for."""
    found: dict[str, set[str]] = {}
    for name, task in tasks.items():
        waits = set(task.get("dependentTasks") or ())
        for source in sources(task):
            if made := producer(source):
                waits.add(made[0])
            if "taskFinalStatus" in source:
                waits.add(source["taskFinalStatus"]["producerTask"])
        found[name] = {other for other in waits if other in tasks}
    return found


def in_between(waits: Mapping[str, set[str]], members: Collection[str]) -> str | None:
    """Return a task outside that waits for a member and that a member waits for; None where there is none."""
    after: dict[str, set[str]] = {name: set() for name in waits}
    for name, others in waits.items():
        for other in others:
            after[other].add(name)
    behind, ahead = _reached(after, members), _reached(waits, members)
    return min((name for name in behind & ahead if name not in members), default=None)


def order(waits: Mapping[str, set[str]], members: Collection[str]) -> list[str]:
    """Return members so that each comes after those that it waits for.

    Raises:
        ValueError: they wait for each other in a circle.
    """
    sorter = TopologicalSorter({name: sorted(waits[name] & set(members)) for name in sorted(members)})
    try:
        return list(sorter.static_order())
    except CycleError:
        raise ValueError("the tasks wait for each other in a circle") from None


def _reached(steps: Mapping[str, set[str]], begin: Collection[str]) -> set[str]:
    found: set[str] = set()
    stack = [other for name in begin for other in steps[name]]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(steps[name])
    return found
