# SPDX-License-Identifier: Apache-2.0
"""Place whole chains on devices: many at once, in order, nothing taken twice.

Each request is placed as if the earlier ones of the batch had been placed before, or not at all. One that must wait
does not hold up those behind it. Cost and units: ``strategy.py``. Linear chains get the cheapest placement there
is, and so do branches without joins; where joins or devices that are nearly full ask for a search, it ends after the
strategy's ``maxSteps`` (20000 where absent) with the best found so far, and ``Decision.exact`` says which it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolved import ResolvedFlow
from accelchain_operators.scheduler import explain
from accelchain_operators.scheduler.bounds import NEVER, TreeBound
from accelchain_operators.scheduler.demand import Demand
from accelchain_operators.scheduler.inventory import UNITS, Group, Inventory, Usage
from accelchain_operators.scheduler.problem import Problem, Solution, build
from accelchain_operators.scheduler.search import Result, solve
from accelchain_operators.scheduler.strategy import DEFAULT, Strategy

LEAST_STEPS = 200
"""Every group of devices that is searched gets as many, whatever those before it have used up."""


@dataclass(frozen=True, slots=True)
class Request:
    """A flow to place."""

    key: str
    """Comes back in the decision."""
    flow: ResolvedFlow
    strategy: Strategy = DEFAULT


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a flow runs, or why it waits."""

    key: str
    placement: tuple[FunctionPlacement, ...]
    """One a function, in the flow's order; empty: it waits."""
    reason: str
    """Placed, NoInventory, NoMatchingDevice or InsufficientCapacity."""
    message: str
    cost_microseconds: float = 0.0
    exact: bool = True
    """Nothing cheaper exists. False: the search ended at the strategy's bound."""


def place(requests: Sequence[Request], inventory: Inventory) -> tuple[Decision, ...]:
    """Decide on all requests in their order.

    Args:
        requests: those who come first choose first.
        inventory: devices, links and what is taken already; not changed.

    Returns:
        One decision a request.
    """
    batch = _Batch(inventory)
    return tuple(batch.decide(request) for request in requests)


class _Attempt:
    """A demand in a group, and in all groups that are like it."""

    def __init__(self, problem: Problem) -> None:
        self.bound = TreeBound(problem)
        self._problem = problem
        self._results: dict[tuple[int, int], Result] = {}

    def solve(self, max_steps: int, below: int) -> Result:
        """Search, or return what the same search found before: a batch decides as single calls would."""
        if (result := self._results.get((max_steps, below))) is None:
            result = self._results[max_steps, below] = solve(self._problem, self.bound, max_steps, below)
        return result


@dataclass(frozen=True, slots=True)
class _Best:
    """The cheapest solution over all groups."""

    group: Group | None = None
    solution: Solution = ()
    cost: int = NEVER
    exact: bool = True


class _Batch:
    """The state of one call: what is taken so far, and what was already worked out."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._usage = list(inventory.usage)
        self._demands: dict[Demand, int] = {}
        self._attempts: dict[object, _Attempt] = {}
        self._states: dict[tuple[Usage, ...], int] = {}
        self._state_of: dict[tuple[int, ...], int] = {}
        """State of a group, by its members, until something of it is taken."""

    def decide(self, request: Request) -> Decision:
        """Place one request and take what it needs."""
        if not self._inventory.devices:
            return Decision(request.key, (), "NoInventory", explain.NO_INVENTORY)
        demand = Demand.of(request.flow, request.strategy)
        best = self._best(demand, limited=True)
        if best.group is None:
            return self._wait(request.key, demand, best.exact)
        placement = []
        for function, wanted, candidate in zip(request.flow.functions, demand.functions, best.solution, strict=True):
            at = best.group.members[candidate.device]
            site, option = self._inventory.devices[at], wanted.options[candidate.option]
            self._usage[at] += candidate.usage
            placement.append(
                FunctionPlacement.model_validate(
                    {
                        "function": function.name,
                        "node": site.node,
                        "device": site.name,
                        "deviceType": site.type,
                        "api": option.api,
                        "implementation": option.name,
                        "version": function.version,
                        "load": candidate.usage.load / UNITS,
                    }
                )
            )
        self._state_of.pop(best.group.members)
        message = explain.placed(placement, best.exact)
        return Decision(request.key, tuple(placement), "Placed", message, best.cost / 1000, best.exact)

    def _wait(self, key: str, demand: Demand, exact: bool) -> Decision:
        ideal = self._best(demand, limited=False)
        if ideal.group is None:
            return Decision(key, (), "NoMatchingDevice", explain.no_match(demand, self._inventory), exact=exact)
        sites = [self._inventory.devices[at] for at in ideal.group.members]
        usage = [self._usage[at] for at in ideal.group.members]
        message = explain.no_room(demand, ideal.solution, sites, usage, exact)
        return Decision(key, (), "InsufficientCapacity", message, exact=exact)

    def _best(self, demand: Demand, limited: bool) -> _Best:
        """Search the groups, the most promising first, until none can be better."""
        named = demand.named_nodes()
        number = self._demands.setdefault(demand, len(self._demands))
        looked_at: set[_Attempt] = set()
        hopeful: list[tuple[int, int, Group, _Attempt]] = []
        for place, group in enumerate(self._inventory.groups):
            attempt = self._attempt(demand, number, named, group, limited)
            # Of groups that are alike the first one wins: the others are not looked at.
            if attempt.bound.least < NEVER and attempt not in looked_at:
                looked_at.add(attempt)
                hopeful.append((attempt.bound.least, place, group, attempt))
        hopeful.sort(key=lambda entry: entry[:2])
        best, exact, steps = _Best(), True, demand.strategy.max_steps
        for least, _, group, attempt in hopeful:
            if least >= best.cost:
                break
            result = attempt.solve(max(steps // 2, LEAST_STEPS), best.cost)
            steps -= result.steps
            exact = exact and result.exact
            if result.solution is not None:
                best = _Best(group, result.solution, result.cost)
        return _Best(best.group, best.solution, best.cost, exact)

    def _attempt(self, demand: Demand, number: int, named: frozenset[str], group: Group, limited: bool) -> _Attempt:
        """Return what is known of the demand in this group, or in one that differs in nothing that matters."""
        if (state := self._state_of.get(group.members)) is None:
            taken = tuple(self._usage[at] for at in group.members)
            state = self._state_of[group.members] = self._states.setdefault(taken, len(self._states))
        labels: tuple[str, ...] = ()
        if named:
            nodes = (self._inventory.devices[at].node for at in group.members)
            labels = tuple(node if node in named else "" for node in nodes)
        key = (number, group.signature, state, labels, limited)
        if (attempt := self._attempts.get(key)) is None:
            sites = [self._inventory.devices[at] for at in group.members]
            usage = [self._usage[at] for at in group.members]
            attempt = self._attempts[key] = _Attempt(build(demand, group, sites, usage, limited))
        return attempt
