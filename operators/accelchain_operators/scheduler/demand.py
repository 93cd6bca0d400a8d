# SPDX-License-Identifier: Apache-2.0
"""What a flow asks of the devices, in a form that can be compared and hashed: equal demands have equal solutions."""

from __future__ import annotations

from dataclasses import dataclass

from accelchain.api.data_flow import PlacementRule
from accelchain.api.function_type import Implementation
from accelchain.chain.resolved import ResolvedFlow, ResolvedFunction
from accelchain_operators.scheduler.inventory import Site, Usage, load_units
from accelchain_operators.scheduler.strategy import Strategy

UNKNOWN_FRAME_BYTES = 1920 * 1080 * 3
"""Taken for a frame whose size is not known before the source is open: full HD, RGB."""
_MULTIPLES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def quantity_bytes(quantity: str) -> int:
    """Return a Kubernetes quantity (``64Mi``) as bytes."""
    for suffix, factor in _MULTIPLES.items():
        if quantity.endswith(suffix):
            return round(float(quantity.removesuffix(suffix)) * factor)
    return round(float(quantity))


@dataclass(frozen=True, slots=True)
class Option:
    """One implementation of a function."""

    name: str
    api: str
    device_types: tuple[str, ...]
    rank: int
    """Place in the author's order."""
    usage: Usage
    """What it takes of a device."""

    def runs_on(self, site: Site) -> bool:
        """Tell whether API and type fit."""
        return self.api == site.api and site.type in self.device_types


@dataclass(frozen=True, slots=True)
class Rule:
    """A placement rule. Empty: everything."""

    nodes: frozenset[str]
    exclude_nodes: frozenset[str]
    device_types: frozenset[str]
    exclude_device_types: frozenset[str]
    devices: frozenset[str]
    exclude_devices: frozenset[str]

    @classmethod
    def of(cls, rule: PlacementRule) -> Rule:
        """Build from the resource."""
        return cls(
            frozenset(rule.nodes),
            frozenset(rule.exclude_nodes),
            frozenset(rule.device_types),
            frozenset(rule.exclude_device_types),
            frozenset(rule.devices),
            frozenset(rule.exclude_devices),
        )

    def refusal(self, site: Site) -> str | None:
        """Return the field of the rule that keeps the device out, None where it may be used."""
        names = (site.name, str(site))
        checks = (
            ("nodes", bool(self.nodes) and site.node not in self.nodes),
            ("excludeNodes", site.node in self.exclude_nodes),
            ("deviceTypes", bool(self.device_types) and site.type not in self.device_types),
            ("excludeDeviceTypes", site.type in self.exclude_device_types),
            ("devices", bool(self.devices) and self.devices.isdisjoint(names)),
            ("excludeDevices", not self.exclude_devices.isdisjoint(names)),
        )
        return next((field for field, refused in checks if refused), None)

    def named_nodes(self) -> frozenset[str]:
        """Return the nodes that the rule knows by name."""
        paths = (name.rpartition("/")[0] for name in self.devices | self.exclude_devices)
        return self.nodes | self.exclude_nodes | {node for node in paths if node}


@dataclass(frozen=True, slots=True)
class FunctionDemand:
    """A function: its implementations, and where it may run."""

    name: str
    options: tuple[Option, ...]
    rules: tuple[Rule, ...]

    def refusal(self, site: Site) -> str | None:
        """Return what keeps the function off the device: a rule's field, ``api``, or None."""
        for rule in self.rules:
            if field := rule.refusal(site):
                return field
        return None if any(option.runs_on(site) for option in self.options) else "api"


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection between two functions, by their index."""

    source: int
    target: int
    mechanisms: tuple[str, ...]
    size: int
    """Bytes a frame."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A whole flow, functions in topological order."""

    functions: tuple[FunctionDemand, ...]
    edges: tuple[Edge, ...]
    strategy: Strategy

    @classmethod
    def of(cls, flow: ResolvedFlow, strategy: Strategy) -> Demand:
        """Build from a flow that was accepted."""
        index = {function.name: i for i, function in enumerate(flow.functions)}
        edges = tuple(
            Edge(
                index[connection.source.function],
                index[connection.target.function],
                connection.mechanisms,
                UNKNOWN_FRAME_BYTES if connection.bytes_per_frame is None else connection.bytes_per_frame,
            )
            for connection in flow.connections
        )
        return cls(tuple(_function(function) for function in flow.functions), edges, strategy)

    def named_nodes(self) -> frozenset[str]:
        """Return the nodes that any rule knows by name."""
        return frozenset(node for function in self.functions for rule in function.rules for node in rule.named_nodes())


def _function(function: ResolvedFunction) -> FunctionDemand:
    ranks = {implementation.name: rank for rank, implementation in enumerate(function.spec.implementations)}
    options = tuple(_option(i, ranks[i.name], function.rate) for i in function.implementations)
    return FunctionDemand(function.name, options, tuple(Rule.of(rule) for rule in function.rules))


def _option(implementation: Implementation, rank: int, rate: float | None) -> Option:
    load = load_units(rate / implementation.frames_per_second) if rate else 0
    return Option(
        implementation.name,
        implementation.api,
        tuple(implementation.device_types),
        rank,
        Usage(load, 1, quantity_bytes(implementation.memory)),
    )
