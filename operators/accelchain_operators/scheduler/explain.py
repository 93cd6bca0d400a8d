# SPDX-License-Identifier: Apache-2.0
"""Why a flow waits, in sentences that tell whom to ask or what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from accelchain.api.data_flow_status import FunctionPlacement
from accelchain_operators.scheduler.demand import Demand, FunctionDemand
from accelchain_operators.scheduler.inventory import UNITS, Inventory, Site, Usage
from accelchain_operators.scheduler.problem import Solution, build

NO_INVENTORY = "No node has published a device: start a node agent (accelchain node), or wait for it."
_SHOWN = 5
"""Functions or devices that a message names."""


def placed(placement: Sequence[FunctionPlacement], exact: bool) -> str:
    """Return the message of a flow that was placed."""
    devices = dict.fromkeys(f"{p.node}/{p.device}" for p in placement)
    text = f"Placed on {_listed(list(devices))}"
    return text if exact else f"{text}; the search ended at maxSteps, a cheaper placement may exist"


def no_match(demand: Demand, inventory: Inventory) -> str:
    """Return why no device fits, whatever its load."""
    misfits = [
        _misfit(function, inventory.devices)
        for function in demand.functions
        if all(function.refusal(site) for site in inventory.devices)
    ]
    if misfits:
        return _joined(misfits)
    whole = inventory.joined()
    problem = build(demand, whole, inventory.devices, inventory.usage, limited=False)
    unlinked = []
    for target, links in enumerate(problem.links):
        for source, costs in links:
            if not costs:
                allowed = [set(e.mechanisms) for e in demand.edges if (e.source, e.target) == (source, target)]
                names = (demand.functions[source].name, demand.functions[target].name)
                unlinked.append(
                    f"no two devices for {names[0]} and {names[1]} have a link by "
                    f"{' or '.join(sorted(set.intersection(*allowed))) or 'one mechanism for all their connections'}"
                )
    if unlinked:
        return _joined(unlinked)
    return (
        "Every function fits a device, but no set of linked devices (a node) fits them all: relax the placement rules."
    )


def _misfit(function: FunctionDemand, sites: Sequence[Site]) -> str:
    if not function.options:
        return f"{function.name} has no implementation that the placement rules allow"
    counts = Counter(function.refusal(site) for site in sites)
    wants = ", ".join(f"{option.api} on {'/'.join(option.device_types)}" for option in function.options)
    causes = [
        f"{count} not {wants}" if cause == "api" else f"{count} ruled out by {cause}" for cause, count in counts.items()
    ]
    return f"{function.name} fits none of {len(sites)} devices ({'; '.join(causes)})"


def no_room(demand: Demand, ideal: Solution, sites: Sequence[Site], usage: Sequence[Usage], exact: bool) -> str:
    """Return what the devices lack that the flow would run on if all were empty enough.

    Args:
        demand: what is asked for.
        ideal: the choice without regard to room.
        sites: the devices of its group.
        usage: what is taken of them.
        exact: False: the search ended before it had tried everything.
    """
    asked: dict[int, Usage] = {}
    names: dict[int, list[str]] = {}
    for function, candidate in zip(demand.functions, ideal, strict=True):
        asked[candidate.device] = asked.get(candidate.device, Usage()) + candidate.usage
        names.setdefault(candidate.device, []).append(function.name)
    lacks = []
    for device in sorted(asked):
        for lack in _lacks(asked[device], sites[device], usage[device], demand.strategy.memory):
            lacks.append(f"{sites[device]} lacks {lack} for {_listed(names[device])}")
    text = _joined(lacks) + " No other device that fits has the room either."
    return text if exact else text + " The search ended at the strategy's maxSteps: raise it to try more combinations."


def _lacks(asked: Usage, site: Site, used: Usage, memory: bool) -> list[str]:
    lacks = []
    if asked.load and asked.load > UNITS - used.load:
        lacks.append(
            f"load (needs {asked.load / UNITS:.3g} of the device, {max(0, UNITS - used.load) / UNITS:.3g} is free)"
        )
    if asked.functions > site.places - used.functions:
        lacks.append(
            f"places (needs {asked.functions}, {max(0, site.places - used.functions)} of {site.places} are free)"
        )
    if memory and site.memory and asked.memory > site.memory - used.memory:
        lacks.append(
            f"memory (needs {_mebibytes(asked.memory)}, {_mebibytes(max(0, site.memory - used.memory))} is free)"
        )
    return lacks


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _joined(sentences: Sequence[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join(sentences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "") + "."
