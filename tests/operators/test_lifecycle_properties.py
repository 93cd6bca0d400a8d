# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a flow, in any order: what never may be, never is."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.attempts import LOST_AFTER
from accelchain_operators.reconcile.dataflow import is_finished, reconcile
from accelchain_operators.reconcile.pod import pod_end
from accelchain_operators.reconcile.times import seconds_of

LIMIT = 2
MOVES = (
    "pod running",
    "worker runs",
    "worker publishes",
    "worker failed",
    "worker drained",
    "pod ends",
    "pod killed",
    "pod evicted",
    "pod drained",
    "pod gone",
    "kubelet confirms",
    "moment",
    "minute",
    "hour",
    "wbf deleted",
    "wbc edited",
    "config map deleted",
    "secret deleted",
    "pod orphaned",
    "config map orphaned",
    "parameters changed",
    "parameters wrong",
    "parameters back",
    "suspend",
    "resume",
    "cancel",
    "owner ended",
    "pause",
    "go on",
    "chain gone",
    "chain back",
    "node gone",
    "node back",
    "node stale",
    "node fresh",
    "desk there",
    "progress",
    "operators restart",
    "half a step",
)


class Watch:
    """Looks at every Pod that is made: is another one of the flow at work?"""

    def __init__(self, one: Any) -> None:
        self.one = one
        self.below = one.kube.on_change
        one.kube.on_change = self.changed

    def changed(self, type: Any, event: str, obj: JsonObject) -> None:
        if type == kinds.POD and event == "ADDED":
            name = obj["metadata"]["name"]
            others = [p for key, p in self.one.kube.objects.items() if key[0] == "Pod" and key[2] != name]
            assert all(self.at_rest(pod) for pod in others), "two workers at once"
            plan = json.loads(self.one.kube.objects["ConfigMap", "default", name]["data"]["plan.json"])
            assert str(plan["attempt"]["number"]) == obj["metadata"]["labels"]["accelchain.io/attempt"]
        self.below(type, event, obj)

    def at_rest(self, pod: JsonObject) -> bool:
        told = pod["metadata"].get("deletionTimestamp")
        node = pod["spec"]["nodeSelector"]["kubernetes.io/hostname"]
        away = node in self.one.stale or ("ComputeResource", None, node) not in self.one.kube.objects
        lost = away and told is not None and self.one.now >= seconds_of(told) + LOST_AFTER
        return lost or pod_end(pod) is not None


def check(one: Any, before: JsonObject) -> None:
    """Check what holds at rest."""
    status, flow = one.status, one.flow
    assert reconcile(one.snapshot()) == reconcile(dataclasses.replace(one.snapshot())), "pure"
    assert status.get("attempt", 1) >= before.get("attempt", 1) and status.get("position", 0) >= before.get(
        "position", 0
    )
    assert status.get("failedAttempts", 0) <= LIMIT + 1
    assert len(status.get("failures", ())) == min(status.get("failedAttempts", 0), 8)
    for grant in one.actions.grants:
        pod = next(p for p in one.snapshot().pods if p["metadata"]["uid"] == grant.worker.pod_uid)
        assert "deletionTimestamp" not in pod["metadata"] and not is_finished(flow)
        assert grant.attempt == status["attempt"] == int(pod["metadata"]["labels"]["accelchain.io/attempt"])
        assert not flow["spec"].get("suspend") and not flow["spec"].get("cancel")
    if status.get("phase") == "Suspended" and "annotations" not in flow["metadata"]:
        assert not status.get("placement") and not one.children()["WBFunction"] and not one.children()["ConfigMap"]
    if status.get("phase") == "Failed" and status.get("failures") and one.condition("Failed")["reason"] == "WorkerLost":
        assert status["failedAttempts"] == LIMIT + 1, "it was tried as often as was asked for"


