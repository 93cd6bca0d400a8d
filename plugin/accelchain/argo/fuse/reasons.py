# SPDX-License-Identifier: Apache-2.0
"""Why a step stays: the nearest reason first, so that whoever takes it away sees the next one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.rules import stops
from accelchain.argo.fuse.scope import Chain, Scope, Step

ENDS = 8
"""The rule that speaks of where a chain begins and ends, and so of each single step."""


class Reasons:
    """Of one template; what was looked at is remembered."""

    def __init__(self, scope: Scope, rows: Sequence[Sequence[Step]]) -> None:
        """Prepare.

        Args:
            scope: the template.
            rows: steps that follow each other, the longest that there are.
        """
        self._scope = scope
        self._rows = {step.name: (row, at) for row in rows for at, step in enumerate(row)}
        self._alone = cache(lambda name: list(stops(Chain(scope, (scope.steps[name],)))))
        self._pair = cache(lambda a, b: list(stops(Chain(scope, (scope.steps[a], scope.steps[b])))))
        self._row = cache(lambda names: list(stops(Chain(scope, tuple(scope.steps[name] for name in names)))))
        self._near = _neighbours(scope)

    def of(self, step: Step, refused: Stop | None) -> Stop:
        """Return why a step stays: itself, the chain that it would be in, or what keeps it from being in one.

        Args:
            step: one that stays.
            refused: why steps that no rule stops became no DataFlow, where this one was tried so.
        """
        if step.fault is not None:
            return step.fault
        own = self._alone(step.name)
        if nearest := next((stop for stop in own if stop.rule != ENDS), None):
            return nearest
        if refused is not None:
            return _told_to(step, refused)
        if found := self._of_row(step):
            return _told_to(step, next((stop for stop in found if stop.step == step.name), found[0]))
        for a, b in self._around(step.name):
            mapped = all(self._scope.steps[name].fault is None for name in (a, b))
            for stop in self._pair(a, b) if mapped else ():
                if stop.rule not in (1, ENDS):
                    return _told_to(step, stop)
            for name in (a, b):
                if far := next((stop for stop in self._alone(name) if stop.rule != ENDS), None):
                    return _told_to(step, far)
        return own[0]  # by itself it is no DataFlow, or it would be one

    def _of_row(self, step: Step) -> list[Stop]:
        """Return what stops the longest chain with a step in it, from a source to a sink."""
        row, at = self._rows.get(step.name, ([step], 0))  # steps that wait for each other are in none
        start = next((i for i in range(at + 1) if begins(row[i])), None)
        end = next((i for i in range(len(row) - 1, at - 1, -1) if ends(row[i])), None)
        return [] if start is None or end is None else self._row(tuple(s.name for s in row[start : end + 1]))

    def _around(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield pairs of steps that hand something on, the nearest to a step first."""
        left, seen = deque([name]), {name}
        while left:
            for pair in self._near[left.popleft()]:
                yield pair
                new = [member for member in pair if member not in seen]
                seen.update(new)
                left.extend(new)


def begins(step: Step) -> bool:
    """Tell whether a chain can begin with a step: a source."""
    return bool(step.leaf and not step.leaf.inputs and step.leaf.reads_something)


def ends(step: Step) -> bool:
    """Tell whether a chain can end with a step: a sink."""
    return bool(step.leaf and step.leaf.writes_something)


def _told_to(step: Step, stop: Stop) -> Stop:
    if stop.step == step.name:
        return stop
    return Stop(stop.rule, stop.step, f"its chain stops at '{stop.step}': {stop.sentence}")


def _neighbours(scope: Scope) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return for each step the pairs, first and second, of which one feeds the other or comes right before it."""
    before: dict[str, list[tuple[str, str]]] = {name: [] for name in scope.steps}
    after: dict[str, list[tuple[str, str]]] = {name: [] for name in scope.steps}
    for name, step in scope.steps.items():
        inputs = step.leaf.inputs.values() if step.leaf else ()
        sources = [source[0] for artifact in inputs if (source := step.source(artifact))]
        followed = scope.follows(step)
        for first in dict.fromkeys([*sources, *([followed] if followed else [])]):
            if first in scope.steps and first != name:
                before[name].append((first, name))
                after[first].append((first, name))
    return {name: [*before[name], *after[name]] for name in scope.steps}
