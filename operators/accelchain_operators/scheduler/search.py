# SPDX-License-Identifier: Apache-2.0
"""Branch and bound over one group of devices: exact within a bound of steps, the best found so far beyond it.

On a linear chain the first descent follows the dynamic program and is optimal at once unless a device is too small for
all that the program put there; then the search goes on with a bound that counts capacity. States that only differ in
how they were reached (same devices where edges are still open, same use of devices) are followed once, by the cheapest
way.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelchain_operators.scheduler.bounds import NEVER, Bound, RunBound, TreeBound
from accelchain_operators.scheduler.inventory import Usage
from accelchain_operators.scheduler.problem import Candidate, Problem, Solution, fits


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found."""

    solution: Solution | None
    cost: int
    """Nanoseconds; without a solution: what was to be beaten."""
    exact: bool
    """Nothing cheaper than ``cost`` exists here."""
    steps: int


def solve(problem: Problem, tree: TreeBound, max_steps: int, below: int = NEVER) -> Result:
    """Find the cheapest solution that costs less than ``below``.

    Args:
        problem: what to place, and where.
        tree: the problem's bound.
        max_steps: candidates that may be tried; at least as many as there are functions are.
        below: nanoseconds that a solution has to beat.
    """
    if tree.least >= below or problem.hopeless:
        return Result(None, below, True, 0)
    nothing = Result(None, below, False, 0)
    if not problem.linear:
        return _Search(problem, tree, max_steps, nothing).run()
    first = _Search(problem, tree, len(problem.candidates), nothing).run()
    if first.exact:
        return first
    return _Search(problem, RunBound(problem), max_steps, first).run()


class _Search:
    """Depth first, cheapest bound first."""

    def __init__(self, problem: Problem, bound: Bound, max_steps: int, known: Result) -> None:
        count = len(problem.candidates)
        self._problem = problem
        self._bound = bound
        self._left = max(max_steps, count)
        self._max_steps = self._left
        self._solution = known.solution
        self._cost = known.cost
        self._steps_before = known.steps
        self._chosen: list[Candidate] = []
        self._free = list(problem.free)
        self._own: dict[int, Usage] = {}
        """What this flow takes of each device so far."""
        last_use = [-1] * count
        for function, links in enumerate(problem.links):
            for source, _ in links:
                last_use[source] = function
        self._open = [[u for u in range(v) if last_use[u] >= v] for v in range(count)]
        """For each function: those before it with an edge to it or beyond."""
        self._reached: dict[object, int] = {}

    def run(self) -> Result:
        """Search; the result is exact where the search came to its end."""
        complete = self._descend(0, 0, self._bound.least)
        exact = complete or self._cost <= self._bound.least
        return Result(self._solution, self._cost, exact, self._steps_before + self._max_steps - self._left)

    def _descend(self, function: int, cost: int, rest: int) -> bool:
        """Place this function and all after it; False: out of steps, or nothing cheaper can be found."""
        if function == len(self._problem.candidates):
            self._solution, self._cost = tuple(self._chosen), cost
            return self._cost > self._bound.least
        if self._seen(function, cost):
            return True
        for total, new_rest, candidate in self._branches(function, cost, rest):
            if total >= self._cost:
                break
            if not self._left:
                return False
            self._left -= 1
            device = candidate.device
            free, own = self._free[device], self._own.get(device)
            self._free[device] = _less(free, candidate.usage)
            self._own[device] = candidate.usage if own is None else own + candidate.usage
            self._chosen.append(candidate)
            complete = self._descend(function + 1, total - new_rest, new_rest)
            self._chosen.pop()
            self._free[device] = free
            if own is None:
                del self._own[device]
            else:
                self._own[device] = own
            if not complete:
                return False
        return True

    def _seen(self, function: int, cost: int) -> bool:
        """Tell whether this state was reached before at no higher cost; remember it if not."""
        state = (function, tuple(self._chosen[u].device for u in self._open[function]), frozenset(self._own.items()))
        if self._reached.get(state, NEVER) <= cost:
            return True
        self._reached[state] = cost
        return False

    def _branches(self, function: int, cost: int, rest: int) -> list[tuple[int, int, Candidate]]:
        """Return those that fit: (bound of the whole, bound of what comes after, candidate), cheapest first."""
        links = [(self._chosen[source].device, costs) for source, costs in self._problem.links[function]]
        before = self._chosen[self._problem.links[function][-1][0]] if links else None
        found = []
        for candidate in self._problem.candidates[function]:
            free = self._free[candidate.device]
            if not fits(candidate.usage, free):
                continue
            added = candidate.cost
            if candidate.device not in self._own:
                added += self._problem.opening[candidate.device]
            for device, costs in links:
                added += costs.get((device, candidate.device), NEVER)
            if cost + added >= self._cost:
                continue
            new_rest = self._bound.rest(function, before, candidate, _less(free, candidate.usage), rest)
            total = cost + added + new_rest
            if total < self._cost:
                found.append((total, new_rest, candidate))
        found.sort(key=lambda branch: branch[0])
        return found


def _less(free: Usage, taken: Usage) -> Usage:
    return Usage(free.load - taken.load, free.functions - taken.functions, free.memory - taken.memory)
