# SPDX-License-Identifier: Apache-2.0
"""Owners of flows: seen to end, by a watch or without one; rights that are missing are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accelchain_operators.kube import owners
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType, WatchEvent
from accelchain_operators.reconcile.owner import how_it_ended, look, owners_of

KEY = ("team", "flow")
WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "demo", "uid": "u"}


def flow(*references: JsonObject, name: str = "flow") -> JsonObject:
    return {"metadata": {"name": name, "namespace": "team", "ownerReferences": list(references)}}


def owner(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "demo", "uid": "u", "resourceVersion": "7"}, **fields}


class Api:
    """One object, as the API tells it: an error where it is one."""

    def __init__(self, found: JsonObject | ApiError) -> None:
        self.found = found
        self.watch_error: ApiError | None = None
        self.events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self.watches: list[str] = []
        self.gets = 0

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        self.gets += 1
        assert (type.plural, name, namespace) == ("workflows", "demo", "team")
        if isinstance(self.found, ApiError):
            raise self.found
        return self.found

    async def watch(
        self, type: ResourceType, namespace: str | None = None, **options: Any
    ) -> AsyncIterator[WatchEvent]:
        assert options["resource_version"] == "7"
        self.watches.append(options["field_selector"])
        if self.watch_error is not None:
            raise self.watch_error
        while True:
            yield await self.events.get()


@pytest.mark.parametrize(
    ("reference", "live", "how"),
    [
        (WORKFLOW, owner(status={"phase": "Running"}), ""),
        (WORKFLOW, owner(status={"phase": "Error"}), "has ended (Error)"),
        (WORKFLOW, owner(spec={"shutdown": "Terminate"}, status={"phase": "Running"}), "told to stop"),
        (WORKFLOW, None, "is gone"),
        (WORKFLOW, {"metadata": {"name": "demo", "uid": "another"}}, "is gone"),
        (WORKFLOW, {"metadata": {"name": "demo", "uid": "u", "deletionTimestamp": "now"}}, "is being deleted"),
        (
            {"apiVersion": "v1", "kind": "Pod", "name": "demo", "uid": "u"},
            owner(status={"phase": "Succeeded"}),
            "ended",
        ),
        ({"apiVersion": "v1", "kind": "Pod", "name": "demo", "uid": "u"}, owner(status={"phase": "Pending"}), ""),
        (
            {"apiVersion": "batch/v1", "kind": "Job", "name": "demo", "uid": "u"},
            owner(status={"conditions": [{"type": "Failed", "status": "True"}]}),
            "has ended (Failed)",
        ),
        (
            {"apiVersion": "batch/v1", "kind": "Job", "name": "demo", "uid": "u"},
            owner(status={"conditions": [{"type": "Suspended", "status": "True"}]}),
            "",
        ),
    ],
)
def test_how_an_owner_ended(reference: JsonObject, live: JsonObject | None, how: str) -> None:
    made = flow(reference)
    (one,) = owners_of(made)
    found = how_it_ended(one, look(one, live), made)
    assert how in found and bool(how) == bool(found)


def test_owners_of_other_kinds_are_not_watched() -> None:
    assert owners_of(flow({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"})) == ()
    assert owners_of({"metadata": {"name": "flow", "namespace": "team"}}) == ()


async def test_one_watch_serves_all_flows_of_an_owner_and_tells_all_of_its_end(follow: Any, until: Any) -> None:
    api = Api(owner(status={"phase": "Running"}))
    one, news = follow(api)
    other = ("team", "other")
    one.want(KEY, flow(WORKFLOW))
    one.want(other, flow(WORKFLOW, name="other"))
    one.want(KEY, flow(WORKFLOW))  # as every look at the flow says it
    await until(lambda: bool(api.watches))
    assert api.watches == ["metadata.name=demo"] and one.ended(KEY) == ""
    await api.events.put(WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    await api.events.put(WatchEvent("MODIFIED", owner(spec={"shutdown": "Stop"})))
    await until(lambda: len(news) == 2)
    assert set(news) == {KEY, other} and "spec.shutdown: Stop" in one.ended(KEY) == one.ended(other)


async def test_an_owner_that_is_gone_before_anybody_looked_has_ended(follow: Any, until: Any) -> None:
    one, news = follow(Api(ApiError(404, "NotFound", 'workflows.argoproj.io "demo" not found')))
    one.want(KEY, flow(WORKFLOW))
    await until(lambda: news == [KEY])
    assert one.ended(KEY) == "Workflow demo is gone" and one.problem(KEY) == ""


async def test_a_deleted_owner_has_ended(follow: Any, until: Any) -> None:
    api = Api(owner())
    one, news = follow(api)
    one.want(KEY, flow(WORKFLOW))
    await api.events.put(WatchEvent("DELETED", owner()))
    await until(lambda: news == [KEY])
    assert "gone" in one.ended(KEY)


async def test_an_owner_that_may_not_be_watched_is_read_again_and_again(
    follow: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "POLL_PERIOD", 0.01)
    api = Api(owner())
    api.watch_error = ApiError(403, "Forbidden", "no watch")
    one, news = follow(api)
    one.want(KEY, flow(WORKFLOW))
    await until(lambda: api.gets >= 4)
    assert len(api.watches) == 1 and one.problem(KEY) == ""
    api.found = owner(status={"phase": "Failed"})
    await until(lambda: news == [KEY])
    assert "Failed" in one.ended(KEY)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(403, "Forbidden", "workflows is forbidden"), "get workflows.argoproj.io in namespace team"),
        (ApiError(404, "NotFound", "the server could not find the requested resource"), "no workflows.argoproj.io"),
    ],
)
async def test_what_is_missing_to_see_an_owner_is_told(follow: Any, until: Any, error: ApiError, words: str) -> None:
    one, news = follow(Api(error))
    one.want(KEY, flow(WORKFLOW))
    await until(lambda: news == [KEY])
    assert one.ended(KEY) == "" and words in one.problem(KEY)


async def test_a_broken_watch_is_opened_again(follow: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "PAUSE", 0.01)
    api = Api(owner())
    api.watch_error = ApiError(410, "Expired", "too old")
    one, news = follow(api)
    one.want(KEY, flow(WORKFLOW))
    await until(lambda: len(api.watches) >= 3)
    api.watch_error = ApiError(0, "NoAnswer", "connection refused")
    await until(lambda: len(api.watches) >= 5)
    api.watch_error = None
    await api.events.put(WatchEvent("MODIFIED", owner(status={"phase": "Succeeded"})))
    await until(lambda: news == [KEY])


async def test_nobody_is_watched_for_a_flow_that_is_over(follow: Any, until: Any) -> None:
    api = Api(owner())
    one, _ = follow(api)
    one.want(KEY, flow(WORKFLOW))
    await until(lambda: bool(api.watches))
    one.want(KEY, None)
    assert one.ended(KEY) == ""
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("owner") and not t.cancelling()]
