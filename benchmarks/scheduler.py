# SPDX-License-Identifier: Apache-2.0
"""Time to place batches of flows on a thousand devices. Prints one JSON document; figures are minima of three runs.

Nodes are either alike (as in a real pool) or all unlike (every link and load of its own, so that nothing can be worked
out once for several).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence

from accelchain.api.compute_resource import ComputeResource
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.api.function_type import FunctionTypeSpec
from accelchain.chain.resolved import PortId, ResolvedConnection, ResolvedFlow, ResolvedFunction
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place

NODES = 250
DEVICES = (("host", "cpu", "host"), ("cpu0", "cpu", "opencl"), ("gpu0", "gpu", "opencl"), ("gpu1", "gpu", "opencl"))
RUNS = 3
GOAL_SECONDS = 1.0


def nodes(alike: bool) -> tuple[list[ComputeResource], list[FunctionPlacement]]:
    """Return the machines, and what is taken of them."""
    chance = random.Random(1)
    resources, taken = [], []
    for number in range(NODES):
        name = f"node-{number:03}"
        links = [
            {
                "from": source,
                "to": target,
                "mechanism": "host-copy",
                "microseconds": 20 if alike else chance.randint(5, 90),
                "gigabytesPerSecond": 12 if alike else chance.randint(4, 24),
            }
            for i, (source, *_) in enumerate(DEVICES)
            for target, *_ in DEVICES[i + 1 :]
        ]
        devices = [{"name": d, "type": t, "api": a, "memoryBytes": 2**34} for d, t, a in DEVICES]
        spec = {"nodeName": name, "devices": devices, "links": links}
        resources.append(ComputeResource.model_validate({"metadata": {"name": name}, "spec": spec}))
        for device, *_ in () if alike else DEVICES:
            load = chance.choice([0.0, 0.3, 0.6])
            taken.append(FunctionPlacement(function="f", node=name, device=device, implementation="i", load=load))
    return resources, taken


def chain(length: int, rate: float | None) -> ResolvedFlow:
    """Return a chain that begins and ends on a host."""
    functions = []
    for number in range(length):
        on_host = number in (0, length - 1)
        implementation = {
            "name": "i",
            "api": "host" if on_host else "opencl",
            "deviceTypes": ["cpu"] if on_host else ["cpu", "gpu"],
            "entrypoint": "f:F",
            "framesPerSecond": 90,
        }
        spec = FunctionTypeSpec.model_validate({"implementations": [implementation]})
        functions.append(ResolvedFunction(f"f{number}", "f", "1.0.0", spec, {}, {}, rate))
    mechanisms = ("same-buffer", "shared-host", "peer-copy", "host-copy")
    connections = [
        ResolvedConnection(PortId(f"f{i}", "out"), PortId(f"f{i + 1}", "in"), mechanisms, bytes_per_frame=10**6)
        for i in range(length - 1)
    ]
    return ResolvedFlow(tuple(functions), tuple(connections))


def measure(flows: Sequence[ResolvedFlow], alike: bool) -> dict[str, float | int | bool]:
    """Place them; the inventory is built anew each time, as the reconciler does it."""
    resources, taken = nodes(alike)
    requests = [Request(f"default/{number}", flow) for number, flow in enumerate(flows)]
    seconds, decisions = float("inf"), ()
    for _ in range(RUNS):
        begin = time.perf_counter()
        decisions = place(requests, Inventory.of(resources, taken))
        seconds = min(seconds, time.perf_counter() - begin)
    return {
        "flows": len(flows),
        "functions": sum(len(flow.functions) for flow in flows),
        "seconds": round(seconds, 4),
        "placed": sum(bool(d.placement) for d in decisions),
        "exact": all(d.exact for d in decisions),
    }


def main() -> None:
    """Measure and print."""
    small = [chain(6, 20 + number / 10) for number in range(100)]
    figures = {
        f"{name}, nodes {'alike' if alike else 'unlike'}": measure(flows, alike)
        for alike in (True, False)
        for name, flows in (
            ("17 different flows of 6 functions", small[:17]),
            ("100 different flows of 6 functions", small),
            ("100 equal flows of 6 functions", small[:1] * 100),
            ("a chain of 100 functions without a rate", [chain(100, None)]),
            ("a chain of 12 functions that needs three devices", [chain(12, 20)]),
        )
    }
    print(json.dumps({"devices": NODES * len(DEVICES), "goal_seconds": GOAL_SECONDS, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
