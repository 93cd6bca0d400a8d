# SPDX-License-Identifier: Apache-2.0
"""A DataFlow's life as the reconcilers decide it, against an API in memory: real applier, store and scheduler."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import NameTakenError
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.dataflow import reconcile
from accelchain_operators.reconcile.deadline import DEADLINE_GRACE
from accelchain_operators.reconcile.running import END_GRACE

MakeWorld = Callable[..., Any]
Started = Callable[..., Any]
PLAN_SCHEMA = Path(__file__).parents[2] / "runtime/accelchain_runtime/engine/plan.schema.json"
BEGIN = 1_800_000_000.0
WORKER = "flow-laptop-1be39"
"""The Pod of flow ``flow`` on node ``laptop``."""


async def test_an_accepted_flow_gets_its_individual_layer_plan_and_pod(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    assert one.condition("Accepted")["status"] == one.condition("Scheduled")["status"] == "True"
    assert one.status["phase"] == "Pending"
    assert one.children() == {
        "WBFunction": ["flow.both", "flow.in", "flow.out", "flow.soft"],
        "WBConnection": [
            "flow.both.frames.out.frames",
            "flow.in.frames.both.b",
            "flow.in.frames.soft.frames",
            "flow.soft.frames.both.a",
        ],
        "ConfigMap": [WORKER],
        "Pod": [WORKER],
    }
    soft = one.kube.objects["WBFunction", "default", "flow.soft"]["spec"]
    assert (soft["device"], soft["api"], soft["implementation"], soft["nodeName"]) == (
        "cpu0",
        "opencl",
        "opencl",
        "laptop",
    )


async def test_the_plan_fits_the_runtimes_schema_and_names_where_parameters_came_from(
    world: MakeWorld,
) -> None:
    one = world(activeDeadlineSeconds=60)
    await one.settle()
    plan = one.plan()
    jsonschema.validate(plan, json.loads(PLAN_SCHEMA.read_text()))
    assert plan["tokenSha256"] == hashlib.sha256(b"secret").hexdigest()
    assert plan["deadlineSeconds"] == 60
    assert {d["name"]: d["deviceId"] for d in plan["devices"]} == {"host": "host", "cpu0": "PoCL/cpu/0"}
    source = next(f for f in plan["functions"] if f["name"] == "in")
    assert source["parameters"]["uri"] == "file:///in.mp4"
    assert source["origins"]["uri"] == "spec.inputs.video.uri"


async def test_the_pod_is_restricted_holds_no_api_token_and_is_owned_by_the_flow(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    assert one.pod is not None
    spec, container = one.pod["spec"], one.pod["spec"]["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    for kind in ("Pod", "Secret", "ConfigMap"):
        (owner,) = one.kube.objects[kind, "default", WORKER]["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (one.flow["metadata"]["uid"], True)


EDGE_RATE = {"from": "in.frames", "to": "soft.frames", "framesPerSecond": 1}


@pytest.mark.parametrize(
    ("spec", "reason", "path"),
    [
        ({"chainRef": {"name": "nothing"}}, "UnknownChain", "spec.chainRef"),
        ({"inputs": {}}, "MissingInput", "spec.inputs"),
        ({"functionParameters": [{"function": "soft", "parameters": {"radius": 0}}]}, "InvalidParameter", "radius"),
        ({"placement": {"rules": [{"function": "soft", "devices": ["gpu7"]}]}}, "UnknownDevice", "spec.placement"),
        ({"rate": {"framesPerSecond": 1e6}}, "RateUnreachable", "spec.rate"),
        ({"rate": {"framesPerSecond": 1, "connections": [EDGE_RATE]}}, "NotSupported", "spec.rate.connections"),
    ],
)
async def test_what_cannot_run_is_refused_with_the_fields_path_and_leaves_nothing(
    world: MakeWorld, spec: JsonObject, reason: str, path: str
) -> None:
    one = world(**spec)
    await one.settle()
    accepted = one.condition("Accepted")
    assert (accepted["status"], accepted["reason"], one.status["phase"]) == ("False", reason, "Refused")
    assert path in accepted["message"]
    assert not any(one.children().values())
    assert [e["reason"] for e in one.kube.events] == [reason]


async def test_a_refused_flow_runs_when_what_it_lacked_arrives(world: MakeWorld, abstracts: list[JsonObject]) -> None:
    chain = next(o for o in abstracts if o["kind"] == "FunctionChain")
    abstracts.remove(chain)
    one = world()
    await one.settle()
    assert one.condition("Accepted")["reason"] == "UnknownChain"
    one.kube.put(kinds.FUNCTION_CHAIN, chain)
    await one.settle()
    assert one.pod is not None


async def test_a_flow_without_inventory_is_accepted_and_waits(world: MakeWorld, abstracts: list[JsonObject]) -> None:
    del abstracts[-1]
    one = world()
    await one.settle()
    assert one.condition("Accepted")["status"] == "True"
    assert (one.condition("Scheduled")["status"], one.condition("Scheduled")["reason"]) == ("False", "NoInventory")
    assert one.pod is None


async def test_a_running_worker_shows_in_the_flow_and_in_the_individual_layer(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    assert one.condition("Running")["status"] == "True"
    assert one.status["progress"] == {"frames": 41, "total": 100, "framesPerSecond": 27.12}
    assert one.status["edges"][0]["mechanism"] == "shared-host"
    assert one.status["startTime"] == "2027-01-15T08:00:00Z"
    assert one.status["workers"] == [
        {
            "pod": WORKER,
            "node": "laptop",
            "address": "127.9.9.9:9090",
            "secret": WORKER,
            "live": ["/live/out.mjpeg"],
        }
    ]
    assert one.kube.objects["WBFunction", "default", "flow.in"]["status"]["phase"] == "Running"
    assert one.kube.objects["WBConnection", "default", "flow.in.frames.both.b"]["status"]["mechanism"] == "shared-host"
    (watch,) = one.actions.watch_workers
    assert (watch.url, watch.token) == ("http://127.9.9.9:9090/stream", "secret")


async def test_figures_are_written_only_when_they_are_due(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    one.worker_says(document("Running", frames=60))
    assert await one.step() == 0
    assert one.actions.requeue_after == 10.0
    one.progress_due = True
    assert await one.step() == 1
    assert one.status["progress"]["frames"] == 60


async def test_a_flow_that_did_its_work_reports_results(started: Started, document: Callable[..., JsonObject]) -> None:
    one = await started()
    one.pod_ends(0, json.dumps(document("Succeeded", frames=100, functions=[], edges=[])))
    await one.settle()
    assert one.status["phase"] == "Succeeded"
    values = {c["type"]: c["status"] for c in one.status["conditions"]}
    assert values == {
        "Accepted": "True",
        "Scheduled": "True",
        "Running": "False",
        "Succeeded": "True",
        "Failed": "False",
    }
    assert one.status["completionTime"] == "2027-01-15T08:00:05Z"
    assert one.status["outputs"] == {
        "parameters": [{"name": "out.frames", "value": "100"}],
        "artifacts": [{"name": "film", "uri": "file:///out.mp4"}],
    }
    assert one.status["edges"][0]["mechanism"] == "shared-host", "from the stream: the message was cut"
    assert one.kube.objects["WBFunction", "default", "flow.in"]["status"]["phase"] == "Succeeded"
    assert one.pod is not None, "its log can still be read"
    assert one.actions.watch_workers == ()


async def test_a_result_is_not_lost_when_the_stream_never_was_open(
    world: MakeWorld, document: Callable[..., JsonObject]
) -> None:
    one = world()
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded", frames=100)))
    await one.settle()
    assert (one.status["phase"], one.status["progress"]["frames"]) == ("Succeeded", 100)


async def test_a_stream_that_ends_by_itself_has_succeeded(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started(mode="Stream")
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    assert one.condition("Succeeded")["status"] == "True"


async def test_the_workers_own_reason_is_the_flows_and_names_the_field(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    end = document("Failed", reason="InvalidInput", message="no video stream", parameter="spec.inputs.video.uri")
    one.pod_ends(2, json.dumps(end))
    await one.settle()
    failed = one.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "InvalidInput")
    assert failed["message"] == "spec.inputs.video.uri: no video stream"
    assert one.condition("Succeeded")["status"] == "False"
    assert one.kube.objects["WBConnection", "default", "flow.in.frames.both.b"]["status"]["phase"] == "Failed"


@pytest.mark.parametrize("message", ["", "Killed", '{"phase": "Running"}', '{"phase": 3}', "[]"])
async def test_a_worker_that_dies_without_a_result_is_lost(
    started: Started, document: Callable[..., JsonObject], message: str
) -> None:
    one = await started()
    one.pod_ends(137, message)
    await one.settle()
    failed = one.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "WorkerLost")
    assert "exit code 137" in failed["message"] and f"kubectl logs {WORKER}" in failed["message"]


async def test_a_deleted_pod_of_a_running_flow_is_a_lost_worker(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.condition("Failed")["reason"] == "WorkerLost"
    assert one.pod is None, "no second worker"


async def test_a_pod_that_vanishes_before_its_worker_began_is_made_again(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.pod is not None


def another_node(abstracts: list[JsonObject], name: str) -> JsonObject:
    node: JsonObject = json.loads(json.dumps(abstracts[-1]))
    node["metadata"] = {"name": name}
    node["spec"]["nodeName"] = name
    return node


@pytest.mark.parametrize("spec_changed", [False, True])
async def test_a_node_that_vanishes_before_the_worker_began_sends_the_flow_elsewhere(
    world: MakeWorld, abstracts: list[JsonObject], spec_changed: bool
) -> None:
    one = world()
    await one.settle()
    if spec_changed:
        flow = json.loads(json.dumps(one.flow))
        flow["spec"]["inputs"]["video"]["uri"] = "file:///other.mp4"
        flow["metadata"]["generation"] = 2
        one.kube.put(kinds.DATA_FLOW, flow)
        await one.settle()
        assert one.condition("Accepted")["observedGeneration"] == 2
    one.kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
    await one.settle()
    assert (one.pod, one.children()["ConfigMap"], one.status["phase"]) == (None, [], "Pending")
    assert one.condition("Scheduled")["reason"] == "NoInventory"
    one.kube.put(kinds.COMPUTE_RESOURCE, another_node(abstracts, "desk"))
    await one.settle()
    assert one.plan()["node"] == "desk"
    assert one.pod is not None and one.pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "desk"}
    assert {f["spec"]["nodeName"] for f in one.store.owned(kinds.WB_FUNCTION, one.flow["metadata"]["uid"])} == {"desk"}
    uri = "file:///other.mp4" if spec_changed else "file:///in.mp4"
    assert next(f for f in one.plan()["functions"] if f["name"] == "in")["parameters"]["uri"] == uri


async def test_no_second_worker_begins_before_the_one_at_the_old_place_has_ended(
    world: MakeWorld, abstracts: list[JsonObject], document: Callable[..., JsonObject]
) -> None:
    one = world()
    await one.settle()
    one.pod_status("Running", running={})
    pod = json.loads(json.dumps(one.pod))
    pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    one.kube.put(kinds.POD, pod)
    one.kube.put(kinds.COMPUTE_RESOURCE, another_node(abstracts, "desk"))
    one.kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
    await one.settle()
    assert one.children()["Pod"] == [WORKER] and one.plan()["node"] == "laptop"
    running = one.condition("Running")
    assert (running["status"], running["reason"]) == ("False", "PlacementChanged") and WORKER in running["message"]
    pod = json.loads(json.dumps(one.pod))
    ended = {"exitCode": 143, "message": json.dumps(document("Failed", reason="Stopped"))}
    pod["status"] |= {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": {"terminated": ended}}]}
    one.kube.put(kinds.POD, pod)
    await one.settle()
    assert one.status["phase"] == "Pending", "it was stopped, it did not fail"
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.plan()["node"] == "desk" and one.children()["Pod"] != [WORKER]
    assert one.condition("Running")["reason"] == "NotStarted"


async def test_a_result_counts_even_if_the_node_vanished_before_it_was_seen(
    world: MakeWorld, document: Callable[..., JsonObject]
) -> None:
    one = world()
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    one.kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
    await one.settle()
    assert one.status["phase"] == "Succeeded"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_worker_that_has_its_result_and_does_not_end_is_stopped(
    started: Started, document: Callable[..., JsonObject], phase: str
) -> None:
    one = await started()
    one.worker_says(document(phase, frames=100, reason="" if phase == "Succeeded" else "DeviceFailed"))
    one.now += END_GRACE - 1
    await one.settle()
    assert one.status["phase"] == "Running"
    assert one.actions.requeue_after == pytest.approx(1.0)
    one.now += 1
    await one.settle()
    assert one.status["phase"] == phase
    assert one.condition(phase)["reason"] == ("Completed" if phase == "Succeeded" else "DeviceFailed")
    assert one.status["progress"]["frames"] == 100
    assert one.pod is None


async def test_a_placement_that_lacks_a_function_is_completed_and_nothing_is_made_up(
    world: MakeWorld,
) -> None:
    one = world()
    await one.settle()
    flow = json.loads(json.dumps(one.flow))
    lost = flow["status"]["placement"].pop()
    one.kube.put(kinds.DATA_FLOW, flow)
    await one.settle()
    assert lost in one.status["placement"] and one.pod is not None
    kept = one.kube.objects["WBFunction", "default", f"flow.{lost['function']}"]["spec"]
    assert (kept["device"], kept["load"], kept["deviceType"]) == (lost["device"], lost["load"], lost["deviceType"])


async def test_a_refused_flow_gives_its_devices_back(world: MakeWorld) -> None:
    one = world()
    one.actions = reconcile(one.snapshot())
    await one.step()
    assert one.status["placement"] and one.pod is None
    chain = json.loads(json.dumps(one.kube.objects["FunctionChain", "default", "demo"]))
    del chain["metadata"]["uid"]
    one.kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")
    await one.settle()
    assert one.status["phase"] == "Refused"
    assert (one.condition("Scheduled")["reason"], one.status.get("placement")) == ("NotAccepted", None)
    one.kube.put(kinds.FUNCTION_CHAIN, chain)
    await one.settle()
    assert one.pod is not None


async def test_a_worker_that_overruns_its_deadline_is_stopped_by_the_operator(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started(activeDeadlineSeconds=60)
    one.now = 1_800_000_000.0 + 60 + DEADLINE_GRACE - 1  # the pod's startTime is BEGIN
    await one.settle()
    assert one.status["phase"] == "Running"
    assert one.actions.requeue_after == pytest.approx(1.0)
    one.now += 1
    await one.settle()
    assert one.condition("Failed")["reason"] == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds" in one.condition("Failed")["message"]
    assert one.pod is None


async def test_why_a_pod_does_not_start_is_said_and_taken_back(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    one.pod_status("Pending", waiting={"reason": "ErrImagePull", "message": "no such image"})
    await one.settle()
    assert (one.condition("Running")["status"], one.condition("Running")["reason"]) == ("False", "ErrImagePull")
    one.pod_status("Running", running={})
    await one.settle()
    assert one.condition("Running")["reason"] == "NotStarted"


async def test_individual_objects_of_a_running_flow_come_back_and_are_corrected(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    one.kube.drop(kinds.WB_FUNCTION, "flow.soft", "default")
    edited = json.loads(json.dumps(one.kube.objects["WBFunction", "default", "flow.in"]))
    edited["spec"]["device"] = "gpu9"
    one.kube.put(kinds.WB_FUNCTION, edited)
    await one.settle()
    again = one.kube.objects["WBFunction", "default", "flow.soft"]
    assert (again["spec"]["device"], again["status"]["phase"]) == ("cpu0", "Running")
    assert one.kube.objects["WBFunction", "default", "flow.in"]["spec"]["device"] == "host"


async def test_a_change_of_types_or_chain_does_not_touch_what_runs(
    started: Started, document: Callable[..., JsonObject]
) -> None:
    one = await started()
    one.kube.drop(kinds.FUNCTION_TYPE, "blur")
    one.kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")
    one.kube.writes.clear()
    await one.settle()
    assert one.kube.writes == []
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    assert one.status["phase"] == "Succeeded"


async def test_a_changed_spec_of_a_flow_that_waits_is_looked_at_anew(
    world: MakeWorld, abstracts: list[JsonObject]
) -> None:
    inventory = abstracts.pop()
    one = world()
    await one.settle()
    flow = json.loads(json.dumps(one.flow))
    flow["spec"]["inputs"]["video"]["uri"] = "file:///other.mp4"
    flow["metadata"]["generation"] = 2
    one.kube.put(kinds.DATA_FLOW, flow)
    await one.settle()
    assert one.condition("Accepted")["observedGeneration"] == 2
    one.kube.put(kinds.COMPUTE_RESOURCE, inventory)
    await one.settle()
    assert one.plan()["functions"][0]["parameters"]["uri"] == "file:///other.mp4"


async def test_a_flow_that_is_being_deleted_gets_nothing_any_more(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    flow = json.loads(json.dumps(one.flow))
    flow["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    one.kube.put(kinds.DATA_FLOW, flow)
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.pod is None


async def test_a_name_that_is_taken_is_told_and_waited_for(world: MakeWorld) -> None:
    one = world()
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": WORKER, "namespace": "default", "uid": "u"},
    }
    one.kube.objects["Pod", "default", WORKER] = {**foreign, "spec": {}}
    with pytest.raises(NameTakenError, match=f"Pod {WORKER} exists and belongs to nobody") as taken:
        await one.settle()
    one.conflict = str(taken.value)
    with pytest.raises(NameTakenError):
        await one.settle()
    assert one.condition("Running")["reason"] == "NameTaken"
    del one.kube.objects["Pod", "default", WORKER]
    one.conflict = ""
    await one.settle()
    assert one.pod is not None and one.condition("Running")["reason"] == "NotStarted"


async def test_a_secret_that_was_lost_is_made_anew_together_with_the_plan(world: MakeWorld) -> None:
    one = world()
    await one.settle()
    one.kube.drop(kinds.POD, WORKER, "default")
    one.kube.drop(kinds.SECRET, WORKER, "default")
    config_map = json.loads(json.dumps(one.kube.objects["ConfigMap", "default", WORKER]))
    config_map["data"]["plan.json"] = json.dumps({**one.plan(), "tokenSha256": "of-a-token-that-is-gone"})
    one.kube.put(kinds.CONFIG_MAP, config_map)
    await one.settle()
    assert one.plan()["tokenSha256"] == hashlib.sha256(b"secret").hexdigest()
    assert one.pod is not None


@pytest.mark.parametrize("name", ["f" * 63, "f" * 253, "a.flow.with.dots", "x" * 252 + "a", "x" * 252 + "b"])
async def test_flows_of_any_name_get_children_with_valid_names(world: MakeWorld, name: str) -> None:
    one = world(name=name)
    await one.settle()
    for names in one.children().values():
        assert names and all(len(n) <= 253 for n in names)
    assert one.pod is not None and len(one.pod["metadata"]["name"]) <= 63
    assert len(one.children()["WBFunction"]) == 4
    assert all(len(value) <= 63 for value in one.pod["metadata"]["labels"].values())


async def test_five_functions_and_their_end_take_few_writes(
    world: MakeWorld, document: Callable[..., JsonObject]
) -> None:
    one = world()
    one.kube.writes.append(("create", "DataFlow", "flow"))
    await one.settle()
    one.pod_status("Running", running={})
    one.worker_says(document("Running"))
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    # 4 functions and 4 edges here; the limit of 45 is for 5 and 4, with 4 writes of the kubelet.
    assert len(one.kube.writes) <= 35
    before = len(one.kube.writes)
    await one.settle()
    assert len(one.kube.writes) == before