def move(one: Any, what: str, abstracts: list[JsonObject], document: Callable[..., JsonObject]) -> None:
    kube, uid, pod = one.kube, one.flow["metadata"]["uid"], one.pod
    alive = pod is not None and pod_end(pod) is None
    seen = pod is not None and "status" in pod
    functions, edges = one.store.owned(kinds.WB_FUNCTION, uid), one.store.owned(kinds.WB_CONNECTION, uid)
    chain, node = ("FunctionChain", "default", "demo"), ("ComputeResource", None, "laptop")
    inventory = next(o for o in abstracts if o["kind"] == "ComputeResource")
    match what:
        case "pod running" if alive and not seen:
            one.pod_status("Running", running={})
        case "worker runs" if alive and seen:
            one.worker_says(document("Running", position=41))
        case "worker publishes" if alive and seen:
            one.worker_says(document("Publishing"))
        case "worker failed" if alive and seen:
            one.worker_says(document("Failed", reason="FunctionFailed", message="it broke"))
        case "worker drained" if alive and "deletionTimestamp" in pod["metadata"]:
            one.pod_ends(0, json.dumps(document("Succeeded", reason="Stopped", position=90)))
        case "pod ends" if alive:
            one.pod_ends(0, json.dumps(document("Succeeded")))
        case "pod killed" if alive:
            one.pod_ends(137)
        case "pod evicted" if alive:
            gone = json.loads(json.dumps(pod))
            gone["status"] = {**gone.get("status", {}), "phase": "Failed", "reason": "Evicted", "message": "disk"}
            kube.put(kinds.POD, gone)
        case "pod drained" if alive:
            one.terminating()
        case "pod gone" if pod is not None:
            kube.drop(kinds.POD, pod["metadata"]["name"], "default")
        case "kubelet confirms":
            for other in list(kube.objects.values()):
                if other["kind"] == "Pod" and "deletionTimestamp" in other["metadata"]:
                    kube.drop(kinds.POD, other["metadata"]["name"], "default")
        case "moment" | "minute" | "hour":
            one.now += {"moment": 2, "minute": 75, "hour": 3600}[what]
        case "wbf deleted" if functions:
            kube.drop(kinds.WB_FUNCTION, functions[0]["metadata"]["name"], "default")
        case "wbc edited" if edges:
            edited = json.loads(json.dumps(edges[0]))
            edited["spec"]["mechanisms"] = ["peer-copy"]
            kube.put(kinds.WB_CONNECTION, edited)
        case "config map deleted" if one.children()["ConfigMap"]:
            kube.drop(kinds.CONFIG_MAP, one.children()["ConfigMap"][0], "default")
        case "secret deleted" if pod is not None and ("Secret", "default", pod["metadata"]["name"]) in kube.objects:
            kube.drop(kinds.SECRET, pod["metadata"]["name"], "default")
        case "pod orphaned" | "config map orphaned":
            type = kinds.POD if what.startswith("pod") else kinds.CONFIG_MAP
            for child in one.store.owned(type, uid)[:1]:
                orphan = json.loads(json.dumps(child))
                orphan["metadata"]["ownerReferences"] = []
                kube.put(type, orphan)
        case "parameters changed" | "parameters wrong" | "parameters back":
            radius = {"changed": 5, "wrong": 0, "back": 3}[what.split()[1]]
            change = [{"function": "soft", "parameters": {"radius": radius}}]
            one.change(kinds.DATA_FLOW, "flow", spec={"functionParameters": change})
        case "suspend" | "resume":
            one.change(kinds.DATA_FLOW, "flow", spec={"suspend": what == "suspend"})
        case "cancel":
            one.change(kinds.DATA_FLOW, "flow", spec={"cancel": True})
        case "owner ended":
            one.fields = {"owner_ended": "Pod x is gone"}
        case "pause" | "go on":
            flow = json.loads(json.dumps(one.flow))
            flow["metadata"].pop("annotations", None)
            if what == "pause":
                flow["metadata"]["annotations"] = {"accelchain.io/paused": "true"}
            kube.put(kinds.DATA_FLOW, flow)
        case "chain gone" if chain in kube.objects:
            kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")
        case "chain back" if chain not in kube.objects:
            kube.put(kinds.FUNCTION_CHAIN, json.loads(json.dumps(next(o for o in abstracts if o["kind"] == chain[0]))))
        case "node gone" if node in kube.objects:
            kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
        case "node back" if node not in kube.objects:
            kube.put(kinds.COMPUTE_RESOURCE, json.loads(json.dumps(inventory)))
        case "node stale":
            one.stale.add("laptop")
        case "node fresh":
            one.stale.discard("laptop")
        case "desk there" if ("ComputeResource", None, "desk") not in kube.objects:
            desk = json.loads(json.dumps(inventory))
            desk["metadata"], desk["spec"]["nodeName"] = {"name": "desk"}, "desk"
            kube.put(kinds.COMPUTE_RESOURCE, desk)
        case "progress":
            one.progress_due = True
        case "operators restart":
            one.documents.clear()
            one.since.clear()
            one.departed.clear()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(MOVES), max_size=16), st.sampled_from(["Batch", "Stream"]), st.booleans())
def test_there_is_one_worker_at_most_and_an_end_is_an_end(
    world: Callable[..., Any],
    abstracts: list[JsonObject],
    document: Callable[..., JsonObject],
    moves: list[str],
    mode: str,
    graceful: bool,
) -> None:
    one = world(mode=mode, retries={"limit": LIMIT}, activeDeadlineSeconds=4000)
    if graceful:
        one.kube.clock = lambda: one.now
    Watch(one)

    async def play() -> None:
        await one.settle()
        for what in moves:
            before, finished = one.status, is_finished(one.flow)
            move(one, what, abstracts, document)
            if what == "half a step":
                await one.step()
                continue
            await one.settle()
            if finished:
                assert {**one.status, "conditions": before["conditions"]} == before, "an end is an end"
            check(one, before)
            one.progress_due = False

    asyncio.run(play())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([m for m in MOVES if m not in ("cancel", "owner ended", "pause", "hour")]), max_size=12)
)
def test_a_flow_that_is_left_in_peace_comes_to_a_good_end(
    world: Callable[..., Any], abstracts: list[JsonObject], document: Callable[..., JsonObject], moves: list[str]
) -> None:
    """Nothing that happened leaves a flow stuck: when all is well again it runs, or has come to its end before."""
    one = world(retries={"limit": 100})
    Watch(one)

    async def play() -> None:
        await one.settle()
        for what in moves:
            move(one, what, abstracts, document)
            await (one.step() if what == "half a step" else one.settle())
        for what in ("chain back", "node back", "node fresh", "parameters back", "resume", "kubelet confirms"):
            move(one, what, abstracts, document)
            await one.settle()
        for _ in range(8):
            one.now += 600
            await one.settle()
            move(one, "kubelet confirms", abstracts, document)
            await one.settle()
            move(one, "pod running", abstracts, document)
            await one.settle()
            move(one, "pod ends", abstracts, document)
            await one.settle()
        assert is_finished(one.flow), one.status

    asyncio.run(play())
