# SPDX-License-Identifier: Apache-2.0
"""Nodes that are not to be placed on: silent agents, Nodes that are not ready or gone; in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType, WatchEvent
from accelchain_operators.kube.heartbeats import Beat, Heartbeats, lost_nodes
from accelchain_operators.kube.kinds import LEASE, NODE

pytestmark = pytest.mark.looptime


def lease(node: str, renewed: str) -> JsonObject:
    return {"metadata": {"name": f"accelchain-node-{node}"}, "spec": {"holderIdentity": node, "renewTime": renewed}}


def node(name: str, ready: str = "True") -> JsonObject:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


class Api:
    """Lists and watches of two kinds."""

    def __init__(self, leases: list[JsonObject], nodes: list[JsonObject] | None) -> None:
        self.objects = {LEASE: leases, NODE: nodes}
        self.events: dict[ResourceType, asyncio.Queue[WatchEvent | ApiError]] = {
            LEASE: asyncio.Queue(),
            NODE: asyncio.Queue(),
        }
        self.asked: list[tuple[str, str | None, str]] = []

    async def list(
        self, type: ResourceType, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[JsonObject], str]:
        self.asked.append((type.plural, namespace, label_selector))
        found = self.objects[type]
        if found is None:
            raise ApiError(403, "Forbidden", 'cannot list resource "nodes"')
        return found, "1"

    async def watch(self, type: ResourceType, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        while True:
            event = await self.events[type].get()
            if isinstance(event, ApiError):
                raise event
            yield event


@contextlib.asynccontextmanager
async def following(api: Api) -> AsyncIterator[tuple[Heartbeats, list[frozenset[str]]]]:
    told: list[frozenset[str]] = []
    beats = Heartbeats(
        api,  # type: ignore[arg-type]
        "system",
        lambda: told.append(beats.stale()),
        asyncio.get_running_loop().time,
    )
    task = asyncio.create_task(beats.run())
    await asyncio.sleep(0.1)
    yield beats, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_silent_agents_node_is_lost_after_40_seconds_and_back_with_its_next_beat() -> None:
    api = Api([lease("a", "1"), lease("b", "1")], [node("a"), node("b"), node("no-agent", "False")])
    async with following(api) as (beats, told):
        for beat in range(2, 8):
            await asyncio.sleep(10)
            api.events[LEASE].put_nowait(WatchEvent("MODIFIED", lease("a", str(beat))))
        assert beats.stale() == {"b"}
        assert told == [{"b"}]
        api.events[LEASE].put_nowait(WatchEvent("MODIFIED", lease("b", "2")))
        await asyncio.sleep(0.1)
        assert told == [{"b"}, frozenset()]
        assert ("leases", "system", "app.kubernetes.io/component=node") in api.asked


async def test_nodes_that_are_not_ready_or_gone_are_lost_at_once() -> None:
    api = Api([lease("a", "1"), lease("b", "1")], [node("a"), node("b")])
    async with following(api) as (_, told):
        api.events[NODE].put_nowait(WatchEvent("MODIFIED", node("a", "Unknown")))
        await asyncio.sleep(0.1)
        api.events[NODE].put_nowait(WatchEvent("DELETED", node("b")))
        await asyncio.sleep(0.1)
        assert told == [{"a"}, {"a", "b"}]


async def test_without_the_right_to_read_nodes_heartbeats_tell(caplog: pytest.LogCaptureFixture) -> None:
    api = Api([lease("a", "1")], None)
    async with following(api) as (beats, _):
        assert beats.stale() == frozenset()
        await asyncio.sleep(41)
        assert beats.stale() == {"a"}
    assert "Nodes can't be read" in caplog.text


async def test_an_agent_that_was_taken_away_is_forgotten() -> None:
    api = Api([lease("a", "1")], [node("a")])
    async with following(api) as (beats, _):
        await asyncio.sleep(41)
        assert beats.stale() == {"a"}
        api.events[LEASE].put_nowait(WatchEvent("DELETED", lease("a", "1")))
        await asyncio.sleep(0.1)
        assert beats.stale() == frozenset()


async def test_a_watch_that_ended_is_made_good_by_a_list() -> None:
    api = Api([lease("a", "1")], [node("a")])
    async with following(api) as (beats, _):
        await asyncio.sleep(30)
        api.objects[LEASE] = [lease("a", "2")]
        api.events[LEASE].put_nowait(ApiError(410, "Expired", "too old"))
        await asyncio.sleep(30)
        assert beats.stale() == frozenset()


def test_a_laptop_has_no_heartbeats_and_loses_no_node() -> None:
    assert lost_nodes({}, {"laptop": False}, 1e9) == {}
    assert lost_nodes({"x": Beat("n", "1", 0.0)}, None, 39.0) == {}
