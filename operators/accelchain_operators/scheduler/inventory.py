# SPDX-License-Identifier: Apache-2.0
"""The devices of all nodes, the links between them, and what is taken of them.

A link in a ComputeResource names devices of its own node (``cpu0``), or of any node (``node/cpu0``): without a link of
the second form nodes are not connected. A link holds both ways unless the way back is listed with the same mechanism.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelchain.api.compute_resource import ComputeResource, Device
from accelchain.api.data_flow_status import FunctionPlacement

UNITS = 1_000_000
"""Load is counted in whole millionths of a device: sums are exact in any order."""


def load_units(share: float) -> int:
    """Return a share of a device in units of load."""
    return round(share * UNITS)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is taken of a device, or asked of it."""

    load: int = 0
    """In millionths."""
    functions: int = 0
    memory: int = 0
    """In bytes."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.load + other.load, self.functions + other.functions, self.memory + other.memory)


@dataclass(frozen=True, slots=True)
class Site:
    """A device on its node."""

    node: str
    name: str
    type: str
    api: str
    places: int
    """Functions that it can hold at once."""
    memory: int
    """In bytes; 0: unknown, not counted."""

    def __str__(self) -> str:
        return f"{self.node}/{self.name}"


@dataclass(frozen=True, slots=True)
class Way:
    """One mechanism between two devices."""

    mechanism: str
    nanoseconds: float
    gigabytes_per_second: float
    """0: the cost does not grow with the size."""

    def cost(self, size: int) -> float:
        """Return the nanoseconds for a frame of ``size`` bytes (bytes / (GB/s) are nanoseconds)."""
        return self.nanoseconds + (size / self.gigabytes_per_second if self.gigabytes_per_second else 0.0)


Ways = Mapping[tuple[int, int], tuple[Way, ...]]


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that are linked, directly or by others: a node, or several where links join them.

    A flow always lies within one group, even if it has parts that no connection joins.
    """

    members: tuple[int, ...]
    """Indices into the inventory's devices."""
    ways: Ways
    """Between positions in ``members``."""
    signature: int
    """Equal for groups that differ in nothing but their nodes' names."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that placement knows of the machines."""

    devices: tuple[Site, ...]
    """By node name, within a node in published order."""
    groups: tuple[Group, ...]
    usage: tuple[Usage, ...]
    """Of each device, by placements made before."""

    @classmethod
    def of(
        cls, resources: Sequence[ComputeResource], taken: Sequence[FunctionPlacement] = (), memory: Sequence[int] = ()
    ) -> Inventory:
        """Build from what nodes published and what flows hold.

        Args:
            resources: one a node.
            taken: placements that count; those on devices that are gone count nowhere.
            memory: bytes that each of ``taken`` holds, in the same order; empty: unknown, not counted.

        Raises:
            ValueError: ``memory`` is neither empty nor as long as ``taken``.
        """
        ordered = sorted(resources, key=lambda r: (r.spec.node_name, r.metadata.name))
        sites: dict[tuple[str, str], Site] = {}
        for resource in ordered:
            for device in resource.spec.devices:
                sites.setdefault((resource.spec.node_name, device.name), _site(resource.spec.node_name, device))
        index = {key: i for i, key in enumerate(sites)}
        usage = [Usage()] * len(index)
        for placement, size in zip(taken, memory or [0] * len(taken), strict=True):
            if (at := index.get((placement.node, placement.device))) is not None:
                usage[at] += Usage(load_units(placement.load), 1, size)
        devices = tuple(sites.values())
        return cls(devices, _groups(devices, _ways(ordered, index)), tuple(usage))

    def joined(self) -> Group:
        """Return all devices as one group, to find out what is impossible anywhere."""
        ways: dict[tuple[int, int], tuple[Way, ...]] = {}
        for group in self.groups:
            ways |= {(group.members[a], group.members[b]): way for (a, b), way in group.ways.items()}
        return Group(tuple(range(len(self.devices))), ways, -1)


def _site(node: str, device: Device) -> Site:
    return Site(node, device.name, device.type, device.api, device.max_functions, device.memory_bytes)


def _ways(
    resources: Sequence[ComputeResource], index: Mapping[tuple[str, str], int]
) -> dict[tuple[int, int], list[Way]]:
    """Return the ways between devices, both directions. Links of devices that are not there are left out."""
    found: dict[tuple[int, int, str], Way] = {}
    for resource in resources:
        for link in resource.spec.links:
            ends = [index.get(_device(name, resource.spec.node_name)) for name in (link.source, link.target)]
            source, target = ends
            if source is None or target is None:
                continue
            way = Way(link.mechanism, link.microseconds * 1000, link.gigabytes_per_second)
            found.setdefault((source, target, link.mechanism), way)
    for (source, target, mechanism), way in list(found.items()):
        found.setdefault((target, source, mechanism), way)
    ways: dict[tuple[int, int], list[Way]] = {}
    for (source, target, _), way in sorted(found.items(), key=lambda item: item[0]):
        ways.setdefault((source, target), []).append(way)
    return ways


def _device(name: str, node: str) -> tuple[str, str]:
    head, slash, tail = name.rpartition("/")
    return (head, tail) if slash else (node, name)


def _groups(devices: Sequence[Site], ways: Mapping[tuple[int, int], Iterable[Way]]) -> tuple[Group, ...]:
    """Split the devices into groups with no link between them."""
    leader = list(range(len(devices)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for source, target in ways:
        first, second = sorted((find(source), find(target)))
        leader[second] = first
    members: dict[int, list[int]] = {}
    for i in range(len(devices)):
        members.setdefault(find(i), []).append(i)
    home = {i: (root, at) for root, part in members.items() for at, i in enumerate(part)}
    inner: dict[int, dict[tuple[int, int], tuple[Way, ...]]] = {root: {} for root in members}
    for (source, target), found in ways.items():
        root, at = home[source]
        inner[root][at, home[target][1]] = tuple(found)
    known: dict[object, int] = {}
    groups = []
    for root, part in members.items():
        traits = tuple((d.name, d.type, d.api, d.places, d.memory) for d in (devices[i] for i in part))
        signature = known.setdefault((traits, tuple(sorted(inner[root].items(), key=lambda w: w[0]))), len(known))
        groups.append(Group(tuple(part), inner[root], signature))
    return tuple(groups)
