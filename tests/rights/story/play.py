# SPDX-License-Identifier: Apache-2.0
"""The whole story, from the start of a cluster to its end, with faults in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.separation import READS, lease_name
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.kubelet.kubelet import Kubelet
from accelchain_operators.localkube.recorder import Recorded
from story.cluster import NODE, Cluster
from story.processes import HOME, Process, node_agent, operator, uninstall
from story.scenes import SCENES, film_from


async def play(installed: Sequence[JsonObject], video: Path, folder: Path) -> Sequence[Recorded]:
    """Play the story, and return every request that was made.

    Args:
        installed: What the administrator has applied.
        video: What a real worker reads.
        folder: Where it and its kubelet write.
    """
    cluster = Cluster(installed)
    _set_faults(cluster)
    await cluster.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cluster.stop)
        kubelet = Kubelet(
            cluster.client,
            NODE,
            folder / "kubelet",
            environment={"ACCELCHAIN_CACHE": str(folder / "cache")},
            refill_seconds=None,
        )
        stack.push_async_callback(kubelet.stop)
        await kubelet.start()
        parts = [operator(cluster.api, name) for name in READS]
        parts.append(node_agent(cluster.api, NODE))
        for part in parts:
            stack.push_async_callback(part.stop)
        await asyncio.gather(*(part.start() for part in parts))
        try:
            await _inventory(cluster)
            async with asyncio.TaskGroup() as group:
                for scene in (*SCENES, film_from(video, folder / "film.mp4")):
                    group.create_task(scene(cluster))
                group.create_task(_hand_over(cluster, stack, parts))
            await _leave(cluster, parts)
        except* Exception as error:
            raise _first(error, parts) from error
    for part in parts:
        if part.failure is not None:
            raise part.failure
    return tuple(cluster.api.recorder.requests)


def _set_faults(cluster: Cluster) -> None:
    """Have a watch forgotten (410), another cut, and answers lost: what was asked for is done, and asked for again."""
    faults = cluster.api.faults
    faults.add(Fault(verb="watch", resource="dataflows", code=410, times=2))
    faults.add(Fault(verb="watch", resource="configmaps", drop_after=1))
    faults.add(Fault(verb="create", resource="events", code=503, after_write=True))
    faults.add(Fault(verb="patch", resource="workflowtasksets", subresource="status", code=409))
    for name in READS:
        faults.add(Fault(verb="patch", resource="leases", name=lease_name(name), code=409))


async def _inventory(cluster: Cluster) -> None:
    """Wait for what the node agent publishes."""

    async def published() -> bool:
        return await cluster.maybe(kinds.COMPUTE_RESOURCE, NODE, None) is not None

    await cluster.until(published, f"ComputeResource {NODE}")

    async def beats() -> bool:
        return await cluster.maybe(kinds.LEASE, f"accelchain-node-{NODE}", HOME) is not None

    await cluster.until(beats, f"heartbeat of {NODE}")


async def _hand_over(cluster: Cluster, stack: AsyncExitStack, parts: list[Process]) -> None:
    """Have every leader renew its Lease once and meet a conflict; then other replicas take two over."""

    async def conflicted() -> bool:
        met = {
            r.name for r in cluster.api.recorder.requests if (r.resource, r.verb, r.code) == ("leases", "patch", 409)
        }
        return met >= {lease_name(name) for name in READS}

    await cluster.until(conflicted, "conflict over each Lease")
    for name in ("chain", "taskset"):
        (leader,) = [part for part in parts if part.name == name]
        other = operator(cluster.api, name)
        stack.push_async_callback(other.stop)
        parts.append(await other.start())
        before = await cluster.client.get(kinds.LEASE, lease_name(name), HOME)
        await leader.stop()
        await cluster.until(partial(_taken_over, cluster, name, before), f"leader of the {name} operator")


async def _taken_over(cluster: Cluster, name: str, before: JsonObject) -> bool:
    spec = (await cluster.client.get(kinds.LEASE, lease_name(name), HOME))["spec"]
    return spec["holderIdentity"] not in ("", before["spec"]["holderIdentity"])


async def _leave(cluster: Cluster, parts: Sequence[Process]) -> None:
    """Have everything end, and remove what a release leaves behind."""
    await asyncio.gather(*(part.stop() for part in parts))
    removed = {what.partition("/")[0] for what in await uninstall(cluster.api)}
    assert removed == {"functiontype", "connectiontype", "schedulingstrategy", "computeresource", "lease"}


def _first(error: BaseExceptionGroup[Exception], parts: Sequence[Process]) -> BaseException:
    """Return the cause: a part that ended, else the first scene that failed."""
    failure: BaseException = next((part.failure for part in parts if part.failure is not None), error)
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
