# SPDX-License-Identifier: Apache-2.0
"""Operators that are killed in the midst of a flow's life, or replaced while flows run: no flow takes notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from faultkit.scripts import Script
from faultkit.world import World

from accelchain_operators.kube import kinds

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = ("chain", "scheduler", "dataflow")


def _made(type: Any) -> Callable[[World], object]:
    return lambda world: world.api.all(type)


def _says(type: str, reason: str) -> Callable[[World], object]:
    return lambda world: world.oracle.record("flow").condition(type).get("reason") == reason


def _worker(phase: str) -> Callable[[World], object]:
    return lambda world: any(worker.document["phase"] == phase for worker in world.kubelets.workers.values())


STAGES: dict[str, Callable[[World], object]] = {
    "created": lambda world: True,
    "accepted": _says("Accepted", "Valid"),
    "placed": _says("Scheduled", "Placed"),
    "layer made": _made(kinds.WB_FUNCTION),
    "secret made": _made(kinds.SECRET),
    "planned": _made(kinds.CONFIG_MAP),
    "pod made": _made(kinds.POD),
    "running": _says("Running", "WorkerRunning"),
    "publishing": _worker("Publishing"),
    "published": lambda world: world.published("flow"),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_operators_that_are_killed_go_on_where_they_were(world: World, stage: str) -> None:
    (process,) = await world.only(ALL)
    world.create("flow", Script(publishes_in=0.3))
    await world.until(lambda: STAGES[stage](world), what=f"the stage: {stage}")
    await world.operators.kill(process)
    await world.start(ALL)
    await world.until_phase("Succeeded", "flow")
    assert world.oracle.record("flow").status["attempt"] == 1
    assert [(p.attempt, p.granted) for p in world.published("flow")] == [(1, True)]


async def test_operators_that_are_killed_between_attempts_keep_count(world: World) -> None:
    (process,) = await world.only(ALL)
    world.create("flow", Script("FunctionFailed"), Script("DeviceFailed"), retries={"limit": 2})
    await world.until(lambda: _says("Running", "BackOff")(world), what="the pause before attempt 2")
    await world.operators.kill(process)
    await world.start(ALL)
    await world.until_phase("Succeeded", "flow")
    status = world.oracle.record("flow").status
    assert [failure["reason"] for failure in status["failures"]] == ["FunctionFailed", "DeviceFailed"]
    assert status["attempt"] == 3


async def test_a_rolling_restart_of_all_operators_interrupts_no_flow(world: World) -> None:
    """One by one, as a Deployment does it: the new one is ready before the old one is told to end."""
    await world.only()
    world.operators.lease = 15
    groups = [("chain",), ("scheduler",), ("dataflow",)]
    old = await world.start(*groups)
    names = [f"flow-{number:02}" for number in range(20)]
    for name in names:
        world.create(name, Script("never"), mode="Stream" if name.endswith("3") else "Batch")
    await world.until_phase("Running", *names, seconds=40.0)
    pods = {name: world.pod_of(name) for name in names}
    for process in old:
        await world.start(tuple(process.controllers))
        await world.operators.end(process)
    assert {name: world.pod_of(name) for name in names} == pods
    world.create("later")
    for name in names:
        world.finish(name)
    await world.until_phase("Succeeded", *names, "later", seconds=40.0)
    assert {world.oracle.record(name).status["attempt"] for name in names} == {1}
    assert not world.oracle.pods_deleted
    assert all(len(world.published(name)) == 1 for name in names)
