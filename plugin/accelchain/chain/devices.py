# SPDX-License-Identifier: Apache-2.0
"""A resolved flow against an inventory: what no device can do however idle it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelchain.api.compute_resource import ComputeResource, Device
from accelchain.api.data_flow import PlacementRule
from accelchain.api.function_type import Implementation
from accelchain.chain.problems import Problems, choose
from accelchain.chain.resolved import Problem, ResolvedFlow, ResolvedFunction


@dataclass(frozen=True, slots=True)
class _Site:
    """A device on its node."""

    node: str
    device: Device

    def __str__(self) -> str:
        return f"{self.node}/{self.device.name}"


def check_devices(flow: ResolvedFlow, inventory: Sequence[ComputeResource]) -> tuple[Problem, ...]:
    """Return what the inventory rules out: unknown devices and nodes, functions that fit nowhere, rates beyond reach.

    An empty inventory rules out nothing: nodes may be about to report.
    """
    sites = [_Site(r.spec.node_name, device) for r in inventory for device in r.spec.devices]
    if not sites:
        return ()
    problems = Problems()
    nodes = {resource.spec.node_name for resource in inventory}
    for i, rule in enumerate(flow.rules):
        _check_names(rule, f"spec.placement.rules[{i}]", nodes, sites, problems)
    named = bool(problems.found())
    for function in flow.functions:
        _check_function(function, sites, problems, named)
    return problems.found()


def _check_names(rule: PlacementRule, path: str, nodes: set[str], sites: Sequence[_Site], problems: Problems) -> None:
    for field, names in (("nodes", rule.nodes), ("excludeNodes", rule.exclude_nodes)):
        for i, name in enumerate(names):
            if name not in nodes:
                problems.add(
                    "UnknownDevice", f"{path}.{field}[{i}]", f"no node '{name}' reports devices: {choose(name, nodes)}"
                )
    known = {site.device.name for site in sites} | {str(site) for site in sites}
    for field, names in (("devices", rule.devices), ("excludeDevices", rule.exclude_devices)):
        for i, name in enumerate(names):
            if name not in known:
                shown = choose(name, (k for k in known if ("/" in k) == ("/" in name)))
                problems.add("UnknownDevice", f"{path}.{field}[{i}]", f"there is no device '{name}': {shown}")


def _check_function(function: ResolvedFunction, sites: Sequence[_Site], problems: Problems, named: bool) -> None:
    """Check one function.

    Args:
        function: the function.
        sites: all devices.
        problems: where faults go.
        named: unknown names were found, which is why rules may leave nothing: that is not told again.
    """
    allowed = [site for site in sites if all(_allows(rule, site) for rule in function.rules)]
    able = [(i, site) for i in function.implementations for site in allowed if _runs(i, site)]
    if not able:
        if not named:
            problems.add("UnknownDevice", function.path, _no_device(function, sites, allowed))
        return
    fastest, site = max(able, key=lambda pair: pair[0].frames_per_second)
    if function.rate is not None and function.rate > fastest.frames_per_second:
        problems.add(
            "RateUnreachable",
            function.rate_path,
            f"no device reaches {function.rate:g} frames/s for function '{function.name}': the fastest is "
            f"implementation '{fastest.name}' on {site} with {fastest.frames_per_second:g}; declare less.",
        )


def _no_device(function: ResolvedFunction, sites: Sequence[_Site], allowed: Sequence[_Site]) -> str:
    wants = "; ".join(f"{i.name}: {i.api} on {' or '.join(i.device_types)}" for i in function.implementations)
    if any(_runs(i, site) for i in function.implementations for site in sites):
        left = ", ".join(map(str, allowed)) or "no device"
        return f"the placement rules leave {left} to function '{function.name}', which needs {wants}: widen the rules."
    have = ", ".join(f"{site} ({site.device.api}, {site.device.type})" for site in sites[:12])
    return f"no device can run function '{function.name}', which needs {wants}; there are {have}."


def _runs(implementation: Implementation, site: _Site) -> bool:
    return implementation.api == site.device.api and site.device.type in implementation.device_types


def _allows(rule: PlacementRule, site: _Site) -> bool:
    """Tell whether a rule lets a function onto a device; the scheduler holds the same."""
    names = {site.device.name, str(site)}
    return (
        (not rule.nodes or site.node in rule.nodes)
        and site.node not in rule.exclude_nodes
        and (not rule.device_types or site.device.type in rule.device_types)
        and site.device.type not in rule.exclude_device_types
        and (not rule.devices or not names.isdisjoint(rule.devices))
        and names.isdisjoint(rule.exclude_devices)
    )
