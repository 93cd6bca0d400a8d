# SPDX-License-Identifier: Apache-2.0
"""Attempts: what is tried again, when, where, and what people are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.attempts import LONGEST_PAUSE, class_of, next_attempt_at, pause_after
from accelchain_operators.reconcile.deadline import DEADLINE_GRACE
from accelchain_operators.reconcile.running import GRANT_SECONDS, PUBLISH_GRACE
from accelchain_operators.reconcile.times import rfc3339

Started = Callable[..., Any]
Document = Callable[..., JsonObject]
BEGIN = 1_800_000_000.0
REASONS = ("FunctionFailed", "DeviceFailed", "WorkerLost")


def failures(*entries: tuple[str, float]) -> list[JsonObject]:
    return [{"attempt": i + 1, "reason": reason, "time": rfc3339(BEGIN + at)} for i, (reason, at) in enumerate(entries)]


@pytest.mark.parametrize(
    ("entries", "pause"),
    [
        ([("WorkerLost", 0)], 1),
        ([("DeviceFailed", 0)], 5),
        ([("FunctionFailed", 0)], 10),
        ([("SomethingOfAFunction", 0)], 10),
        ([("WorkerLost", 0), ("WorkerLost", 5), ("WorkerLost", 9)], 4),
        ([("FunctionFailed", 0), ("WorkerLost", 5)], 1),
        ([("FunctionFailed", 0), ("FunctionFailed", 20), ("FunctionFailed", 60)], 40),
        ([("DeviceFailed", 0), ("DeviceFailed", 5000)], 5),
        ([("FunctionFailed", 60 * i) for i in range(7)], 300),
    ],
)
def test_the_pause_grows_with_every_failure_like_the_last_one(entries: list[tuple[str, float]], pause: float) -> None:
    assert pause_after(failures(*entries), len(entries)) == pause


@given(st.lists(st.tuples(st.sampled_from(REASONS), st.integers(0, 2000)), min_size=1, max_size=8), st.integers(0, 92))
def test_pauses_have_bounds_and_are_told_by_the_status_alone(entries: list[tuple[str, int]], more: int) -> None:
    at, told = 0, []
    for reason, apart in entries:
        at += apart
        told.append((reason, float(at)))
    found = failures(*told)
    pause = pause_after(found, len(found) + more)
    assert {"FunctionFailed": 10, "DeviceFailed": 5, "WorkerLost": 1}[found[-1]["reason"]] <= pause <= LONGEST_PAUSE
    status = {"attempt": len(found) + 1, "failures": found, "failedAttempts": len(found) + more}
    assert next_attempt_at(status) == BEGIN + at + pause
    assert next_attempt_at({**status, "attempt": len(found) + 2}) == 0, "the spec was changed since: no need to wait"


@pytest.mark.parametrize("reason", ["InvalidInput", "DeadlineExceeded", "Cancelled", "OwnerEnded"])
def test_what_the_user_caused_is_of_the_users_class(reason: str) -> None:
    assert class_of(reason) == "user"


async def test_a_failed_attempt_is_tried_again_after_its_pause_and_people_are_told(
    started: Started, document: Document
) -> None:
    one = await started(retries={"limit": 3})
    first = one.pod["metadata"]["name"]
    one.pod_ends(1, json.dumps(document("Failed", reason="FunctionFailed", message="it broke")))
    await one.settle()
    assert (one.status["phase"], one.status["attempt"], one.status["failedAttempts"]) == ("Pending", 2, 1)
    assert [(f["attempt"], f["reason"], f["message"]) for f in one.status["failures"]] == [
        (1, "FunctionFailed", "it broke")
    ]
    told = "attempt 2 of 4 in 10 s: FunctionFailed: it broke"
    assert (one.condition("Running")["reason"], one.condition("Running")["message"]) == ("BackOff", told)
    assert one.kube.events[-1]["note"] == told
    assert one.actions.requeue_after == pytest.approx(10)
    assert one.status["placedAttempt"] == 2, "it was placed anew"
    assert one.children()["Pod"] == [first], "the log of the attempt that failed"
    assert one.children()["ConfigMap"] == [] and ("Secret", "default", first) not in one.kube.objects
    one.now += 9.9
    await one.settle()
    assert len(one.children()["Pod"]) == 1
    one.now += 0.1
    await one.settle()
    assert one.plan()["attempt"] == {"number": 2, "startFrame": 0}
    assert len(one.children()["Pod"]) == 2 and one.pod["metadata"]["name"] != first
    one.begins(document("Running"))
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    assert one.status["phase"] == "Succeeded" and one.status["failedAttempts"] == 1


async def test_the_last_failure_is_the_flows_and_the_log_of_the_one_before_is_kept(
    started: Started, document: Document
) -> None:
    one = await started(retries={"limit": 2})
    for _ in range(3):
        one.pod_ends(1, json.dumps(document("Failed", reason="DeviceFailed", message="no answer")))
        await one.settle()
        one.now += LONGEST_PAUSE
        await one.settle()
    assert one.status["phase"] == "Failed"
    assert one.condition("Failed")["message"] == "no answer (3 attempts failed, spec.retries.limit is 2)"
    assert [f["attempt"] for f in one.status["failures"]] == [1, 2, 3]
    assert len(one.children()["Pod"]) == 2, "the last one's and the one's before"


@pytest.mark.parametrize("reason", ["InvalidInput", "DeadlineExceeded"])
async def test_what_the_user_caused_is_not_tried_again(started: Started, document: Document, reason: str) -> None:
    one = await started(retries={"limit": 3})
    one.pod_ends(2, json.dumps(document("Failed", reason=reason, message="no")))
    await one.settle()
    assert (one.status["phase"], one.condition("Failed")["reason"]) == ("Failed", reason)


def disrupted(reason: str) -> JsonObject:
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]}


@pytest.mark.parametrize(
    ("status", "terminated", "words"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: memory."}, None, "evicted from node laptop"),
        ({}, {"reason": "OOMKilled", "exitCode": 137}, "out of memory"),
        ({"reason": "Terminated", "message": "shutdown"}, {"exitCode": 143}, "shut down"),
        (disrupted("PreemptionByScheduler"), None, "preempted"),
        (disrupted("EvictionByEvictionAPI"), None, "drain"),
        ({}, {"exitCode": 137}, "exit code 137"),
    ],
)  # fmt: skip
async def test_it_is_told_how_a_worker_was_lost(
    started: Started, status: JsonObject, terminated: JsonObject | None, words: str
) -> None:
    one = await started()
    pod = json.loads(json.dumps(one.pod))
    pod["status"] |= {"phase": "Failed", **status}
    pod["status"]["containerStatuses"] = [{"name": "worker", "state": {"terminated": terminated} if terminated else {}}]
    one.kube.put(kinds.POD, pod)
    await one.settle()
    failed = one.condition("Failed")
    assert failed["reason"] == "WorkerLost" and words in failed["message"]


async def test_a_pod_that_was_drained_and_is_gone_tells_why(started: Started) -> None:
    one = await started(retries={"limit": 1})
    one.terminating(**disrupted("EvictionByEvictionAPI"))
    await one.settle()
    assert one.status["attempt"] == 1, "it may still come to its end"
    one.kube.drop(kinds.POD, one.pod["metadata"]["name"], "default")
    await one.settle()
    assert one.status["attempt"] == 2 and "kubectl drain" in one.status["failures"][0]["message"]


async def test_a_result_that_a_vanished_pod_left_counts(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 1})
    one.pod_ends(0, json.dumps(document("Succeeded")))
    one.kube.drop(kinds.POD, one.pod["metadata"]["name"], "default")
    await one.settle()
    assert one.status["phase"] == "Succeeded"


async def test_no_new_attempt_while_the_old_pod_is_there(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 1})
    one.kube.clock = lambda: one.now
    one.worker_says(document("Publishing"))
    one.now += PUBLISH_GRACE
    await one.settle()
    assert one.status["attempt"] == 2 and "did not publish" in one.status["failures"][0]["message"]
    old = one.pod["metadata"]["name"]
    one.now += 10
    await one.settle()
    assert "deletionTimestamp" in one.pod["metadata"] and one.children()["Pod"] == [old]
    assert old in one.condition("Running")["message"] and one.children()["ConfigMap"] == [old]
    one.kube.drop(kinds.POD, old, "default")
    await one.settle()
    assert one.plan()["attempt"]["number"] == 2 and old not in one.children()["Pod"]


async def test_a_flow_whose_node_is_lost_begins_elsewhere_once_its_pod_does_not_end(
    started: Started, abstracts: list[JsonObject]
) -> None:
    desk = json.loads(json.dumps(abstracts[-1]))
    desk |= {"metadata": {"name": "desk"}, "spec": {**desk["spec"], "nodeName": "desk"}}
    one = await started(retries={"limit": 1})
    one.kube.put(kinds.COMPUTE_RESOURCE, desk)
    one.stale.add("laptop")
    await one.settle()
    assert one.status["phase"] == "Running", "the agent may be silent alone: the Pod says how it goes"
    one.terminating()
    one.now += 10 + 59
    await one.settle()
    assert one.status["attempt"] == 1
    assert one.actions.requeue_after == pytest.approx(1)
    one.now += 1
    await one.settle()
    assert "node laptop is not ready" in one.status["failures"][0]["message"]
    one.now += 1
    await one.settle()
    assert (one.plan()["node"], one.plan()["attempt"]["number"]) == ("desk", 2)
    assert len(one.children()["Pod"]) == 1, "the lost one was deleted by force"


async def test_a_pod_that_ends_slowly_on_a_node_that_is_there_is_waited_for(started: Started) -> None:
    one = await started(retries={"limit": 1})
    one.terminating()
    one.now += 10_000
    await one.settle()
    assert one.status["attempt"] == 1 and len(one.children()["Pod"]) == 1


async def test_the_deadline_counts_all_attempts(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 3}, activeDeadlineSeconds=60)
    one.now += 40
    one.pod_ends(1, json.dumps(document("Failed", reason="FunctionFailed", message="it broke")))
    await one.settle()
    one.now += 10
    await one.settle()
    assert one.plan()["deadlineSeconds"] == 10, "50 of 60 seconds are over"
    one.begins(document("Running"))
    await one.settle()
    assert one.status["startTime"] == rfc3339(BEGIN)
    one.now += 10 + DEADLINE_GRACE
    await one.settle()
    failed = one.condition("Failed")
    assert failed["reason"] == "DeadlineExceeded" and "60 s in 2 attempts" in failed["message"]


async def test_a_flow_that_waits_for_its_next_attempt_meets_its_deadline(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 3}, activeDeadlineSeconds=60)
    one.now += 55
    one.pod_ends(1, json.dumps(document("Failed", reason="FunctionFailed", message="it broke")))
    await one.settle()
    assert one.actions.requeue_after == pytest.approx(5)
    one.now += 5
    await one.settle()
    assert one.condition("Failed")["reason"] == "DeadlineExceeded"


async def test_a_stream_goes_on_where_its_attempts_have_published(started: Started, document: Document) -> None:
    one = await started(mode="Stream", retries={"limit": 3})
    one.worker_says(document("Running", frames=500, position=140))
    one.pod_ends(137)
    await one.settle()
    assert one.status["position"] == 140
    one.now += 1
    await one.settle()
    assert one.plan()["attempt"] == {"number": 2, "startFrame": 140}
    one.begins(document("Running", frames=3, total=None))
    await one.settle()
    assert one.status["progress"]["frames"] == 143
    # A node is drained: the worker publishes what it has, which is not the end of the flow.
    one.terminating()
    one.pod_ends(0, json.dumps(document("Succeeded", reason="Stopped", frames=60, position=200)))
    await one.settle()
    assert (one.status["position"], one.status["attempt"], one.status["phase"]) == (200, 3, "Pending")


async def test_a_batch_begins_anew(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 3})
    one.worker_says(document("Running", position=40))
    one.pod_ends(137)
    await one.settle()
    one.now += 1
    await one.settle()
    assert one.plan()["attempt"] == {"number": 2, "startFrame": 0} and "position" not in one.status


async def test_a_worker_that_nobody_hears_of_is_told(started: Started, world: Callable[..., Any]) -> None:
    one = world()
    await one.settle()
    one.pod_status("Running", running={"startedAt": rfc3339(one.now)})
    await one.settle()
    assert one.condition("Running")["reason"] == "NotStarted" and one.actions.requeue_after == pytest.approx(60)
    one.now += 60
    await one.settle()
    assert one.condition("Running")["reason"] == "WorkerSilent"
    assert "NetworkPolicy" in one.condition("Running")["message"]


async def test_publishing_is_granted_to_the_current_attempt_alone(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 1})
    assert one.plan()["fenced"] is True and one.actions.grants == ()
    one.worker_says(document("Publishing"))
    await one.settle()
    (grant,) = one.actions.grants
    assert (grant.attempt, grant.worker.pod_uid) == (1, one.pod["metadata"]["uid"])
    one.terminating()
    await one.settle()
    assert one.actions.grants == (), "its Pod is being deleted: another attempt may follow"


BLUR = [{"function": "soft", "parameters": {"radius": 5}}]


@pytest.mark.parametrize("publishes", [True, False])
@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"cancel": True}, ("Failed", "Cancelled")),
        ({"suspend": True}, ("Running", "Suspending")),
        ({"functionParameters": BLUR}, ("Running", "SpecChanged")),
    ],
    ids=["cancelled", "suspended", "changed"],
)
async def test_an_attempt_whose_worker_may_be_publishing_is_not_ended_before_that_is_known(
    started: Started, document: Document, change: JsonObject, ends: tuple[str, str], publishes: bool
) -> None:
    one = await started()
    one.kube.clock = lambda: one.now
    one.worker_says(document("Publishing"))
    await one.settle()
    (grant,) = one.actions.grants
    one.fields = {"granted_at": {grant.worker.pod_uid: one.now}}
    one.now += 1
    one.change(kinds.DATA_FLOW, "flow", spec=change)
    await one.settle()
    assert (one.actions.grants, one.actions.watch_workers) == ((), (grant.worker,)), "it is told no more, and followed"
    assert one.status["phase"] == "Running" and "deletionTimestamp" not in one.pod["metadata"]
    if publishes:
        one.worker_says(document("Succeeded"))
        await one.settle()
        one.pod_ends(0, json.dumps(document("Succeeded")))
        await one.settle()
        assert (one.status["phase"], one.status["attempt"]) == ("Succeeded", 1), "what is published counts"
    else:
        assert one.actions.requeue_after == GRANT_SECONDS - 1
        one.now += GRANT_SECONDS - 1
        await one.settle()
        assert one.condition(ends[0])["reason"] == ends[1]


async def test_a_worker_that_does_not_publish_in_time_is_told_no_more_before_the_next_attempt(
    started: Started, document: Document
) -> None:
    one = await started(retries={"limit": 1})
    one.kube.clock = lambda: one.now
    one.worker_says(document("Publishing"))
    one.now += PUBLISH_GRACE
    one.fields = {"granted_at": {one.pod["metadata"]["uid"]: one.now - 1}}
    await one.settle()
    assert (one.actions.grants, one.actions.requeue_after) == ((), GRANT_SECONDS - 1) and one.status["attempt"] == 1
    one.now += GRANT_SECONDS - 1
    await one.settle()
    assert one.status["attempt"] == 2 and "did not publish" in one.status["failures"][0]["message"]


@pytest.mark.parametrize("change", [{"cancel": True}, {"suspend": True}, {"parameters": {"nothing": 1}}])
async def test_a_flow_that_goes_no_further_grants_nothing(
    started: Started, document: Document, change: JsonObject
) -> None:
    one = await started()
    one.kube.clock = lambda: one.now
    one.worker_says(document("Publishing"))
    one.change(kinds.DATA_FLOW, "flow", spec=change)
    await one.settle()
    assert bool(one.actions.grants) == ("parameters" in change), "a change that can't be run changes nothing"
