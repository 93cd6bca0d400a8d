# SPDX-License-Identifier: Apache-2.0
"""Many flows at once on devices that hold a part of them: all come to their end, with few writes each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.localkube.recorder import WRITES

FLOWS = 50
LAST = 60.0
"""Seconds that a busy machine gets for all of them."""


def small(functions: int) -> JsonObject:
    """Return a chain of two or three functions, two of them on the host, which has 64 places."""
    middle = [{"name": "soft", "type": "blur"}] if functions == 3 else []
    names = ["in", *(f["name"] for f in middle), "out"]
    return {
        "inputs": [{"name": "video"}],
        "outputs": [{"name": "film"}],
        "functions": [
            {"name": "in", "type": "camera", "parameters": {"uri": "$(inputs.video.uri)"}},
            *middle,
            {"name": "out", "type": "film", "parameters": {"uri": "$(outputs.film.uri)"}},
        ],
        "connections": [{"from": f"{a}.frames", "to": f"{b}.frames"} for a, b in pairwise(names)],
    }


@asynccontextmanager
async def ending_every_worker(cluster: Any, document: Callable[..., JsonObject]) -> AsyncIterator[asyncio.Event]:
    """Play a kubelet whose workers have done their work at once, once the event is set."""
    begin = asyncio.Event()

    async def end(pod: JsonObject) -> None:
        await begin.wait()
        await cluster.end_worker(pod, 0, json.dumps(document("Succeeded", edges=[])))

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            pods, version = await cluster.client.list(kinds.POD)
            for pod in pods:
                group.create_task(end(pod))
            async with aclosing(cluster.client.watch(kinds.POD, resource_version=version)) as events:
                async for event in events:
                    if event.type == "ADDED":
                        group.create_task(end(event.object))

    kubelet = asyncio.create_task(run())
    yield begin
    kubelet.cancel()
    await asyncio.gather(kubelet, return_exceptions=True)


async def test_more_flows_than_the_devices_hold_all_succeed_with_few_writes_each(
    cluster: Any, make_flow: Callable[..., JsonObject], document: Callable[..., JsonObject]
) -> None:
    cluster.api.recorder.clear()
    async with asyncio.timeout(LAST), ending_every_worker(cluster, document) as begin:
        flows = [make_flow(f"flow-{n}", chainRef=None, chain=small(2 + n % 2)) for n in range(FLOWS)]
        await asyncio.gather(*(cluster.client.create(kinds.DATA_FLOW, flow) for flow in flows))

        async def conditions(type: str) -> list[JsonObject]:
            found, _ = await cluster.client.list(kinds.DATA_FLOW)
            every = [c for flow in found for c in (flow.get("status") or {}).get("conditions", ())]
            return [c for c in every if c["type"] == type and c["status"] != "Unknown"]

        while len(decided := await conditions("Scheduled")) < FLOWS:
            await asyncio.sleep(0.1)
        waiting = [c for c in decided if c["status"] == "False"]
        assert len(waiting) == FLOWS - 32 and {c["reason"] for c in waiting} == {"InsufficientCapacity"}
        begin.set()
        while len(done := await conditions("Succeeded")) < FLOWS:
            await asyncio.sleep(0.1)
    assert {c["status"] for c in done} == {"True"}
    recorder = cluster.api.recorder
    writes = recorder.writes(without={"events"})
    # Creation; Accepted, Scheduled (twice for those that wait), the end; 3 for plan, token and pod, 1 of the kubelet;
    # 2 for each of at most 3 functions and 2 edges. The rest is for conflicts and messages that are due.
    assert writes <= FLOWS * 20
    placing = sum(count for right, count in recorder.rights("accelchain-scheduler").items() if right.verb in WRITES)
    assert placing <= FLOWS + 2 * len(waiting)
