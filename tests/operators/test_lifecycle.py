# SPDX-License-Identifier: Apache-2.0
"""What users do to flows: suspend, resume, cancel, change, pause, plan only, have them removed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject

MakeWorld = Callable[..., Any]
Started = Callable[..., Any]
Document = Callable[..., JsonObject]
BEGIN = 1_800_000_000.0


async def test_a_suspended_flow_gives_all_back_and_is_planned_anew_when_it_is_resumed(
    started: Started, document: Document
) -> None:
    one = await started(activeDeadlineSeconds=100)
    first = one.pod["metadata"]["name"]
    one.kube.clock = lambda: one.now
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": True})
    await one.settle()
    assert one.condition("Running")["reason"] == "Suspending" and first in one.condition("Running")["message"]
    assert one.status["placement"], "in use until the worker has ended"
    one.kube.drop(kinds.POD, first, "default")
    await one.settle()
    assert (one.status["phase"], one.condition("Running")["reason"]) == ("Suspended", "Suspended")
    assert (one.condition("Scheduled")["status"], one.condition("Scheduled")["reason"]) == ("False", "Suspended")
    assert "placement" not in one.status and "startTime" not in one.status
    assert not any(one.children().values()) and "failures" not in one.status
    one.now += 1000
    await one.settle()
    assert one.status["phase"] == "Suspended", "its deadline does not run"
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": False})
    await one.settle()
    assert one.plan()["attempt"]["number"] == 2 and one.plan()["deadlineSeconds"] == 100
    one.begins(document("Running"))
    await one.settle()
    assert one.status["phase"] == "Running"


async def test_a_stream_that_is_suspended_publishes_what_it_has_and_goes_on_there(
    started: Started, document: Document
) -> None:
    one = await started(mode="Stream")
    one.kube.clock = lambda: one.now
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": True})
    await one.settle()
    (watch,) = one.actions.watch_workers
    assert watch.pod_uid == one.pod["metadata"]["uid"], "it is listened to until it has ended"
    one.pod_ends(0, json.dumps(document("Succeeded", reason="Stopped", frames=70, position=70)))
    one.kube.drop(kinds.POD, one.pod["metadata"]["name"], "default")
    await one.settle()
    assert (one.status["phase"], one.status["position"]) == ("Suspended", 70)
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": False})
    await one.settle()
    assert one.plan()["attempt"] == {"number": 2, "startFrame": 70}


async def test_a_flow_that_is_created_suspended_holds_nothing_until_it_is_resumed(world: MakeWorld) -> None:
    one = world(suspend=True)
    await one.settle()
    assert one.condition("Accepted")["status"] == "True" and one.status["phase"] == "Suspended"
    assert "placement" not in one.status and not any(one.children().values())
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": False})
    await one.settle()
    assert one.plan()["attempt"]["number"] == 1 and one.pod is not None


async def test_suspending_a_finished_flow_does_nothing(started: Started, document: Document) -> None:
    one = await started()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    one.kube.writes.clear()
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": True})
    await one.settle()
    assert one.kube.writes == [] and one.status["phase"] == "Succeeded"


async def test_a_worker_that_was_told_to_stop_is_given_up_though_the_flow_is_resumed_at_once(
    started: Started, document: Document
) -> None:
    one = await started()
    one.kube.clock = lambda: one.now
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": True})
    await one.settle()
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": False})
    await one.settle()
    one.pod_ends(143, json.dumps(document("Failed", reason="Stopped")))
    await one.settle()
    assert one.status["attempt"] == 2 and "failures" not in one.status
    assert one.plan()["attempt"]["number"] == 2


@pytest.mark.parametrize("when", ["running", "waiting", "refused", "suspended"])
async def test_a_cancelled_flow_has_failed_for_good(
    world: MakeWorld, started: Started, abstracts: list[JsonObject], when: str
) -> None:
    match when:
        case "running":
            one = await started(retries={"limit": 3})
        case "waiting":
            abstracts.pop()
            one = world()
        case "refused":
            one = world(chainRef={"name": "nothing"})
        case _:
            one = world(suspend=True)
    await one.settle()
    one.change(kinds.DATA_FLOW, "flow", spec={"cancel": True})
    await one.settle()
    assert (one.status["phase"], one.condition("Failed")["reason"]) == ("Failed", "Cancelled")
    assert one.pod is None and one.kube.events[-1]["reason"] == "Cancelled"
    assert one.status.get("failedAttempts", 0) == 0


async def test_a_result_that_was_there_before_the_flow_was_cancelled_is_its_result(
    started: Started, document: Document
) -> None:
    one = await started()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    one.change(kinds.DATA_FLOW, "flow", spec={"cancel": True})
    await one.settle()
    assert one.status["phase"] == "Succeeded", "it is published"


async def test_a_flow_ends_with_its_owner(started: Started) -> None:
    one = await started(retries={"limit": 3})
    one.fields = {"owner_ended": "Workflow demo has ended (Failed)"}
    await one.settle()
    failed = one.condition("Failed")
    assert (failed["reason"], failed["message"]) == ("OwnerEnded", "cancelled: Workflow demo has ended (Failed)")
    assert one.pod is None


async def test_an_owner_that_can_not_be_watched_is_told_and_the_flow_runs_on(started: Started) -> None:
    one = await started()
    one.fields = {"owner_problem": "the operators may not get workflows"}
    await one.step()
    assert one.kube.events[-1]["reason"] == "OwnerNotWatched" and one.status["phase"] == "Running"


async def test_a_dry_run_shows_the_plan_and_holds_nothing(world: MakeWorld) -> None:
    one = world(dryRun=True)
    await one.settle()
    assert (one.status["phase"], one.condition("Running")["reason"]) == ("Planned", "DryRun")
    plan = one.status["plan"]
    assert {f["name"] for f in plan["functions"]} == {"in", "soft", "both", "out"} and "tokenSha256" not in plan
    assert not any(one.children().values()) and ("Secret", "default", "x") not in one.kube.objects
    one.change(kinds.DATA_FLOW, "flow", spec={"dryRun": False})
    await one.settle()
    assert one.pod is not None and "plan" not in one.status


async def test_a_finished_flow_is_deleted_when_its_time_has_come(started: Started, document: Document) -> None:
    one = await started(ttlSecondsAfterFinished=100)
    one.now += 5
    one.pod_ends(0, json.dumps(document("Succeeded")))  # at BEGIN + 5
    await one.settle()
    assert one.actions.requeue_after == pytest.approx(100)
    one.now += 99
    await one.settle()
    assert one.actions.requeue_after == pytest.approx(1)
    one.now += 1
    await one.applier.run(one.actions_now(), "accelchain-dataflow")
    assert ("DataFlow", "default", "flow") not in one.kube.objects
    assert ("delete", "DataFlow", "flow") in one.kube.writes


async def test_a_paused_flow_and_paused_objects_are_left_alone(started: Started, document: Document) -> None:
    one = await started()
    paused = {"annotations": {"accelchain.io/paused": "true"}}
    flow = json.loads(json.dumps(one.flow))
    flow["metadata"] |= paused
    one.kube.put(kinds.DATA_FLOW, flow)
    one.kube.drop(kinds.WB_FUNCTION, "flow.soft", "default")
    one.change(kinds.DATA_FLOW, "flow", spec={"suspend": True})
    one.kube.writes.clear()
    await one.settle()
    assert one.kube.writes == [] and one.status["placement"]
    flow = json.loads(json.dumps(one.flow))
    flow["metadata"]["annotations"] = {}
    flow["spec"]["suspend"] = False
    one.kube.put(kinds.DATA_FLOW, flow)
    edited = json.loads(json.dumps(one.kube.objects["WBFunction", "default", "flow.in"]))
    edited["spec"]["device"] = "other"
    edited["metadata"]["annotations"] |= paused["annotations"]
    one.kube.put(kinds.WB_FUNCTION, edited)
    await one.settle()
    assert one.kube.objects["WBFunction", "default", "flow.in"]["spec"]["device"] == "other"
    assert ("WBFunction", "default", "flow.soft") in one.kube.objects


BLUR = [{"function": "soft", "parameters": {"radius": 5}}]


@pytest.mark.parametrize("mode", ["Batch", "Stream"])
async def test_a_changed_parameter_has_a_running_flow_planned_anew(
    started: Started, document: Document, mode: str
) -> None:
    one = await started(mode=mode)
    first = one.pod["metadata"]["name"]
    one.kube.clock = lambda: one.now
    one.change(kinds.DATA_FLOW, "flow", spec={"functionParameters": BLUR})
    await one.settle()
    assert one.condition("Running")["reason"] == "SpecChanged" and one.condition("Accepted")["observedGeneration"] == 1
    stopped = (
        document("Succeeded", reason="Stopped", frames=70, position=70)
        if mode == "Stream"
        else document("Failed", reason="Stopped")
    )
    one.pod_ends(0 if mode == "Stream" else 143, json.dumps(stopped))
    await one.settle()
    assert one.condition("Accepted")["observedGeneration"] == 2 and "failures" not in one.status
    assert one.plan()["attempt"] == {"number": 2, "startFrame": 70 if mode == "Stream" else 0}
    assert next(f for f in one.plan()["functions"] if f["name"] == "soft")["parameters"] == {"radius": 5}
    assert one.pod["metadata"]["name"] != first
    assert [e["reason"] for e in one.kube.events] == ["SpecChanged"]


async def test_what_runs_goes_on_when_the_change_can_not_be_run(started: Started) -> None:
    one = await started()
    wrong = [{"function": "soft", "parameters": {"radius": 0}}]
    one.change(kinds.DATA_FLOW, "flow", spec={"functionParameters": wrong})
    await one.settle()
    accepted = one.condition("Accepted")
    assert (accepted["status"], accepted["reason"], accepted["observedGeneration"]) == ("True", "InvalidChange", 1)
    assert "spec.functionParameters[0].parameters.radius" in accepted["message"]
    assert one.status["phase"] == "Running" and one.plan()["attempt"]["number"] == 1
    one.change(kinds.DATA_FLOW, "flow", spec={"functionParameters": None})
    await one.settle()
    assert (one.condition("Accepted")["reason"], one.condition("Accepted")["observedGeneration"]) == ("Valid", 3)


@pytest.mark.parametrize("change", [{"retries": {"limit": 5}}, {"ttlSecondsAfterFinished": 9}, {"parameters": {}}])
async def test_a_change_that_the_worker_does_not_see_leaves_it_alone(started: Started, change: JsonObject) -> None:
    one = await started()
    uid = one.pod["metadata"]["uid"]
    one.kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")  # what runs, runs by its plan
    one.change(kinds.DATA_FLOW, "flow", spec=change)
    await one.settle()
    assert one.pod["metadata"]["uid"] == uid and one.condition("Accepted")["observedGeneration"] == 2


async def test_an_inline_chain_that_lost_a_function_leaves_no_trace_of_it(
    started: Started, abstracts: list[JsonObject]
) -> None:
    chain = next(o for o in abstracts if o["kind"] == "FunctionChain")["spec"]
    one = await started(chainRef=None, chain=chain)
    short = json.loads(json.dumps(chain))
    short["functions"] = [f for f in short["functions"] if f["name"] != "soft"]
    short["connections"] = [
        {"from": "in.frames", "to": "both.a"},
        {"from": "in.frames", "to": "both.b"},
        {"from": "both.frames", "to": "out.frames"},
    ]
    one.change(kinds.DATA_FLOW, "flow", spec={"chain": short})
    await one.settle()
    assert one.children()["WBFunction"] == ["flow.both", "flow.in", "flow.out"]
    assert len(one.children()["WBConnection"]) == 3 and one.plan()["attempt"]["number"] == 2


def without_owner(obj: JsonObject, **meta: Any) -> JsonObject:
    copy: JsonObject = json.loads(json.dumps(obj))
    copy["metadata"]["ownerReferences"] = []
    copy["metadata"] |= meta
    return copy


@pytest.mark.parametrize("kind", [kinds.POD, kinds.CONFIG_MAP, kinds.WB_FUNCTION, kinds.WB_CONNECTION])
async def test_children_that_lost_their_owner_get_it_back(started: Started, kind: Any) -> None:
    one = await started()
    uid = one.flow["metadata"]["uid"]
    child = one.store.owned(kind, uid)[0]
    one.kube.put(kind, without_owner(child))
    await one.settle()
    again = one.kube.objects[kind.kind, "default", child["metadata"]["name"]]
    assert again["metadata"]["ownerReferences"][0]["uid"] == uid
    assert again["metadata"]["uid"] == child["metadata"]["uid"], "the same object"
    assert one.status["phase"] == "Running" and one.status["attempt"] == 1


async def test_what_an_earlier_flow_of_the_name_left_is_replaced(world: MakeWorld) -> None:
    other = world()
    await other.settle()
    left = without_owner(other.pod, uid="of-old", annotations={"accelchain.io/dataflow-uid": "gone"})
    one = world()
    one.kube.objects["Pod", "default", left["metadata"]["name"]] = left
    with pytest.raises(Exception, match="left from an earlier flow"):
        await one.settle()
    await one.settle()
    assert one.pod["metadata"]["uid"] != "of-old"


async def test_a_lost_status_is_found_again_in_the_plan(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 2})
    one.pod_ends(1, json.dumps(document("Failed", reason="DeviceFailed")))
    await one.settle()
    one.now += 5
    await one.settle()
    flow = json.loads(json.dumps(one.flow))
    for field in ("attempt", "failures", "failedAttempts"):
        del flow["status"][field]
    one.kube.put(kinds.DATA_FLOW, flow)
    await one.settle()
    assert one.plan()["attempt"]["number"] == 2 and one.pod is not None


async def test_a_flow_that_is_cancelled_after_it_published_has_succeeded(
    started: Callable[..., Any], document: Callable[..., JsonObject]
) -> None:
    world = await started()
    world.worker_says(document("Succeeded"))
    world.change(kinds.DATA_FLOW, "flow", spec={"cancel": True})
    await world.settle()
    assert world.condition("Failed")["status"] == "Unknown"
    world.pod_ends(0, json.dumps(document("Succeeded")))
    await world.settle()
    assert world.status["phase"] == "Succeeded"


@pytest.mark.parametrize("who", ["dataflow", "scheduler"])
async def test_who_looked_before_a_flow_ended_writes_nothing_over_its_end(
    world: MakeWorld, document: Document, who: str
) -> None:
    one = world()
    await one.applier.run(one.actions_now(), "accelchain-dataflow")  # it is to be placed
    if who == "dataflow":
        await one.settle()
        one.begins(document("Running"))
    tell, one.kube.on_change = one.kube.on_change, lambda *_: None  # the operator's watch is late
    ended = copy.deepcopy(one.flow)
    ended["status"] |= {"phase": "Failed", "message": "ended by another operator"}
    for condition in ended["status"]["conditions"]:
        condition["status"] = {"Failed": "True", "Running": "False"}.get(condition["type"], condition["status"])
    one.kube.put(kinds.DATA_FLOW, ended)
    one.kube.on_change = tell
    with pytest.raises(ApiError, match="modified"):
        await (one.place() if who == "scheduler" else one.step())
    one.store.put(kinds.DATA_FLOW, one.kube.objects["DataFlow", "default", "flow"])
    await one.settle()
    assert one.kube.objects["DataFlow", "default", "flow"]["status"] == ended["status"]
