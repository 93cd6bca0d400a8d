# SPDX-License-Identifier: Apache-2.0
"""Writes to the Kubernetes API: at rest, and for a flow of five functions; prints one JSON document.

Everybody's writes count: the command line's, the operators', the kubelet's, the node agent's. The flow is the demo
without its last function; it counts from its creation until it has succeeded. Events are left out, and so is progress,
which is written once in ten seconds at most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from demo_chain import CLIP, resources
from one_flow import send

from accelchain.cli.local import LocalCluster
from accelchain_operators.localkube.recorder import WRITES

GOALS = {"writes_at_rest": 0, "writes_per_flow": 45}
SETTLE_SECONDS = 10.0
"""After the start, and after a flow: the lists that follow a start are over, and the pool is full again."""
DEADLINE = 60.0


def five_functions(folder: Path) -> list[dict[str, Any]]:
    """The demo's chain and flow without ``write``."""
    chain, flow = resources(CLIP, folder)
    spec = chain["spec"]
    spec["functions"] = [function for function in spec["functions"] if function["name"] != "write"]
    spec["connections"] = [edge for edge in spec["connections"] if not edge["to"].startswith("write.")]
    spec["outputs"] = [output for output in spec["outputs"] if output["name"] != "detections"]
    assert len(spec["functions"]) == 5
    del flow["spec"]["outputs"]["detections"]
    return [chain, flow]


async def measure(rest_seconds: float) -> dict[str, Any]:
    """Count."""
    with tempfile.TemporaryDirectory() as name:
        async with LocalCluster(refill_seconds=1.0) as cluster:
            recorder = cluster.api.recorder
            await asyncio.sleep(SETTLE_SECONDS)
            recorder.clear()
            await asyncio.sleep(rest_seconds)
            at_rest = recorder.writes()
            recorder.clear()
            moments = await send(cluster.client, five_functions(Path(name)), DEADLINE)
            await asyncio.sleep(SETTLE_SECONDS)  # what is written behind the end counts too
            per_flow = recorder.writes(without={"events"})
            who = Counter(
                f"{request.manager}: {request.verb} {'/'.join(filter(None, (request.resource, request.subresource)))}"
                for request in recorder.requests
                if request.verb in WRITES and request.resource != "events"
            )
            recorder.clear()
            await asyncio.sleep(rest_seconds)
            after = recorder.writes()
    return {
        "rest_seconds": rest_seconds,
        "writes_at_rest": at_rest,
        "writes_at_rest_after_a_flow": after,
        "flow_seconds": round(moments.end, 1),
        "writes_per_flow": per_flow,
        "goals": GOALS,
        "who": dict(who.most_common()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rest-seconds", type=float, default=30.0)
    print(json.dumps(asyncio.run(measure(parser.parse_args().rest_seconds)), indent=2))


if __name__ == "__main__":
    main()
