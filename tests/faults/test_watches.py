# SPDX-License-Identifier: Apache-2.0
"""Watches that are cut, refused or answered with errors, and an API that is away: nothing is missed for long."""

from __future__ import annotations

import asyncio

import pytest
from faultkit.api import node_inventory
from faultkit.scripts import Script
from faultkit.world import World

from accelchain_operators.kube import kinds
from accelchain_operators.localkube.faults import Fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = ("chain", "scheduler", "dataflow")


async def test_what_is_deleted_while_watches_are_cut_is_missed(world: World) -> None:
    """A Pod, a flow that holds places, and a node go in the gap, and no watch ever tells of it."""
    (process,) = await world.only(ALL)
    world.create("pod-goes", Script("never"), retries={"limit": 1})
    world.create("flow-goes", Script("never"))
    await world.until_phase("Running", "pod-goes", "flow-goes")
    pod, node = world.pod_of("pod-goes"), world.worker_of("flow-goes").node.name
    assert pod is not None
    gone = (kinds.POD, kinds.DATA_FLOW, kinds.COMPUTE_RESOURCE)
    refusals = [world.api.refuse_watches(type) for type in gone]
    world.api.cut(*gone, forget=False)
    world.api.delete(kinds.POD, "blue", pod["metadata"]["name"], 0)
    world.delete("flow-goes")
    world.api.delete(kinds.COMPUTE_RESOURCE, None, node)
    await world.until(lambda: len(world.api.all(kinds.POD)) == 0, what="the end of both Pods")
    world.api.cut(*gone)
    for refusal in refusals:
        refusal.times = 0
    await world.until_phase("Succeeded", "pod-goes")
    assert [failure["reason"] for failure in world.oracle.record("pod-goes").status["failures"]] == ["WorkerLost"]
    # All places of the nodes that are left can be had, and none of the one that is not.
    names = [f"new-{number}" for number in range(15)]
    for name in names:
        world.create(name, Script("never"))
    await world.until_phase("Running", *names, seconds=30.0)
    placed = {entry["node"] for name in names for entry in world.oracle.record(name).status["placement"]}
    assert placed == set(world.node_names) - {node}
    assert world.operators.running == [process]
    world.api.kube.put(node_inventory(node))


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_an_error_in_a_watch_does_not_end_the_operators(world: World, code: int) -> None:
    (process,) = await world.only(ALL)
    watched = (kinds.DATA_FLOW, kinds.POD)
    faults = [world.api.kube.faults.add(Fault(verb="watch", resource=type.plural, code=code)) for type in watched]
    world.api.cut(*watched, forget=False)
    await world.until(lambda: all(fault.hits for fault in faults), what="the errors")
    world.create("flow")
    await world.until_phase("Succeeded", "flow")
    assert world.operators.running == [process]


async def test_a_list_that_expires_is_begun_anew(world: World) -> None:
    (process,) = await world.only(ALL)
    expired = world.api.kube.faults.add(Fault(verb="list", resource=kinds.DATA_FLOW.plural, code=410, times=3))
    world.api.cut(kinds.DATA_FLOW, forget=False)
    world.create("meanwhile")
    world.api.cut(kinds.DATA_FLOW)
    await world.until(lambda: expired.hits == 3, what="the lists")
    await world.until_phase("Succeeded", "meanwhile")
    assert world.operators.running == [process]


async def test_operators_whose_kinds_are_gone_end(world: World) -> None:
    """They do not stay, deaf, as processes that nobody starts again."""
    (process,) = await world.only(ALL)
    gone = world.api.kube.faults.add(Fault(verb="list", resource=kinds.COMPUTE_RESOURCE.plural, code=404, times=None))
    world.api.cut(kinds.COMPUTE_RESOURCE, forget=False)
    world.api.patch(kinds.COMPUTE_RESOURCE, None, world.node_names[0], {"metadata": {"labels": {"a": "b"}}})
    world.api.cut(kinds.COMPUTE_RESOURCE)
    await world.until(lambda: process.status is not None, what="the end of the operators")
    gone.times = 0
    assert world.operators.failures == [f"{process.id} ended with {process.status}"]
    world.operators.failures.clear()  # as it had to be
    await world.until(lambda: world.operators.running[0].ready.is_set(), what="the next ones")


async def test_flows_live_on_while_the_api_is_away(world: World) -> None:
    (process,) = await world.only(ALL)
    names = [f"flow-{number}" for number in range(6)]
    for number, name in enumerate(names):
        world.create(name, Script("never"), mode="Stream" if number % 2 else "Batch")
    world.create("waits", Script("FunctionFailed", 1.5), retries={"limit": 1})
    await world.until_phase("Running", *names, "waits")
    with world.away():
        for name in names[:3]:
            world.finish(name)
        workers = [world.worker_of(name) for name in names[:3]]
        await world.until(lambda: all(w.document["phase"] == "Publishing" for w in workers), what="some to be done")
        # Nobody may publish on the word of a cache that may be old.
        await asyncio.sleep(3.0)
        assert world.published(names[0]) == []
    for name in names[3:]:
        world.finish(name)
    await world.until_phase("Succeeded", *names, "waits", seconds=30.0)
    assert {world.oracle.record(name).status["attempt"] for name in names} == {1}
    assert world.operators.running == [process]
    await world.until_rest()
