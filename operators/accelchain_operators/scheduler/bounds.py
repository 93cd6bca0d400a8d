# SPDX-License-Identifier: Apache-2.0
"""Lower bounds of a search, by dynamic programming. Both are admissible: never more than the cheapest rest costs.

``TreeBound`` is exact where no function has two predecessors and no device is too small for what the flow puts on it.
``RunBound`` knows about the capacity of devices too, but only on linear chains: it is exact unless a chain returns
to a device that it had left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from accelchain_operators.scheduler.inventory import Usage
from accelchain_operators.scheduler.problem import Candidate, Costs, Problem, fits

NEVER = 2**62
"""The cost of what is impossible."""


class Bound(Protocol):
    """What a search asks."""

    least: int
    """No solution costs less; NEVER: there is none."""

    def rest(self, function: int, before: Candidate | None, here: Candidate, free: Usage, rest: int) -> int:
        """Return what the functions not yet placed cost at least.

        Args:
            function: index of the function placed last; all before it are placed.
            before: where its last predecessor sits; None: it has none.
            here: where it was put.
            free: what that device has left now.
            rest: the bound before it was placed.
        """


class TreeBound:
    """Every function hangs on its last predecessor; the links from others count with their cheapest start."""

    def __init__(self, problem: Problem) -> None:
        count = len(problem.candidates)
        parents = [links[-1][0] if links else None for links in problem.links]
        self._rests: list[dict[int, int]] = [{} for _ in range(count)]
        self._shares: list[dict[int, int]] = [{} for _ in range(count)]
        self._roots = [0] * count
        children: list[list[int]] = [[] for _ in range(count)]
        for function in reversed(range(count)):
            parent = parents[function]
            if parent is not None:
                children[parent].append(function)
            totals: dict[int, int] = {}
            for candidate in problem.candidates[function]:
                device = candidate.device
                if device not in self._rests[function]:
                    self._rests[function][device] = sum(self._shares[c].get(device, NEVER) for c in children[function])
                total = candidate.cost + self._rests[function][device]
                totals[device] = min(total, totals.get(device, NEVER))
            for _, costs in problem.links[function][:-1]:
                nearest = _nearest(costs)
                totals = {device: total + nearest.get(device, NEVER) for device, total in totals.items()}
            if parent is None:
                self._roots[function] = min(totals.values(), default=NEVER)
            else:
                shares = self._shares[function]
                for (source, target), cost in problem.links[function][-1][1].items():
                    if target in totals:
                        shares[source] = min(cost + totals[target], shares.get(source, NEVER))
        self.least = min(NEVER, sum(self._roots[f] for f in range(count) if parents[f] is None))

    def rest(self, function: int, before: Candidate | None, here: Candidate, free: Usage, rest: int) -> int:
        """See ``Bound``; capacity is not looked at."""
        share = self._roots[function] if before is None else self._shares[function].get(before.device, NEVER)
        return rest - share + self._rests[function][here.device]


def _nearest(costs: Costs) -> dict[int, int]:
    """Return for each device the cheapest way to it."""
    nearest: dict[int, int] = {}
    for (_, target), cost in costs.items():
        nearest[target] = min(cost, nearest.get(target, NEVER))
    return nearest


@dataclass(slots=True)
class _Least:
    """The cheapest and the smallest of a function's implementations on one device."""

    cost: int = NEVER
    load: int = NEVER
    memory: int = NEVER
    stay: int = NEVER
    """Cost of the link from the function before, on the same device."""


@dataclass(slots=True)
class _Step:
    """One function of the chain: per device, what it asks at least, and what going on elsewhere costs."""

    asks: dict[int, _Least] = field(default_factory=dict)
    leave: dict[int, int] = field(default_factory=dict)
    """The least cost of the rest of the chain, if the next function sits on another device."""


class RunBound:
    """A linear chain as runs: several functions in a row on one device, as many as it has room for."""

    def __init__(self, problem: Problem) -> None:
        self._steps = [_Step() for _ in problem.candidates]
        self._entries: list[dict[int, int]] = [{} for _ in problem.candidates]
        last = len(problem.candidates) - 1
        for function in range(last, -1, -1):
            step = self._steps[function]
            links: Costs = problem.links[function][0][1] if function else {}
            for candidate in problem.candidates[function]:
                least = step.asks.setdefault(candidate.device, _Least())
                least.cost = min(least.cost, candidate.cost)
                least.load = min(least.load, candidate.usage.load)
                least.memory = min(least.memory, candidate.usage.memory)
                least.stay = links.get((candidate.device, candidate.device), NEVER)
            for device in step.asks:
                step.leave[device] = 0 if function == last else NEVER
            if function < last:
                entries = self._entries[function + 1]
                for (source, target), cost in problem.links[function + 1][0][1].items():
                    if source != target and source in step.leave and target in entries:
                        step.leave[source] = min(step.leave[source], cost + entries[target])
            for device, least in step.asks.items():
                free = problem.free[device]
                left = Usage(free.load - least.load, free.functions - 1, free.memory - least.memory)
                self._entries[function][device] = least.cost + self._to_go(function, device, left)
        self.least = min(NEVER, min(self._entries[0].values(), default=NEVER))

    def _to_go(self, function: int, device: int, free: Usage) -> int:
        """Return the least cost after ``function``: a run goes on as long as the device has room, then leaves."""
        best = self._steps[function].leave[device]
        run = 0
        load, places, memory = free.load, free.functions, free.memory
        for step in self._steps[function + 1 :]:
            least = step.asks.get(device)
            if (
                least is None
                or least.stay >= NEVER
                or not fits(Usage(least.load, 1, least.memory), Usage(load, places, memory))
            ):
                break
            load, places, memory = load - least.load, places - 1, memory - least.memory
            run += least.stay + least.cost
            if run >= best:
                break
            best = min(best, run + step.leave[device])
        return best

    def rest(self, function: int, before: Candidate | None, here: Candidate, free: Usage, rest: int) -> int:
        """See ``Bound``."""
        return self._to_go(function, here.device, free)
