# SPDX-License-Identifier: Apache-2.0
"""Flows that a launcher holds by renewing an annotation: left alone they end, and a renewal costs nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.flows import Flows
from accelchain_operators.kube.owners import Owners
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import Sync
from accelchain_operators.reconcile import heartbeat
from accelchain_operators.reconcile.heartbeat import HEARTBEAT, LAUNCHER, STALE_AFTER, HeartbeatsSeen
from accelchain_operators.reconcile.times import rfc3339
from accelchain_operators.reconcile.worker_options import LaptopOptions

KEY = ("default", "flow")
Document = Callable[..., JsonObject]
World = Callable[..., Any]


class QuietStreams(Streams):
    """Streams that follow nobody: documents are what a test says."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, lambda: 0.0)

    def want(self, key: Any, watches: Any) -> None:
        """Follow nobody."""

    def grant(self, key: Any, grants: Any) -> None:
        """Tell nobody."""


@pytest.fixture
def shell() -> Callable[[Any], Flows]:
    """``shell(world)``: the dataflow controller's shell over the world's API, on its clock."""

    def make(one: Any) -> Flows:
        streams = QuietStreams()
        streams._documents = one.documents
        owners, sync = Owners(one.kube, lambda _: None), Sync(one.kube, one.store)
        clock = lambda: one.now  # noqa: E731
        return Flows(one.kube, one.store, sync, streams, one.applier, owners, LaptopOptions(), frozenset, clock)

    return make


def beat(one: Any, text: str | None = None) -> None:
    """The launcher renews: a time by its own clock, which is far off."""
    flow = copy.deepcopy(one.kube.objects["DataFlow", *KEY])
    annotations = flow["metadata"].setdefault("annotations", {})
    annotations[HEARTBEAT] = rfc3339(one.now - 90_000) if text is None else text
    annotations[LAUNCHER] = "detect-pod"
    one.kube.put(kinds.DATA_FLOW, flow)


def failed(one: Any) -> str:
    """Why the flow has failed; empty: it has not."""
    condition = one.condition("Failed")
    return str(condition["reason"]) if condition.get("status") == "True" else ""


async def test_a_flow_that_is_left_alone_ends_and_is_not_tried_again(
    started: World, shell: Callable[[Any], Flows]
) -> None:
    one = await started(retries={"limit": 5})
    flows = shell(one)
    beat(one)
    first = one.now
    again = await flows.work(KEY)
    while not failed(one):
        assert again is not None and one.now + again <= first + STALE_AFTER, "looked at in time, without any news"
        one.now += again
        again = await flows.work(KEY)
    assert one.now == first + STALE_AFTER
    assert failed(one) == "HeartbeatLost"
    assert one.condition("Failed")["message"] == (
        "cancelled: its launcher, Pod detect-pod, has not renewed the annotation accelchain.io/heartbeat for 60 s"
    )
    assert (one.status["phase"], one.status.get("failures")) == ("Failed", None)
    await flows.work(KEY)
    assert one.pod is None, "its worker is told to end, and its devices are free"


async def test_renewals_keep_it_alive_and_write_nothing(
    started: World, shell: Callable[[Any], Flows], document: Document
) -> None:
    one = await started(mode="Stream")
    flows = shell(one)
    one.worker_says(document("Running"))
    beat(one)
    await flows.work(KEY)
    plan, status = one.plan(), copy.deepcopy(one.status)
    one.kube.writes.clear()
    for _ in range(40):
        one.now += 15
        beat(one)
        await flows.work(KEY)
    assert {(verb, kind) for verb, kind, _ in one.kube.writes} <= {("apply_status", "DataFlow")}
    assert len(one.kube.writes) <= 40, "the figures of a flow that runs, at most"
    assert one.plan() == plan
    assert {key: one.status[key] for key in status if key not in ("progress", "edges")} == {
        key: status[key] for key in status if key not in ("progress", "edges")
    }


async def test_a_renewal_of_a_flow_that_waits_writes_nothing_at_all(
    world: World, shell: Callable[[Any], Flows]
) -> None:
    one = world(suspend=True)
    await one.settle()
    flows = shell(one)
    beat(one)
    await flows.work(KEY)
    one.kube.writes.clear()
    for _ in range(20):
        one.now += 15
        beat(one)
        assert await flows.work(KEY) == STALE_AFTER
    assert one.kube.writes == []
    one.now += STALE_AFTER
    await flows.work(KEY)
    assert failed(one) == "HeartbeatLost", "whatever it waits for"


