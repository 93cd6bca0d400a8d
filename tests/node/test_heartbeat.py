# SPDX-License-Identifier: Apache-2.0
"""The heartbeat's Lease, and the agent's two loops in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.health import report
from accelchain_operators.node import life
from accelchain_operators.node.agent import InventoryError
from accelchain_operators.node.heartbeat import lease, lease_name, owner_of
from accelchain_operators.node.life import Agent, Place

HOST = {"name": "host", "type": "cpu", "api": "host", "id": "host", "model": "CPU"}
GPU = {"name": "gpu0", "type": "gpu", "api": "cuda", "id": "x", "model": "card"}


def test_the_lease_of_a_node():
    owner = owner_of({"metadata": {"name": "n1", "uid": "u", "labels": {}}})
    made = lease("n1", "system", 1_800_000_000.5, owner)
    assert made["metadata"] == {
        "name": "accelchain-node-n1",
        "namespace": "system",
        "labels": {"app.kubernetes.io/name": "accelchain", "app.kubernetes.io/component": "node"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}],
    }
    assert made["spec"] == {
        "holderIdentity": "n1",
        "leaseDurationSeconds": 40,
        "renewTime": "2027-01-15T08:00:00.500000Z",
    }


def test_long_names_of_nodes_are_cut_and_told_apart():
    long, other = "n" * 253, "n" * 252 + "m"
    assert len(lease_name(long)) == 253
    assert lease_name(long) != lease_name(other)
    assert lease_name("x" * 200) == "accelchain-node-" + "x" * 200


class Api:
    """Takes heartbeats."""

    connection = Connection("https://k:6443")

    def __init__(self) -> None:
        self.beats: list[float] = []
        self.refuse: ApiError | None = None
        self.node: Any = {"metadata": {"name": "n1", "uid": "u"}}

    async def document(self, path):
        return {}

    async def get(self, type, name, namespace=None):
        if isinstance(self.node, ApiError):
            raise self.node
        return self.node

    async def apply(self, type, obj, *, field_manager, force=True):
        assert (type.kind, field_manager) == ("Lease", "accelchain-node")
        if self.refuse is not None:
            raise self.refuse
        self.beats.append(asyncio.get_running_loop().time())
        return obj

    async def close(self):
        pass


@contextlib.asynccontextmanager
async def working(api, monkeypatch, looks):
    """Run an agent whose looks at the machine are given; the last one is repeated."""
    seen = []

    async def publish(_client, node, *, owner=None):
        look = looks[min(len(seen), len(looks) - 1)]
        seen.append((asyncio.get_running_loop().time(), owner))
        if isinstance(look, Exception):
            raise look
        return {"spec": {"devices": look}}

    monkeypatch.setattr(life, "publish", publish)
    agent = Agent(lambda: api, Place("n1", "system"), asyncio.get_running_loop().time)
    task = asyncio.create_task(agent.run())
    await asyncio.sleep(1)
    yield agent, seen, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime
async def test_it_beats_every_ten_seconds_and_looks_again_every_five_minutes(monkeypatch):
    api = Api()
    async with working(api, monkeypatch, [[HOST, GPU]]) as (agent, seen, _):
        await asyncio.sleep(600)
        assert [round(at) for at in api.beats[:4]] == [0, 10, 20, 30]
        assert len(api.beats) == 61
        assert [round(at) for at, _ in seen] == [0, 300, 600]
        assert seen[0][1]["kind"] == "Node"
        assert report(agent.liveness())[0] and report(agent.readiness())[0]


@pytest.mark.looptime
async def test_drivers_that_do_not_answer_stop_no_heartbeat(monkeypatch, caplog):
    api = Api()
    looks = [InventoryError("the driver hangs"), InventoryError("the driver hangs"), [HOST, GPU]]
    async with working(api, monkeypatch, looks) as (agent, seen, _):
        assert report(agent.readiness()) == (False, "[-]inventory failed: not published yet\n[+]heartbeat ok\nfailed\n")
        await asyncio.sleep(60)
        assert [round(at) for at, _ in seen] == [0, 15, 30]
        assert len(api.beats) == 7
        assert report(agent.readiness())[0]
    assert "was not published: the driver hangs" in caplog.text


@pytest.mark.looptime
async def test_an_api_that_is_gone_for_a_while_makes_it_not_ready_and_ends_nothing(monkeypatch):
    api = Api()
    async with working(api, monkeypatch, [[HOST, GPU]]) as (agent, _, task):
        api.refuse = ApiError(0, "Unreachable", "no answer")
        await asyncio.sleep(60)
        assert not report(agent.readiness())[0]
        assert report(agent.liveness())[0]
        api.refuse = None
        await asyncio.sleep(11)
        assert report(agent.readiness())[0]
        assert not task.done()


@pytest.mark.looptime
async def test_a_node_without_devices_is_published_and_told(monkeypatch, caplog):
    async with working(Api(), monkeypatch, [[HOST]]) as (agent, _, _):
        assert report(agent.readiness())[0]
    assert "node n1 has no device but the host" in caplog.text


@pytest.mark.looptime
async def test_without_the_right_to_read_nodes_nothing_is_owned_by_one(monkeypatch, caplog):
    api = Api()
    api.node = ApiError(403, "Forbidden", 'nodes "n1" is forbidden')
    async with working(api, monkeypatch, [[HOST, GPU]]) as (_, seen, _):
        assert seen[0][1] is None
    assert "stay when it goes" in caplog.text
