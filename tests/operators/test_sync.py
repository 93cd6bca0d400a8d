# SPDX-License-Identifier: Apache-2.0
"""Lists of our own keep the store true where kopf's watches do not, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.kinds import DATA_FLOW, POD, SECRET, WATCHED
from accelchain_operators.kube.store import Store
from accelchain_operators.kube.sync import Sync

pytestmark = pytest.mark.looptime


def pod(name: str, version: int) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version)}}


class Lists:
    """An API that has lists only."""

    def __init__(self) -> None:
        self.items: dict[ResourceType, list[JsonObject]] = {}
        self.version = 1
        self.asked: Counter[str] = Counter()
        self.failures = 0

    async def list(
        self, type: ResourceType, namespace: str | None = None, *, label_selector: str = ""
    ) -> tuple[list[JsonObject], str]:
        self.asked[type.plural] += 1
        await asyncio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise ApiError(503, "ServiceUnavailable", "later")
        return list(self.items.get(type, ())), str(self.version)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Lists, Store, Sync]]:
    """Not a fixture: virtual time runs in tests only."""
    lists, store = Lists(), Store(lambda *_: None)
    sync = Sync(lists, store)  # type: ignore[arg-type]
    await sync.first()
    task = asyncio.create_task(sync.run())
    yield lists, store, sync
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_everything_is_listed_at_the_start_soon_after_and_then_rarely() -> None:
    async with running() as (lists, _, _):
        assert set(lists.asked.values()) == {1} and len(lists.asked) == len(WATCHED)
        await asyncio.sleep(10)
        assert set(lists.asked.values()) == {2}
        await asyncio.sleep(200)
        assert set(lists.asked.values()) == {2}
        await asyncio.sleep(100)
        assert set(lists.asked.values()) == {3}


async def test_a_pod_that_was_deleted_while_kopf_listed_again_is_no_ghost() -> None:
    async with running() as (lists, store, sync):
        await asyncio.sleep(20)
        for name in ("a", "b"):
            sync.event(POD, "ADDED", pod(name, 5))
        lists.items[POD], lists.version = [pod("a", 5)], 9
        before = lists.asked["pods"]
        for _ in range(100):
            sync.event(POD, None, pod("a", 5))  # kopf after a 410: it never tells of b
            sync.relist(POD)
        assert [p["metadata"]["name"] for p in store.all(POD)] == ["a", "b"]
        await asyncio.sleep(2)
        assert [p["metadata"]["name"] for p in store.all(POD)] == ["a"]
        assert lists.asked["pods"] == before + 1


async def test_events_feed_the_store_with_their_kind() -> None:
    async with running() as (_, store, sync):
        sync.event(POD, "ADDED", pod("a", 5))
        assert store.get(POD, "ns", "a") == {"apiVersion": "v1", "kind": "Pod", **pod("a", 5)}
        sync.event(POD, "DELETED", pod("a", 6))
        assert store.get(POD, "ns", "a") is None


async def test_a_list_that_fails_is_tried_again() -> None:
    async with running() as (lists, store, sync):
        await asyncio.sleep(20)
        lists.items[DATA_FLOW], lists.version, lists.failures = [pod("f", 7)], 9, 2
        sync.relist(DATA_FLOW)
        await asyncio.sleep(2)
        assert store.all(DATA_FLOW) == ()
        await asyncio.sleep(20)
        assert len(store.all(DATA_FLOW)) == 1


async def test_what_is_not_watched_is_not_listed() -> None:
    async with running() as (lists, _, sync):
        sync.relist(SECRET)
        await asyncio.sleep(20)
        assert lists.asked["secrets"] == 0


async def test_an_api_without_our_kinds_is_an_error_at_the_start() -> None:
    async with running() as (lists, _, _):

        async def unknown(*_: Any, **__: Any) -> Any:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")

        lists.list = unknown  # type: ignore[method-assign]
        with pytest.raises(ApiError, match="404"):
            await Sync(lists, Store(lambda *_: None)).first()  # type: ignore[arg-type]
