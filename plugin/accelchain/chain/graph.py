# SPDX-License-Identifier: Apache-2.0
"""Order and cycles of a directed graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class CycleError(ValueError):
    """The graph has a cycle."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(" → ".join(path))
        self.path = path
        """The nodes of one cycle, in the direction of the edges; the first is the last again."""


def topological_order(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the nodes so that edges lead forward; where an edge leaves it open, in the order given.

    Raises:
        CycleError: there is no such order.
    """
    before: dict[str, set[str]] = {node: set() for node in nodes}
    for source, target in edges:
        before[target].add(source)
    order: dict[str, None] = {}
    while len(order) < len(before):
        ready = next((n for n in before if n not in order and before[n] <= order.keys()), None)
        if ready is None:
            raise CycleError(_cycle(before, order))
        order[ready] = None
    return tuple(order)


def _cycle(before: dict[str, set[str]], ordered: dict[str, None]) -> tuple[str, ...]:
    """Walk backwards among the nodes that are left, each of which has one before it, until a node comes again."""
    rank = {node: i for i, node in enumerate(before)}
    walk = [next(node for node in before if node not in ordered)]
    while walk[-1] not in walk[:-1]:
        walk.append(min((b for b in before[walk[-1]] if b not in ordered), key=rank.__getitem__))
    cycle = walk[walk.index(walk[-1]) : -1][::-1]
    first = cycle.index(min(cycle, key=rank.__getitem__))
    return (*cycle[first:], *cycle[: first + 1])
