# SPDX-License-Identifier: Apache-2.0
"""Following a flow through watches that break and refusals that are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accelchain.cli.display import SilentDisplay
from accelchain.cli.follow import Follower
from accelchain.cli.record import RunRecord
from accelchain.cli.watching import list_and_watch
from accelchain_operators.kube.client import ApiError, WatchEvent
from accelchain_operators.kube.kinds import DATA_FLOW


def flow(uid: str = "1", **condition: str) -> dict[str, Any]:
    status = {"conditions": [{"message": "", **condition}]} if condition else {}
    return {"kind": "DataFlow", "metadata": {"name": "f", "uid": uid, "namespace": "default"}, "status": status}


class Scripted:
    """An API whose lists and watches are given: each list is answered with the next one, the last for ever."""

    def __init__(self, lists: list[list[dict[str, Any]]], watches: list[list[WatchEvent | ApiError]]) -> None:
        self.lists, self.watches = lists, watches

    async def list(
        self, kind: object, namespace: str | None = None, **selectors: str
    ) -> tuple[list[dict[str, Any]], str]:
        if kind is not DATA_FLOW:
            return [], "1"
        return (self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]), "1"

    async def watch(
        self, kind: object, namespace: str | None, *, resource_version: str, **selectors: str
    ) -> AsyncIterator[WatchEvent]:
        if kind is not DATA_FLOW or not self.watches:
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, ApiError):
                raise event
            yield event


def follower(client: Scripted) -> Follower:
    found = Follower(client, RunRecord("f"), SilentDisplay(), 0.0)  # type: ignore[arg-type]
    found.saw(flow())
    return found


@pytest.mark.parametrize("code", [0, 410])
async def test_what_vanished_while_a_watch_was_lost_comes_as_deleted(code):
    client = Scripted([[flow("1"), flow("2")], [flow("2")]], [[ApiError(code, "Gone", "lost")]])
    events = []
    async with asyncio.timeout(5):
        async for event in list_and_watch(client, DATA_FLOW, None):  # type: ignore[arg-type]
            events.append((event.type, event.object["metadata"]["uid"]))
            if len(events) == 4:
                break
    assert events == [("ADDED", "1"), ("ADDED", "2"), ("DELETED", "1"), ("ADDED", "2")]


async def test_a_flow_that_is_deleted_has_ended():
    client = Scripted([[flow()]], [[WatchEvent("DELETED", flow())]])
    assert await follower(client).until_end(5) is False


async def test_an_error_that_stays_is_told():
    client = Scripted([[flow()]], [[ApiError(403, "Forbidden", "not for you")]])
    with pytest.raises(ApiError, match="not for you"):
        await follower(client).until_end(5)


async def test_a_flow_that_does_not_end_runs_into_the_timeout():
    with pytest.raises(TimeoutError):
        await follower(Scripted([[flow()]], [])).until_end(0.05)


REFUSED = flow(type="Accepted", status="False", reason="UnknownChain")


async def test_a_refusal_is_the_end():
    found = follower(Scripted([[flow()]], [[WatchEvent("MODIFIED", REFUSED)]]))
    assert await found.until_end(5)
    assert found._record.end is not None and found._record.end["reason"] == "UnknownChain"
