# SPDX-License-Identifier: Apache-2.0
"""Flows and inventories to place, and an oracle that tries everything."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from types import SimpleNamespace

import pytest

from accelchain.api.compute_resource import ComputeResource
from accelchain.api.data_flow import PlacementRule
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.api.function_type import FunctionTypeSpec
from accelchain.chain.resolved import PortId, ResolvedConnection, ResolvedFlow, ResolvedFunction
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_operators.scheduler.strategy import Strategy

ALL = ("same-buffer", "shared-host", "peer-copy", "host-copy")
MIB = 2**20


def implementation(name="opencl", api="opencl", types=("cpu", "gpu", "fpga"), fps=100.0, memory="64Mi"):
    return {
        "name": name,
        "api": api,
        "deviceTypes": list(types),
        "entrypoint": "f:F",
        "framesPerSecond": fps,
        "memory": memory,
    }


def function(name, *implementations, rate=None, rules=()):
    spec = FunctionTypeSpec.model_validate({"implementations": list(implementations) or [implementation()]})
    parsed = tuple(PlacementRule.model_validate(rule) for rule in rules)
    return ResolvedFunction(name, name, "1.2.3", spec, {}, {}, rate, parsed)


def connection(source, target, mechanisms=ALL, size=0):
    return ResolvedConnection(PortId(source, "out"), PortId(target, "in"), tuple(mechanisms), bytes_per_frame=size)


def flow(functions, connections=None):
    """Return a flow; without connections the functions are one chain."""
    if connections is None:
        names = [f.name for f in functions]
        connections = [connection(a, b) for a, b in pairwise(names)]
    return ResolvedFlow(tuple(functions), tuple(connections))


def device(name, type="cpu", api="opencl", **more):
    return {"name": name, "type": type, "api": api, **more}


def link(source, target, mechanism="host-copy", us=10.0, gbps=0.0):
    return {"from": source, "to": target, "mechanism": mechanism, "microseconds": us, "gigabytesPerSecond": gbps}


def node(name, devices, links=()):
    return ComputeResource.model_validate(
        {"metadata": {"name": name}, "spec": {"nodeName": name, "devices": list(devices), "links": list(links)}}
    )


class Oracle:
    """The rules of placement once more, as plainly as can be, and every combination tried."""

    def __init__(self, resources, taken=(), taken_memory=(), strategy=None):
        self.strategy = strategy or Strategy()
        self.devices = {(r.spec.node_name, d.name): d for r in resources for d in r.spec.devices}
        self.load, self.count, self.memory = defaultdict(float), defaultdict(int), defaultdict(int)
        for placement, size in zip(taken, taken_memory or [0] * len(taken), strict=True):
            self.take(placement, size)
        self.links = {}
        for resource in resources:
            for item in resource.spec.links:
                ends = []
                for end in (item.source, item.target):
                    owner, slash, name = end.rpartition("/")
                    ends.append((owner, name) if slash else (resource.spec.node_name, name))
                self.links[ends[0], ends[1], item.mechanism] = item
        for (a, b, mechanism), item in list(self.links.items()):
            self.links.setdefault((b, a, mechanism), item)

    def take(self, placement, size):
        at = (placement.node, placement.device)
        self.load[at] += placement.load
        self.count[at] += 1
        self.memory[at] += size

    def overbooked(self):
        """Return devices that hold more than they can."""
        return [
            at
            for at, d in self.devices.items()
            if self.load[at] > 1 + 1e-5
            or self.count[at] > d.max_functions
            or (d.memory_bytes and self.memory[at] > d.memory_bytes)
        ]

    def allowed(self, wanted, at, chosen):
        d = self.devices[at]
        if chosen.api != d.api or d.type not in chosen.device_types:
            return False
        names = {d.name, f"{at[0]}/{d.name}"}
        return all(
            (not r.nodes or at[0] in r.nodes)
            and at[0] not in r.exclude_nodes
            and (not r.device_types or d.type in r.device_types)
            and d.type not in r.exclude_device_types
            and (not r.devices or names & set(r.devices))
            and not names & set(r.exclude_devices)
            and (not r.implementations or chosen.name in r.implementations)
            for r in wanted.rules
        )

    def choices(self, wanted):
        found = []
        for at, d in self.devices.items():
            for rank, chosen in enumerate(wanted.spec.implementations):
                if self.allowed(wanted, at, chosen):
                    share = wanted.rate / chosen.frames_per_second if wanted.rate else 0.0
                    busy = self.load[at] + share + self.count[at] / max(d.max_functions, 1)
                    cost = 1000 * self.strategy.load * busy
                    cost += self.strategy.preference * (200 * rank + (1000 if d.type == "cpu" else 0))
                    found.append((at, share, int(chosen.memory.removesuffix("Mi")) * MIB, cost))
        return found

    def edge(self, wanted, a, b):
        """Return the microseconds of an edge, None where it cannot be."""
        if a == b and "same-buffer" in wanted.mechanisms:
            return 0.0
        usable = [self.links[a, b, m] for m in wanted.mechanisms if (a, b, m) in self.links]
        costs = [
            item.microseconds
            + (wanted.bytes_per_frame / item.gigabytes_per_second / 1000 if item.gigabytes_per_second else 0)
            for item in usable
        ]
        return self.strategy.links * min(costs) if costs else None

    def best(self, wanted):
        """Return the least cost in microseconds, None where nothing fits."""
        choices = [self.choices(f) for f in wanted.functions]
        names = [f.name for f in wanted.functions]
        sources = [[c for c in wanted.connections if c.target.function == name] for name in names]
        load, count, memory = self.load.copy(), self.count.copy(), self.memory.copy()
        opened = {at for at in self.devices if self.count[at]}
        at_of, best = {}, [float("inf")]

        def go(i, cost):
            if cost >= best[0]:
                return
            if i == len(names):
                best[0] = cost
                return
            for at, share, size, own in choices[i]:
                d = self.devices[at]
                if (share and load[at] + share > 1 + 1e-5) or count[at] + 1 > d.max_functions:
                    continue
                if d.memory_bytes and memory[at] + size > d.memory_bytes:
                    continue
                edges = [self.edge(c, at_of[c.source.function], at) for c in sources[i]]
                if None in edges:
                    continue
                fresh = at not in opened
                load[at], count[at], memory[at] = load[at] + share, count[at] + 1, memory[at] + size
                opened.add(at)
                at_of[names[i]] = at
                go(i + 1, cost + own + sum(edges) + (1000 * self.strategy.packing if fresh else 0))
                del at_of[names[i]]
                load[at], count[at], memory[at] = load[at] - share, count[at] - 1, memory[at] - size
                if fresh:
                    opened.discard(at)

        go(0, 0.0)
        return best[0] if best[0] < float("inf") else None

    def cost(self, wanted, placement):
        """Return what a placement costs, before it is taken."""
        at_of = {p.function: (p.node, p.device) for p in placement}
        total = 0.0
        for wanted_function, placed in zip(wanted.functions, placement, strict=True):
            at, d = at_of[placed.function], self.devices[at_of[placed.function]]
            rank = [i.name for i in wanted_function.spec.implementations].index(placed.implementation)
            busy = self.load[at] + placed.load + self.count[at] / max(d.max_functions, 1)
            total += 1000 * self.strategy.load * busy
            total += self.strategy.preference * (200 * rank + (1000 if d.type == "cpu" else 0))
        total += sum(self.edge(c, at_of[c.source.function], at_of[c.target.function]) for c in wanted.connections)
        return total + 1000 * self.strategy.packing * len({at for at in at_of.values() if not self.count[at]})


def memory_of(wanted, placement):
    sizes = []
    for wanted_function, placed in zip(wanted.functions, placement, strict=True):
        chosen = next(i for i in wanted_function.spec.implementations if i.name == placed.implementation)
        sizes.append(int(chosen.memory.removesuffix("Mi")) * MIB)
    return sizes


def decide(wanted, resources, taken=(), memory=(), strategy=None):
    """Place one flow."""
    request = Request("default/flow", wanted, strategy or Strategy())
    return place([request], Inventory.of(resources, taken, memory))[0]


def held(node_name, device_name, load=0.0, count=1):
    """Return what other flows hold of a device."""
    one = FunctionPlacement(function="other", node=node_name, device=device_name, implementation="opencl", load=load)
    return [one] * count


@pytest.fixture(scope="session")
def make():
    """Return the builders of this file."""
    return SimpleNamespace(
        implementation=implementation,
        function=function,
        connection=connection,
        flow=flow,
        device=device,
        link=link,
        node=node,
        held=held,
        decide=decide,
        memory_of=memory_of,
        Oracle=Oracle,
        ALL=ALL,
        MIB=MIB,
    )
