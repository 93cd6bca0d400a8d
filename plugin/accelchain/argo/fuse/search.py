# SPDX-License-Identifier: Apache-2.0
"""Finds the longest chains of a template that no rule stops, and says why other steps stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelchain.argo.fuse.build import NoChainError
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.rules import stops
from accelchain.argo.fuse.scope import Chain, Scope, Step

JsonObject = dict[str, Any]
Built = tuple[JsonObject, JsonObject]

_ENDS = 8
"""The rule that speaks of where a chain begins and ends, and so of each single step."""


def find(scope: Scope, build: Callable[[Chain], Built]) -> tuple[list[tuple[Chain, Built]], dict[str, Stop]]:
    """Return the chains of a template with what they become, and why each other step stays.

    Args:
        scope: the template.
        build: makes a template and a call of a chain; may raise NoChainError.
    """
    found: list[tuple[Chain, Built]] = []
    refused: dict[str, Stop] = {}
    for run in _runs(scope):
        found += _within(scope, run, build, refused)
    inside = {name for chain, _ in found for name in chain.names}
    for step in scope.steps.values():
        if step.name not in inside:
            refused[step.name] = _reason(scope, step, refused.get(step.name))
    return found, {name: stop for name, stop in refused.items() if name not in inside}


def _runs(scope: Scope) -> Iterator[list[Step]]:
    """Yield the steps that are functions, in rows of which each one follows the one before it alone."""
    rows: dict[str, list[Step]] = {}
    followers = _followers(scope)
    inner = set()
    for name, step in scope.steps.items():
        if step.leaf is not None:
            rows[name] = [step]
            following = followers[name]
            if len(following) == 1 and following[0].leaf is not None:
                inner.add(following[0].name)
    for name in rows:
        if name in inner:
            continue
        row, there = list(rows[name]), {name}
        while len(following := followers[row[-1].name]) == 1 and following[0].leaf and following[0].name not in there:
            row.append(following[0])
            there.add(following[0].name)
        yield row


def _followers(scope: Scope) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {name: [] for name in scope.steps}
    for step in scope.steps.values():
        first = scope.follows(step)
        if first is not None and first != step.name:
            found[first].append(step)
    return found


def _within(
    scope: Scope, run: Sequence[Step], build: Callable[[Chain], Built], refused: dict[str, Stop]
) -> Iterator[tuple[Chain, Built]]:
    """Yield the chains of a row, the longest from each step on."""
    starts = [bool(step.leaf and not step.leaf.inputs and step.leaf.reads_something) for step in run]
    ends = [bool(step.leaf and step.leaf.writes_something) for step in run]
    at = 0
    while at < len(run):
        for end in range(len(run), at, -1) if starts[at] else ():
            if not ends[end - 1]:
                continue
            chain = Chain(scope, tuple(run[at:end]))
            if next(stops(chain), None) is not None:
                continue
            try:
                built = build(chain)
            except NoChainError as error:
                refused |= {name: error.stop for name in chain.names if name not in refused}
                continue
            yield chain, built
            at = end - 1
            break
        at += 1


def _reason(scope: Scope, step: Step, refused: Stop | None) -> Stop:
    """Return why a step stays, the nearest reason first: itself, its neighbours, the chain that it would be in."""
    if step.fault is not None:
        return step.fault
    own = list(stops(Chain(scope, (step,))))
    if nearest := next((stop for stop in own if stop.rule != _ENDS), None):
        return nearest
    if refused is not None:
        return refused if refused.step == step.name else _of_chain(refused)
    for pair in _around(scope, step):
        for stop in stops(pair):
            if stop.rule not in (1, _ENDS):
                return stop if stop.step == step.name else _of_chain(stop)
        for other in pair.members:
            far = next((stop for stop in stops(Chain(scope, (other,))) if stop.rule != _ENDS), None)
            if far is not None:
                return _of_chain(far)
    return own[0]  # by itself it is no DataFlow, or it would be one


def _of_chain(stop: Stop) -> Stop:
    return Stop(stop.rule, stop.step, f"its chain stops at '{stop.step}': {stop.sentence}")


def _around(scope: Scope, step: Step) -> Iterator[Chain]:
    """Yield pairs of steps that hand something on, the nearest to a step first."""
    left, seen = [step], {step.name}
    while left:
        at = left.pop(0)
        for pair in _neighbours(scope, at):
            yield pair
            new = [member for member in pair.members if member.name not in seen]
            seen |= {member.name for member in new}
            left += new


def _neighbours(scope: Scope, step: Step) -> Iterator[Chain]:
    sources = [source[0] for name in (step.leaf.inputs.values() if step.leaf else ()) if (source := step.source(name))]
    followed = scope.follows(step)
    for name in dict.fromkeys([*sources, *([followed] if followed else [])]):
        if name in scope.steps and name != step.name:
            yield Chain(scope, (scope.steps[name], step))
    for other in scope.steps.values():
        feeds = other.leaf and any((s := other.source(a)) and s[0] == step.name for a in other.leaf.inputs.values())
        if other is not step and (feeds or scope.follows(other) == step.name):
            yield Chain(scope, (step, other))
