# SPDX-License-Identifier: Apache-2.0
"""Finds the longest chains of a template that no rule stops, and says why other steps stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelchain.argo.fuse.build import NoChainError
from accelchain.argo.fuse.reasons import Reasons, begins, ends
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.rules import stops
from accelchain.argo.fuse.scope import Chain, Scope, Step

JsonObject = dict[str, Any]
Built = tuple[JsonObject, JsonObject]


def find(scope: Scope, build: Callable[[Chain], Built]) -> tuple[list[tuple[Chain, Built]], dict[str, Stop]]:
    """Return the chains of a template with what they become, and why each other step stays.

    Args:
        scope: the template.
        build: makes a template and a call of a chain; may raise NoChainError.
    """
    found: list[tuple[Chain, Built]] = []
    refused: dict[str, Stop] = {}
    rows = list(_rows(scope))
    for row in rows:
        found += _within(scope, row, build, refused)
    inside = {name for chain, _ in found for name in chain.names}
    reasons = Reasons(scope, rows)
    kept = {name: reasons.of(step, refused.get(name)) for name, step in scope.steps.items() if name not in inside}
    return found, kept


def _rows(scope: Scope) -> Iterator[list[Step]]:
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
    scope: Scope, row: Sequence[Step], build: Callable[[Chain], Built], refused: dict[str, Stop]
) -> Iterator[tuple[Chain, Built]]:
    """Yield the chains of a row, the longest from each step on."""
    at = 0
    while at < len(row):
        for end in range(len(row), at, -1) if begins(row[at]) else ():
            if not ends(row[end - 1]):
                continue
            chain = Chain(scope, tuple(row[at:end]))
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
