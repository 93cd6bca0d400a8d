# SPDX-License-Identifier: Apache-2.0
"""One replica and its Lease, in virtual time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType, WatchEvent
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.lease import Elector, LeaseLostError

pytestmark = pytest.mark.looptime


class Leases:
    """An API with one Lease: watches, preconditions, and a switch that cuts it off."""

    def __init__(self) -> None:
        self.lease: JsonObject | None = None
        self.version = 0
        self.down = False
        self.lose_answers = 0
        self.writes = 0
        self._generation = 0
        self._changed = asyncio.Condition()

    async def list(self, _type: ResourceType, _namespace: str, **_: Any) -> tuple[list[JsonObject], str]:
        await self._answer()
        return ([copy.deepcopy(self.lease)] if self.lease else []), str(self.version)

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncIterator[WatchEvent]:
        known, generation = int(resource_version), self._generation
        while not self.down and generation == self._generation:
            async with self._changed:
                if self.version == known:
                    await self._changed.wait()
            if generation != self._generation:
                return
            known = self.version
            if self.lease:
                yield WatchEvent("MODIFIED", copy.deepcopy(self.lease))

    async def get(self, *_: Any) -> JsonObject:
        await self._answer()
        if self.lease is None:
            raise ApiError(404, "NotFound", "leases not found")
        return copy.deepcopy(self.lease)

    async def create(self, _type: ResourceType, lease: JsonObject) -> JsonObject:
        await self._answer()
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "it exists")
        return await self.store(copy.deepcopy(lease))

    async def patch(self, _type: ResourceType, _name: str, _namespace: str, change: JsonObject) -> JsonObject:
        await self._answer()
        assert self.lease is not None
        if change["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "another version")
        lease = copy.deepcopy(self.lease)
        lease["spec"].update(change["spec"])
        stored = await self.store(lease)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ApiError(0, "Unreachable", "the answer got lost")
        return stored

    async def store(self, lease: JsonObject) -> JsonObject:
        self.version += 1
        self.writes += 1
        lease["metadata"]["resourceVersion"] = str(self.version)
        self.lease = lease
        async with self._changed:
            self._changed.notify_all()
        return copy.deepcopy(lease)

    async def end_watches(self) -> None:
        self._generation += 1
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self) -> None:
        await asyncio.sleep(0.01)
        if self.down:
            await asyncio.sleep(3600)

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


def elector(api: Leases, name: str) -> Elector:
    clock = asyncio.get_running_loop().time
    return Elector(api, "system", "accelchain-chain", name, LeaseOptions(), clock)  # type: ignore[arg-type]


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_one_leads_and_renews_every_two_seconds() -> None:
    api, loop = Leases(), asyncio.get_running_loop()
    one = elector(api, "one")
    await one.acquire()
    one.check()
    assert api.holder == "one"
    hold = asyncio.create_task(one.hold())
    await asyncio.sleep(60)
    one.check()
    assert 28 <= api.writes <= 31
    assert loop.time() < 62
    await cancelled(hold)


async def test_a_lease_that_is_given_back_is_taken_over_at_once() -> None:
    api, loop = Leases(), asyncio.get_running_loop()
    one, two = elector(api, "one"), elector(api, "two")
    await one.acquire()
    hold, waiting = asyncio.create_task(one.hold()), asyncio.create_task(two.acquire())
    await asyncio.sleep(30)
    assert not waiting.done()
    await cancelled(hold)
    released = loop.time()
    await one.release()
    await waiting
    assert loop.time() - released < 0.5
    assert api.holder == "two"
    assert api.lease is not None and api.lease["spec"]["leaseTransitions"] == 1
    with pytest.raises(LeaseLostError):
        one.check()


async def test_the_lease_of_a_process_that_is_gone_is_taken_over_when_it_is_over() -> None:
    api, loop = Leases(), asyncio.get_running_loop()
    one, two = elector(api, "one"), elector(api, "two")
    await one.acquire()
    hold, waiting = asyncio.create_task(one.hold()), asyncio.create_task(two.acquire())
    await asyncio.sleep(30)
    await cancelled(hold)  # as kill -9: nothing is given back
    killed = loop.time()
    await waiting
    assert 12 < loop.time() - killed < 17


async def test_a_leader_that_is_cut_off_ends_before_another_may_lead() -> None:
    api, loop = Leases(), asyncio.get_running_loop()
    one = elector(api, "one")
    await one.acquire()
    hold = asyncio.create_task(one.hold())
    await asyncio.sleep(21)
    api.down, cut = True, loop.time()
    with pytest.raises(LeaseLostError, match=r"system/accelchain-chain was not renewed in time: no answer"):
        await hold
    assert 8 <= loop.time() - cut <= 10.1
    with pytest.raises(LeaseLostError):
        one.check()


async def test_a_leader_that_was_frozen_writes_nothing_when_it_wakes_up() -> None:
    api = Leases()
    now = [0.0]
    one = Elector(api, "system", "x", "one", LeaseOptions(), lambda: now[0])  # type: ignore[arg-type]
    await one.acquire()
    one.check()
    now[0] = 60.0
    with pytest.raises(LeaseLostError, match="held up"):
        one.check()


async def test_a_leader_whose_lease_another_has_ends_and_leaves_it_to_the_other() -> None:
    api = Leases()
    one = elector(api, "one")
    await one.acquire()
    hold = asyncio.create_task(one.hold())
    await asyncio.sleep(1)
    assert api.lease is not None
    stolen = copy.deepcopy(api.lease)
    stolen["spec"]["holderIdentity"] = "two"
    await api.store(stolen)
    with pytest.raises(LeaseLostError, match="held by two now"):
        await hold
    await one.release()
    assert api.holder == "two"


async def test_a_lost_answer_costs_nobody_the_leadership() -> None:
    api = Leases()
    one = elector(api, "one")
    await one.acquire()
    hold = asyncio.create_task(one.hold())
    api.lose_answers = 3
    await asyncio.sleep(30)
    one.check()
    assert not hold.done()
    await cancelled(hold)


async def test_a_lease_that_somebody_deleted_is_made_again() -> None:
    api = Leases()
    one = elector(api, "one")
    await one.acquire()
    hold = asyncio.create_task(one.hold())
    await asyncio.sleep(1)

    async def gone(*_: Any) -> JsonObject:
        del api.patch  # type: ignore[attr-defined]
        api.lease = None
        raise ApiError(404, "NotFound", "leases not found")

    api.patch = gone  # type: ignore[method-assign]
    await asyncio.sleep(10)
    one.check()
    assert api.holder == "one"
    await cancelled(hold)


def refusing(api: Leases, verb: str) -> None:
    async def forbidden(*_: Any, **__: Any) -> Any:
        raise ApiError(403, "Forbidden", f'cannot {verb} resource "leases"')

    setattr(api, verb, forbidden)


@pytest.mark.parametrize("verb", ["list", "create"])
async def test_a_right_that_is_missing_is_told(verb: str) -> None:
    api = Leases()
    refusing(api, verb)
    with pytest.raises(ApiError, match=f'cannot {verb} resource "leases"'):
        await elector(api, "one").acquire()


async def test_an_api_that_restarts_and_knows_no_roles_for_some_seconds_ends_nobody() -> None:
    api, loop = Leases(), asyncio.get_running_loop()
    one, two = elector(api, "one"), elector(api, "two")
    await one.acquire()
    hold, waiting = asyncio.create_task(one.hold()), asyncio.create_task(two.acquire())
    await asyncio.sleep(20.5)
    for verb in ("list", "patch", "get"):
        refusing(api, verb)
    await api.end_watches()
    await asyncio.sleep(6)
    for verb in ("list", "patch", "get"):
        delattr(api, verb)
    await asyncio.sleep(60)
    one.check()
    assert not hold.done() and not waiting.done()
    await cancelled(hold)
    gone = loop.time()
    await waiting
    assert loop.time() - gone < 17
