# SPDX-License-Identifier: Apache-2.0
"""One flow against one group of linked devices: candidates with their costs, links with theirs, and what is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelchain_operators.scheduler.demand import Demand, Edge, FunctionDemand
from accelchain_operators.scheduler.inventory import UNITS, Group, Site, Usage, Ways
from accelchain_operators.scheduler.strategy import CPU_NS, LOAD_NS, PACKING_NS, RANK_NS, Strategy

PLENTY = 2**62
"""Free memory of a device whose size is unknown; anything free of a device whose limits are not asked for."""
COPY_WITHIN_GBPS = 5.0
"""Taken for host-copy between two functions of one device, which no link describes: to the host and back."""

Costs = Mapping[tuple[int, int], int]
"""Nanoseconds a frame between two devices (positions in the group); a pair that is missing cannot be used."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function on a device, by one of its implementations."""

    device: int
    """Position in the group."""
    option: int
    """Index of the implementation in the demand."""
    usage: Usage
    cost: int
    """Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Choose one candidate a function: least cost, links included, within what is free."""

    candidates: tuple[tuple[Candidate, ...], ...]
    """Of each function, in topological order; cheapest first."""
    links: tuple[tuple[tuple[int, Costs], ...], ...]
    """Of each function: its predecessors and the cost of the edges from there."""
    free: tuple[Usage, ...]
    """Of each device."""
    opening: tuple[int, ...]
    """Of each device: what taking it into use costs."""

    @property
    def linear(self) -> bool:
        """Tell whether the functions are one simple chain."""
        return all(tuple(u for u, _ in links) == ((v - 1,) if v else ()) for v, links in enumerate(self.links))

    @property
    def hopeless(self) -> bool:
        """Tell whether the functions ask for more than all devices together have left: no search is needed then."""
        homes = [self.free[at] for at in {candidate.device for options in self.candidates for candidate in options}]
        return (
            any(not options for options in self.candidates)
            or sum(min(c.usage.load for c in options) for options in self.candidates)
            > sum(max(0, f.load) for f in homes)
            or sum(min(c.usage.memory for c in options) for options in self.candidates) > sum(f.memory for f in homes)
            or len(self.candidates) > sum(f.functions for f in homes)
        )


Solution = tuple[Candidate, ...]
"""One candidate a function."""


def build(demand: Demand, group: Group, sites: Sequence[Site], usage: Sequence[Usage], limited: bool) -> Problem:
    """Set up the search of a demand in a group.

    Args:
        demand: what the flow asks for.
        group: where to look.
        sites: the group's devices.
        usage: what is taken of them.
        limited: False asks what would be chosen if every device had room.
    """
    strategy = demand.strategy
    free = tuple(_free(site, used, strategy) if limited else _ENDLESS for site, used in zip(sites, usage, strict=True))
    candidates = tuple(_candidates(function, sites, usage, free, strategy) for function in demand.functions)
    homes = [{candidate.device for candidate in options} for options in candidates]
    links: list[dict[int, Costs]] = [{} for _ in candidates]
    for edge in demand.edges:
        costs = _edge_costs(edge, homes[edge.source], homes[edge.target], group.ways, strategy.links)
        # Several connections between the same two functions are paid together and must all be possible.
        before = links[edge.target].get(edge.source)
        if before is not None:
            costs = {pair: cost + before[pair] for pair, cost in costs.items() if pair in before}
        links[edge.target][edge.source] = costs
    opening = round(PACKING_NS * strategy.packing)
    return Problem(
        candidates,
        tuple(tuple(sorted(found.items(), key=lambda item: item[0])) for found in links),
        free,
        tuple(0 if used.functions else opening for used in usage),
    )


_ENDLESS = Usage(PLENTY, PLENTY, PLENTY)


def _free(site: Site, used: Usage, strategy: Strategy) -> Usage:
    memory = site.memory - used.memory if site.memory and strategy.memory else PLENTY
    return Usage(UNITS - used.load, site.places - used.functions, memory)


def fits(usage: Usage, free: Usage) -> bool:
    """Tell whether a device with that much free can take it. What asks for no load fits an overloaded device."""
    return (
        (usage.load <= free.load or not usage.load)
        and usage.functions <= free.functions
        and (usage.memory <= free.memory or not usage.memory)
    )


def _candidates(
    function: FunctionDemand, sites: Sequence[Site], usage: Sequence[Usage], free: Sequence[Usage], strategy: Strategy
) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    for at, site in enumerate(sites):
        if free[at].functions < 1 or any(rule.refusal(site) for rule in function.rules):
            continue
        here = [
            Candidate(at, number, option.usage, _cost(option.usage, option.rank, site, usage[at], strategy))
            for number, option in enumerate(function.options)
            if option.runs_on(site) and fits(option.usage, free[at])
        ]
        here.sort(key=lambda candidate: (candidate.cost, candidate.option))
        for candidate in here:
            if not any(_dominates(better, candidate) for better in found if better.device == at):
                found.append(candidate)
    found.sort(key=lambda candidate: (candidate.cost, candidate.device, candidate.option))
    if strategy.candidates is None:
        return tuple(found)
    looked_at = list(dict.fromkeys(candidate.device for candidate in found))[: strategy.candidates]
    return tuple(candidate for candidate in found if candidate.device in looked_at)


def _dominates(better: Candidate, candidate: Candidate) -> bool:
    """Tell whether an implementation that costs no more also takes no more of the device."""
    return better.usage.load <= candidate.usage.load and better.usage.memory <= candidate.usage.memory


def _cost(usage: Usage, rank: int, site: Site, used: Usage, strategy: Strategy) -> int:
    crowd = used.functions / site.places if site.places else 0.0
    load = LOAD_NS * ((used.load + usage.load) / UNITS + crowd)
    preference = RANK_NS * rank + (CPU_NS if site.type == "cpu" else 0)
    return round(strategy.load * load) + round(strategy.preference * preference)


def _edge_costs(
    edge: Edge, sources: set[int], targets: set[int], ways: Ways, weight: float
) -> dict[tuple[int, int], int]:
    costs: dict[tuple[int, int], int] = {}
    for (source, target), found in ways.items():
        if source in sources and target in targets:
            usable = [way.cost(edge.size) for way in found if way.mechanism in edge.mechanisms]
            if usable:
                costs[source, target] = round(weight * min(usable))
    for device in sources & targets:
        if "same-buffer" in edge.mechanisms:
            costs[device, device] = 0
        elif "host-copy" in edge.mechanisms:
            copy = round(weight * 2 * edge.size / COPY_WITHIN_GBPS)
            costs[device, device] = min(copy, costs.get((device, device), copy))
    return costs
