# SPDX-License-Identifier: Apache-2.0
"""A DataFlow's life as the reconcilers decide it, against an API in memory: real applier, store and scheduler."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier, NameTakenError
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.store import Store
from accelchain_operators.reconcile import schedule
from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.dataflow import DEADLINE_GRACE, END_GRACE, reconcile
from accelchain_operators.reconcile.snapshot import FlowSnapshot

PLAN_SCHEMA = Path(__file__).parents[2] / "runtime/accelchain_runtime/engine/plan.schema.json"
BEGIN = 1_800_000_000.0
WORKER = "flow-laptop-8a2d9"
"""The Pod of flow ``flow`` on node ``laptop``."""


class World:
    """One flow, the operators and a kubelet that does what a test says, without a loop of their own."""

    def __init__(self, kube: Any, objects: list[JsonObject], flow: JsonObject) -> None:
        self.kube = kube
        self.now = BEGIN
        self.documents: dict[str, JsonObject] = {}
        self.since: dict[str, float] = {}
        self.progress_due = False
        self.conflict = ""
        self.actions = Actions()
        self.store = Store(lambda *_: None)
        kube.on_change = self._changed
        self.applier = Applier(kube, self.store, Recorder(kube, "test", self._clock), lambda _: None, self._clock)
        self.name = flow["metadata"]["name"]
        for obj in [*objects, flow]:
            kube.put(kinds.BY_KIND[obj["apiVersion"], obj["kind"]], obj)
        kube.writes.clear()

    def _clock(self) -> float:
        return self.now

    def _changed(self, type: Any, event: str, obj: JsonObject) -> None:
        if type in kinds.WATCHED:
            self.store.remove(type, obj) if event == "DELETED" else self.store.put(type, obj)

    @property
    def flow(self) -> JsonObject:
        found = self.store.get(kinds.DATA_FLOW, "default", self.name)
        assert found is not None
        return found

    @property
    def status(self) -> JsonObject:
        return self.flow.get("status") or {}

    @property
    def pod(self) -> JsonObject | None:
        return next(iter(self.store.owned(kinds.POD, self.flow["metadata"]["uid"])), None)

    def condition(self, type: str) -> JsonObject:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == type), {})

    def snapshot(self) -> FlowSnapshot:
        store, uid = self.store, self.flow["metadata"]["uid"]
        return FlowSnapshot(
            flow=self.flow,
            now=self.now,
            chains=store.all(kinds.FUNCTION_CHAIN, "default"),
            types=store.all(kinds.FUNCTION_TYPE),
            resources=store.all(kinds.COMPUTE_RESOURCE),
            pods=store.owned(kinds.POD, uid),
            config_maps=store.owned(kinds.CONFIG_MAP, uid),
            functions=store.owned(kinds.WB_FUNCTION, uid),
            connections=store.owned(kinds.WB_CONNECTION, uid),
            documents=self.documents,
            phase_since=self.since,
            token="secret",
            progress_due=self.progress_due,
            conflict=self.conflict,
        )

    async def step(self) -> int:
        """Reconcile the flow, then the schedule; return the number of writes."""
        before = len(self.kube.writes)
        self.actions = reconcile(self.snapshot())
        await self.applier.run(self.actions, "accelchain-dataflow")
        placed = schedule.reconcile(
            schedule.ScheduleSnapshot(
                flows=self.store.all(kinds.DATA_FLOW),
                chains=self.store.all(kinds.FUNCTION_CHAIN),
                types=self.store.all(kinds.FUNCTION_TYPE),
                resources=self.store.all(kinds.COMPUTE_RESOURCE),
            )
        )
        await self.applier.run(placed, "accelchain-scheduler")
        return len(self.kube.writes) - before

    async def settle(self) -> None:
        for _ in range(20):
            if not await self.step():
                return
        raise AssertionError(f"no rest after 20 rounds: {self.kube.writes[-8:]}")

    def pod_status(self, phase: str, **container: Any) -> None:
        assert self.pod is not None
        pod = json.loads(json.dumps(self.pod))
        pod["status"] = {"phase": phase, "podIP": "127.9.9.9", "startTime": "2027-01-15T08:00:00Z"}
        if container:
            pod["status"]["containerStatuses"] = [{"name": "worker", "state": container}]
        self.kube.put(kinds.POD, pod)

    def worker_says(self, document: JsonObject) -> None:
        assert self.pod is not None
        uid = self.pod["metadata"]["uid"]
        if self.documents.get(uid, {}).get("phase") != document["phase"]:
            self.since[uid] = self.now
        self.documents[uid] = document

    def pod_ends(self, code: int, message: str = "") -> None:
        ended = {"exitCode": code, "message": message, "finishedAt": "2027-01-15T08:00:05Z"}
        self.pod_status("Failed" if code else "Succeeded", terminated=ended)

    def children(self) -> dict[str, list[str]]:
        uid = self.flow["metadata"]["uid"]
        return {
            type.kind: [o["metadata"]["name"] for o in self.store.owned(type, uid)]
            for type in (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.CONFIG_MAP, kinds.POD)
        }

    def plan(self) -> JsonObject:
        (config_map,) = self.store.owned(kinds.CONFIG_MAP, self.flow["metadata"]["uid"])
        plan: JsonObject = json.loads(config_map["data"]["plan.json"])
        return plan


@pytest.fixture
def world(fake_kube: Any, abstracts: list[JsonObject], make_flow: Callable[..., JsonObject]) -> Callable[..., World]:
    def make(**spec: Any) -> World:
        name = spec.pop("name", "flow")
        return World(fake_kube, abstracts, make_flow(name, **spec))

    return make


async def started(world: Callable[..., World], document: Callable[..., JsonObject], **spec: Any) -> World:
    """Return a world whose worker runs."""
    one = world(**spec)
    await one.settle()
    one.pod_status("Running", running={})
    one.worker_says(document("Running"))
    await one.settle()
    assert one.status["phase"] == "Running"
    return one


async def test_an_accepted_flow_gets_its_individual_layer_plan_and_pod(world: Callable[..., World]) -> None:
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
    world: Callable[..., World],
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


async def test_the_pod_is_restricted_holds_no_api_token_and_is_owned_by_the_flow(world: Callable[..., World]) -> None:
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


@pytest.mark.parametrize(
    ("spec", "reason", "path"),
    [
        ({"chainRef": {"name": "nothing"}}, "UnknownChain", "spec.chainRef"),
        ({"inputs": {}}, "MissingInput", "spec.inputs"),
        ({"functionParameters": [{"function": "soft", "parameters": {"radius": 0}}]}, "InvalidParameter", "radius"),
        ({"placement": {"rules": [{"function": "soft", "devices": ["gpu7"]}]}}, "UnknownDevice", "spec.placement"),
        ({"rate": {"framesPerSecond": 1e6}}, "RateUnreachable", "spec.rate"),
        ({"suspend": True}, "NotSupported", "spec.suspend"),
    ],
)
async def test_what_cannot_run_is_refused_with_the_fields_path_and_leaves_nothing(
    world: Callable[..., World], spec: JsonObject, reason: str, path: str
) -> None:
    one = world(**spec)
    await one.settle()
    accepted = one.condition("Accepted")
    assert (accepted["status"], accepted["reason"], one.status["phase"]) == ("False", reason, "Refused")
    assert path in accepted["message"]
    assert not any(one.children().values())
    assert [e["reason"] for e in one.kube.events] == [reason]


async def test_a_refused_flow_runs_when_what_it_lacked_arrives(
    world: Callable[..., World], abstracts: list[JsonObject]
) -> None:
    chain = next(o for o in abstracts if o["kind"] == "FunctionChain")
    abstracts.remove(chain)
    one = world()
    await one.settle()
    assert one.condition("Accepted")["reason"] == "UnknownChain"
    one.kube.put(kinds.FUNCTION_CHAIN, chain)
    await one.settle()
    assert one.pod is not None


async def test_a_flow_without_inventory_is_accepted_and_waits(
    world: Callable[..., World], abstracts: list[JsonObject]
) -> None:
    del abstracts[-1]
    one = world()
    await one.settle()
    assert one.condition("Accepted")["status"] == "True"
    assert (one.condition("Scheduled")["status"], one.condition("Scheduled")["reason"]) == ("False", "NoInventory")
    assert one.pod is None


async def test_a_running_worker_shows_in_the_flow_and_in_the_individual_layer(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
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
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
    one.worker_says(document("Running", frames=60))
    assert await one.step() == 0
    assert one.actions.requeue_after == 10.0
    one.progress_due = True
    assert await one.step() == 1
    assert one.status["progress"]["frames"] == 60


async def test_a_flow_that_did_its_work_reports_results(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
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
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = world()
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded", frames=100)))
    await one.settle()
    assert (one.status["phase"], one.status["progress"]["frames"]) == ("Succeeded", 100)


async def test_a_stream_that_ends_by_itself_has_succeeded(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document, mode="Stream")
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    assert one.condition("Succeeded")["status"] == "True"


async def test_the_workers_own_reason_is_the_flows_and_names_the_field(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
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
    world: Callable[..., World], document: Callable[..., JsonObject], message: str
) -> None:
    one = await started(world, document)
    one.pod_ends(137, message)
    await one.settle()
    failed = one.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "WorkerLost")
    assert "exit code 137" in failed["message"] and f"kubectl logs {WORKER}" in failed["message"]


async def test_a_deleted_pod_of_a_running_flow_is_a_lost_worker(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.condition("Failed")["reason"] == "WorkerLost"
    assert one.pod is None, "no second worker"


async def test_a_pod_that_vanishes_before_its_worker_began_is_made_again(world: Callable[..., World]) -> None:
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
    world: Callable[..., World], abstracts: list[JsonObject], spec_changed: bool
) -> None:
    one = world()
    await one.settle()
    if spec_changed:
        flow = json.loads(json.dumps(one.flow))
        flow["spec"]["inputs"]["video"]["uri"] = "file:///other.mp4"
        flow["metadata"]["generation"] = 2
        one.kube.put(kinds.DATA_FLOW, flow)
        await one.settle()
        assert one.condition("Accepted")["reason"] == "SpecChangedAfterStart"
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
    world: Callable[..., World], abstracts: list[JsonObject], document: Callable[..., JsonObject]
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
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = world()
    await one.settle()
    one.pod_ends(0, json.dumps(document("Succeeded")))
    one.kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
    await one.settle()
    assert one.status["phase"] == "Succeeded"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_worker_that_has_its_result_and_does_not_end_is_stopped(
    world: Callable[..., World], document: Callable[..., JsonObject], phase: str
) -> None:
    one = await started(world, document)
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
    world: Callable[..., World],
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


async def test_a_refused_flow_gives_its_devices_back(world: Callable[..., World]) -> None:
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
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document, activeDeadlineSeconds=60)
    one.now = 1_800_000_000.0 + 60 + DEADLINE_GRACE - 1  # the pod's startTime is BEGIN
    await one.settle()
    assert one.status["phase"] == "Running"
    assert one.actions.requeue_after == pytest.approx(1.0)
    one.now += 1
    await one.settle()
    assert one.condition("Failed")["reason"] == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds" in one.condition("Failed")["message"]
    assert one.pod is None


async def test_why_a_pod_does_not_start_is_said_and_taken_back(world: Callable[..., World]) -> None:
    one = world()
    await one.settle()
    one.pod_status("Pending", waiting={"reason": "ErrImagePull", "message": "no such image"})
    await one.settle()
    assert (one.condition("Running")["status"], one.condition("Running")["reason"]) == ("False", "ErrImagePull")
    one.pod_status("Running", running={})
    await one.settle()
    assert one.condition("Running")["reason"] == "NotStarted"


async def test_individual_objects_of_a_running_flow_come_back_and_are_corrected(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
    one.kube.drop(kinds.WB_FUNCTION, "flow.soft", "default")
    edited = json.loads(json.dumps(one.kube.objects["WBFunction", "default", "flow.in"]))
    edited["spec"]["device"] = "gpu9"
    one.kube.put(kinds.WB_FUNCTION, edited)
    await one.settle()
    again = one.kube.objects["WBFunction", "default", "flow.soft"]
    assert (again["spec"]["device"], again["status"]["phase"]) == ("cpu0", "Running")
    assert one.kube.objects["WBFunction", "default", "flow.in"]["spec"]["device"] == "host"


async def test_a_change_of_types_or_chain_does_not_touch_what_runs(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
    one.kube.drop(kinds.FUNCTION_TYPE, "blur")
    one.kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")
    one.kube.writes.clear()
    await one.settle()
    assert one.kube.writes == []
    one.pod_ends(0, json.dumps(document("Succeeded")))
    await one.settle()
    assert one.status["phase"] == "Succeeded"


async def test_a_changed_spec_of_a_running_flow_has_no_effect_and_the_flow_says_so(
    world: Callable[..., World], document: Callable[..., JsonObject]
) -> None:
    one = await started(world, document)
    plan = one.plan()
    flow = json.loads(json.dumps(one.flow))
    flow["spec"]["inputs"]["video"]["uri"] = "file:///other.mp4"
    flow["metadata"]["generation"] = 2
    one.kube.put(kinds.DATA_FLOW, flow)
    await one.settle()
    accepted = one.condition("Accepted")
    assert (accepted["status"], accepted["observedGeneration"]) == ("True", 1)
    assert "create it anew" in accepted["message"]
    assert one.plan() == plan and one.status["phase"] == "Running"
    assert one.status["observedGeneration"] == 2


async def test_a_changed_spec_of_a_flow_that_waits_is_looked_at_anew(
    world: Callable[..., World], abstracts: list[JsonObject]
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


async def test_a_flow_that_is_being_deleted_gets_nothing_any_more(world: Callable[..., World]) -> None:
    one = world()
    await one.settle()
    flow = json.loads(json.dumps(one.flow))
    flow["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    one.kube.put(kinds.DATA_FLOW, flow)
    one.kube.drop(kinds.POD, WORKER, "default")
    await one.settle()
    assert one.pod is None


async def test_a_name_that_is_taken_is_told_and_waited_for(world: Callable[..., World]) -> None:
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


async def test_a_secret_that_was_lost_is_made_anew_together_with_the_plan(world: Callable[..., World]) -> None:
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
async def test_flows_of_any_name_get_children_with_valid_names(world: Callable[..., World], name: str) -> None:
    one = world(name=name)
    await one.settle()
    for names in one.children().values():
        assert names and all(len(n) <= 253 for n in names)
    assert one.pod is not None and len(one.pod["metadata"]["name"]) <= 63
    assert len(one.children()["WBFunction"]) == 4
    assert all(len(value) <= 63 for value in one.pod["metadata"]["labels"].values())


async def test_five_functions_and_their_end_take_few_writes(
    world: Callable[..., World], document: Callable[..., JsonObject]
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


MOVES = (
    "pod running",
    "worker runs",
    "worker failed",
    "pod ends",
    "pod killed",
    "pod deleted",
    "late",
    "wbf deleted",
    "wbc edited",
    "config map deleted",
    "spec changed",
    "chain gone",
    "chain back",
    "node gone",
    "node back",
    "progress",
    "half a step",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(MOVES), max_size=12))
def test_whatever_happens_the_operators_come_to_rest_and_an_end_stays(
    abstracts: list[JsonObject],
    make_flow: Callable[..., JsonObject],
    document: Callable[..., JsonObject],
    fake_kube: Any,
    moves: list[str],
) -> None:
    kube = type(fake_kube)()
    one = World(kube, json.loads(json.dumps(abstracts)), make_flow(activeDeadlineSeconds=100))

    def move(what: str) -> None:
        uid = one.flow["metadata"]["uid"]
        functions = one.store.owned(kinds.WB_FUNCTION, uid)
        edges = one.store.owned(kinds.WB_CONNECTION, uid)
        chain, node = ("FunctionChain", "default", "demo"), ("ComputeResource", None, "laptop")
        match what:
            case "pod running" if one.pod and "status" not in one.pod:
                one.pod_status("Running", running={})
            case "worker runs" if one.pod:
                one.worker_says(document("Running"))
            case "worker failed" if one.pod:
                one.worker_says(document("Failed", reason="FunctionFailed", message="it broke"))
            case "pod ends" if one.pod:
                one.pod_ends(0, json.dumps(document("Succeeded")))
            case "pod killed" if one.pod:
                one.pod_ends(137)
            case "pod deleted" if one.pod:
                kube.drop(kinds.POD, one.pod["metadata"]["name"], "default")
            case "late":
                one.now += 1000
            case "wbf deleted" if functions:
                kube.drop(kinds.WB_FUNCTION, functions[0]["metadata"]["name"], "default")
            case "wbc edited" if edges:
                edited = json.loads(json.dumps(edges[0]))
                edited["spec"]["mechanisms"] = ["peer-copy"]
                kube.put(kinds.WB_CONNECTION, edited)
            case "config map deleted" if one.children()["ConfigMap"]:
                kube.drop(kinds.CONFIG_MAP, WORKER, "default")
            case "spec changed":
                flow = json.loads(json.dumps(one.flow))
                flow["metadata"]["generation"] += 1
                flow["spec"]["functionParameters"] = [{"function": "soft", "parameters": {"radius": 5}}]
                kube.put(kinds.DATA_FLOW, flow)
            case "chain gone" if chain in kube.objects:
                kube.drop(kinds.FUNCTION_CHAIN, "demo", "default")
            case "chain back" if chain not in kube.objects:
                kube.put(
                    kinds.FUNCTION_CHAIN, json.loads(json.dumps(next(o for o in abstracts if o["kind"] == chain[0])))
                )
            case "node gone" if node in kube.objects:
                kube.drop(kinds.COMPUTE_RESOURCE, "laptop")
            case "node back" if node not in kube.objects:
                kube.put(kinds.COMPUTE_RESOURCE, json.loads(json.dumps(abstracts[-1])))
            case "progress":
                one.progress_due = True

    async def play() -> None:
        await one.settle()
        for what in moves:
            finished = one.status.get("phase") in ("Succeeded", "Failed")
            before = one.status
            move(what)
            if what == "half a step":
                await one.step()
                continue
            await one.settle()
            if finished:
                assert {**one.status, "conditions": before["conditions"]} == before, "an end is an end"
            assert reconcile(one.snapshot()) == reconcile(dataclasses.replace(one.snapshot())), "pure"
            one.progress_due = False

    asyncio.run(play())