async def test_what_the_cache_has_not_heard_of_counts(started: World, shell: Callable[[Any], Flows]) -> None:
    """A watch that was lost for a minute must end no flow."""
    one = await started()
    flows = shell(one)
    beat(one)
    await flows.work(KEY)
    hears, one.kube.on_change = one.kube.on_change, lambda *_: None
    one.now += STALE_AFTER
    beat(one)
    one.kube.on_change = hears
    assert await flows.work(KEY) is not None
    assert not failed(one)
    one.now += STALE_AFTER
    await flows.work(KEY)
    assert failed(one) == "HeartbeatLost"


async def test_time_without_an_api_does_not_count(started: World, shell: Callable[[Any], Flows]) -> None:
    one = await started()
    flows = shell(one)
    beat(one)
    await flows.work(KEY)
    one.now += STALE_AFTER
    one.kube.fail["get", "DataFlow", "flow"] = ApiError(503, "ServiceUnavailable", "the API is down")
    with pytest.raises(ApiError):
        await flows.work(KEY)
    one.now += STALE_AFTER - 1
    await flows.work(KEY)
    assert not failed(one), "the launcher could not renew either"
    one.now += 1
    await flows.work(KEY)
    assert failed(one) == "HeartbeatLost"


async def test_a_restart_of_the_operators_gives_the_whole_time_again(
    started: World, shell: Callable[[Any], Flows]
) -> None:
    one = await started()
    beat(one)
    await shell(one).work(KEY)
    one.now += STALE_AFTER - 1
    flows = shell(one)
    await flows.work(KEY)
    one.now += STALE_AFTER - 1
    await flows.work(KEY)
    assert not failed(one)


@pytest.mark.parametrize("how", ["finished", "published", "released", "paused", "never held"])
async def test_it_is_left_alone(started: World, shell: Callable[[Any], Flows], document: Document, how: str) -> None:
    one = await started()
    flows = shell(one)
    if how != "never held":
        beat(one)
    await flows.work(KEY)
    if how == "finished":
        one.pod_ends(0, json.dumps(document("Succeeded")))
        await flows.work(KEY)
    elif how == "published":
        one.worker_says(document("Succeeded"))
    elif how in ("released", "paused"):
        flow = copy.deepcopy(one.kube.objects["DataFlow", *KEY])
        if how == "released":
            del flow["metadata"]["annotations"][HEARTBEAT]
        else:
            flow["metadata"]["annotations"]["accelchain.io/paused"] = "true"
        one.kube.put(kinds.DATA_FLOW, flow)
    one.now += 10 * STALE_AFTER
    await flows.work(KEY)
    assert not failed(one)
    if how == "published":  # its Pod is slow to end
        one.pod_ends(0, json.dumps(document("Succeeded")))
        await flows.work(KEY)
    assert (one.status["phase"] == "Succeeded") == (how in ("finished", "published"))


@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from(["", "x", "2026-01-01T00:00:00Z", None])), max_size=30))
def test_only_a_change_that_was_seen_counts(news: list[tuple[float, str | None]]) -> None:
    """Whatever the text says, and however it comes: since when it is the same, by our clock alone."""
    seen, now, before, since = HeartbeatsSeen(), 0.0, "none yet", 0.0
    for seconds, text in news:
        now += seconds
        flow = {"metadata": {"uid": "1", "annotations": {} if text is None else {HEARTBEAT: text}}}
        if text != before:
            before, since = text, now  # type: ignore[assignment]
        assert seen.look(KEY, flow, now) == (None if text is None else since)


def test_another_flow_of_the_name_begins_anew() -> None:
    seen = HeartbeatsSeen()
    old, new = ({"metadata": {"uid": uid, "annotations": {HEARTBEAT: "same"}}} for uid in ("1", "2"))
    assert (seen.look(KEY, old, 5.0), seen.look(KEY, new, 9.0)) == (5.0, 9.0)


async def test_the_same_moment_gives_the_same_answer(started: World) -> None:
    one = await started()
    stale = one.snapshot(heartbeat_since=one.now - STALE_AFTER)
    fresh = one.snapshot(heartbeat_since=one.now - STALE_AFTER + 0.5)
    assert (heartbeat.is_stale(stale), heartbeat.is_stale(fresh)) == (True, False)
    assert heartbeat.seconds_left(fresh) == 0.5
    assert heartbeat.seconds_left(one.snapshot()) is None
