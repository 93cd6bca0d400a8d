# SPDX-License-Identifier: Apache-2.0
"""A node that freezes: its flows begin anew elsewhere, and its workers publish nothing when it thaws."""

from __future__ import annotations

import pytest
from faultkit.scripts import Script
from faultkit.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = ("chain", "scheduler", "dataflow")


async def test_a_thawed_worker_publishes_nothing(world: World) -> None:
    await world.only(ALL)
    world.create("flow", Script(seconds=0.8), Script("never"), retries={"limit": 1})
    await world.until_phase("Running", "flow")
    worker = world.worker_of("flow")
    world.kubelets.freeze(worker.node.name)
    await world.until(lambda: world.oracle.record("flow").status.get("attempt") == 2, 30.0, "attempt 2")
    await world.until_phase("Running", "flow")
    placement = world.oracle.record("flow").status["placement"]
    assert worker.node.name not in {entry["node"] for entry in placement}
    world.kubelets.thaw(worker.node.name)
    await world.until(lambda: worker.document["phase"] == "Publishing", what="the thawed worker's wish to publish")
    await world.until(lambda: not worker.alive, what="its end")
    assert world.published("flow") == []
    (failure,) = world.oracle.record("flow").status["failures"]
    assert failure["reason"] == "WorkerLost"
    assert "node" in failure["message"]


async def test_a_grant_that_lay_in_a_frozen_node_is_too_old(world: World) -> None:
    await world.only(ALL)
    world.create("flow", Script(freezes_at_grant=True))
    await world.until_phase("Running", "flow")
    worker = world.worker_of("flow")
    await world.until(lambda: world.oracle.record("flow").over, 30.0, "the end of the flow")
    assert world.oracle.record("flow").condition("Failed")["reason"] == "WorkerLost"
    world.kubelets.thaw(worker.node.name)
    await world.until(lambda: not worker.alive, what="the end of the thawed worker")
    assert [attempt for _, attempt, why in world.server.refused_grants if why.endswith("s old")]
    assert world.published("flow") == []


async def test_a_short_freeze_changes_nothing(world: World) -> None:
    await world.only(ALL)
    world.create("flow", Script(seconds=1.0))
    await world.until_phase("Running", "flow")
    worker = world.worker_of("flow")
    world.kubelets.freeze(worker.node.name)
    await world.until(lambda: worker.node.name in world.kubelets.not_ready(), what="that the node is not ready")
    world.kubelets.thaw(worker.node.name)
    await world.until_phase("Succeeded", "flow")
    assert world.oracle.record("flow").status["attempt"] == 1
    assert not world.oracle.pods_deleted
