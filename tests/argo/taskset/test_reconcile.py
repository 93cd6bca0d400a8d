# SPDX-License-Identifier: Apache-2.0
"""The decision for a TaskSet in single states, each of which the controller's code makes dangerous."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest

from accelchain.argo.core.identity import NODE_STARTED_AT, REPORTED, node_id
from accelchain.argo.core.steps import decide
from accelchain.argo.core.workflow import view
from accelchain_operators.reconcile import taskset
from accelchain_operators.reconcile.taskset import reconcile
from accelchain_operators.reconcile.taskset_state import Access, NodeMemory, TaskSetPlan, TaskSetSnapshot

Json = dict[str, Any]
NOW = 1_800_000_000.0
STARTED = "2027-01-15T07:59:00Z"


@dataclass
class Situation:
    """A Workflow with steps that run, which a test changes."""

    template: Json
    status: Any
    workflow: Json = field(default_factory=dict)
    task_set: Json = field(default_factory=dict)
    flows: dict[str, Json] = field(default_factory=dict)
    memory: dict[str, NodeMemory] = field(default_factory=dict)
    access: Access | None = field(default_factory=lambda: Access(True))
    quiet: float = 0.0

    def add(self, step: str, flow: str = "Running") -> str:
        """Add a step with a flow; returns its node's id."""
        name = f"wf.{step}"
        id_ = node_id("wf", name)
        template = copy.deepcopy(self.template)
        template["plugin"]["accelchain"]["node"] = name
        self.task_set["spec"]["tasks"][id_] = template
        self.workflow["status"]["nodes"][id_] = {
            "id": id_, "name": name, "displayName": step, "type": "Plugin", "phase": "Pending", "message": "",
            "startedAt": STARTED,
        }  # fmt: skip
        if flow:
            (new,) = [f for f in self.plan().creates if f["metadata"]["annotations"]["accelchain.io/node-id"] == id_]
            meta = {**new["metadata"], "uid": f"uid-{step}", "resourceVersion": "1", "creationTimestamp": STARTED}
            self.flows[meta["name"]] = {**new, "metadata": meta, "status": self.status(flow, NOW - 10)}
        return id_

    def told(self, id_: str, phase: str, message: str = "m") -> None:
        nodes = self.task_set.setdefault("status", {}).setdefault("nodes", {})
        nodes[id_] = {"phase": phase, "message": message}

    def node(self, id_: str) -> Json:
        found: Json = self.workflow["status"]["nodes"][id_]
        return found

    def plan(self) -> TaskSetPlan:
        quiet = NOW - self.quiet
        workflow = view(self.workflow)
        flows, access, memory = dict(self.flows), self.access, dict(self.memory)
        return reconcile(TaskSetSnapshot(self.task_set, workflow, 0.0, flows, access, {}, memory, quiet, NOW, decide))


@pytest.fixture
def situation(make_step: Any, parts: Any) -> Situation:
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "wf", "uid": "u"}
    meta = {"name": "wf", "namespace": "default"}
    return Situation(
        make_step("x").template,
        parts[2],
        {"metadata": {**meta, "uid": "u"}, "spec": {}, "status": {"phase": "Running", "nodes": {}}},
        {"metadata": {**meta, "uid": "t", "ownerReferences": [owner]}, "spec": {"tasks": {}}},
    )


def settled(s: Situation) -> None:
    """Have every stage last long enough to be told."""
    s.memory = {id_: NodeMemory(memory.stage, NOW - 60) for id_, memory in s.plan().memory.items()}


def test_a_stage_is_written_by_a_workflow_that_was_read_just_now(situation: Situation) -> None:
    id_ = situation.add("a")
    assert not situation.plan().nodes, "it may pass in a moment"
    settled(situation)
    plan = situation.plan()
    told = plan.nodes[id_]
    assert told is not None and told["phase"] == "Running" and told["outputs"] is None
    assert plan.max_age == 0.0


@pytest.mark.parametrize("change", ["ended", "missing", "stopped", "offloaded", "workflow ended"])
def test_no_stage_is_written_or_left_where_it_could_do_harm(situation: Situation, change: str) -> None:
    id_ = situation.add("a")
    settled(situation)
    match change:
        case "ended":
            situation.node(id_)["phase"] = "Failed"
        case "missing":
            del situation.workflow["status"]["nodes"][id_]
        case "stopped":
            situation.workflow["spec"]["shutdown"] = "Stop"
        case "offloaded":
            situation.workflow["status"] = {"phase": "Running", "offloadNodeStatusVersion": "v"}
        case "workflow ended":
            situation.workflow["status"]["phase"] = "Failed"
    assert not situation.plan().nodes
    situation.told(id_, "Running")
    assert situation.plan().nodes == {id_: None}


def test_a_stage_stays_until_the_node_shows_it(situation: Situation) -> None:
    id_ = situation.add("a")
    situation.told(id_, "Running", "on n1")
    plan = situation.plan()
    assert not plan.nodes and plan.poll_after == 1.0, "only the Workflow tells when"
    situation.quiet = 600.0
    assert situation.plan().poll_after == 30.0
    situation.node(id_).update(phase="Running", message="on n1")
    assert situation.plan().nodes == {id_: None}


def test_no_result_is_told_of_a_node_that_the_workflow_does_not_have(situation: Situation) -> None:
    id_ = situation.add("a", flow="")
    situation.task_set["spec"]["tasks"][id_]["plugin"]["accelchain"]["dataflow"] = 3
    failed = situation.plan().nodes[id_]
    assert failed is not None and failed["phase"] == "Failed"
    del situation.workflow["status"]["nodes"][id_]
    plan = situation.plan()
    assert not plan.nodes and plan.poll_after == 0.25, "its update comes after the TaskSet's"


def test_a_result_that_lies_in_the_next_try_s_way_is_taken_out(situation: Situation) -> None:
    id_ = situation.add("a", "Failed")
    situation.told(id_, "Failed")
    assert not situation.plan().nodes, "the controller takes it"
    situation.workflow["status"]["phase"] = "Failed"
    assert situation.plan().nodes == {id_: None}
    situation.workflow["status"]["phase"] = "Running"
    del situation.task_set["spec"]["tasks"][id_]
    situation.told("wf-1", "Running", "somebody else's")
    assert situation.plan().nodes == {id_: None}, "the step has left, its result has not"


@pytest.mark.parametrize("known", ["by the process", "by the flow"])
def test_a_result_that_was_told_is_told_again_when_it_was_lost_only(situation: Situation, known: str) -> None:
    id_ = situation.add("a", "Succeeded")
    (flow,) = situation.flows.values()
    assert situation.plan().nodes[id_]
    if known == "by the process":
        situation.memory = {id_: NodeMemory(handed="uid-a")}
    else:
        flow["metadata"]["annotations"][REPORTED] = "Succeeded"
    plan = situation.plan()
    assert not plan.nodes and plan.requeue_after == taskset.LOST
    situation.memory = {id_: NodeMemory(handed="uid-a", missed_at=NOW - taskset.LOST)}
    plan = situation.plan()
    assert plan.nodes[id_] and plan.max_age == 0.0
    situation.memory = {id_: NodeMemory(handed="uid-of-an-earlier-try")}
    flow["metadata"]["annotations"].pop(REPORTED, None)
    assert situation.plan().nodes[id_], "another flow's result is news"


def test_a_node_that_was_begun_once_more_keeps_its_flow(situation: Situation) -> None:
    """The Workflow's update that had the node was lost; argo retry looks the same but for the task, which leaves."""
    id_ = situation.add("a", "Succeeded")
    (flow,) = situation.flows.values()
    del flow["metadata"]["annotations"][NODE_STARTED_AT]
    situation.node(id_)["startedAt"] = "2027-01-15T08:00:00Z"
    assert [flow["metadata"]["uid"] for flow in situation.plan().deletes] == ["uid-a"]
    situation.memory = {id_: NodeMemory(seen="uid-a")}
    plan = situation.plan()
    assert not plan.deletes
    assert [patch for _, patch in plan.patches] == [
        {"metadata": {"annotations": {NODE_STARTED_AT: "2027-01-15T08:00:00Z"}}}
    ]


def test_results_wait_where_the_task_set_would_become_too_large(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in "abc":
        situation.add(step, "Succeeded")
    assert len(situation.plan().nodes) == 3
    monkeypatch.setattr(taskset, "MAX_BYTES", 10)
    plan = situation.plan()
    assert len(plan.nodes) == 1, "one at least, or it would stay as large as it is"
    (id_,) = plan.nodes
    situation.told(id_, "Succeeded")
    assert not situation.plan().nodes


def test_nothing_is_made_before_the_account_s_rights_are_known(situation: Situation) -> None:
    situation.add("a", flow="")
    situation.access = None
    plan = situation.plan()
    assert plan.asks and not plan.creates
    situation.access = Access(False, "no Role", is_final=False)
    plan = situation.plan()
    assert not plan.creates and not plan.nodes and plan.requeue_after == taskset.ACCESS_AGAIN
    situation.access = Access(False, "no Role")
    assert [node["message"] for node in situation.plan().nodes.values() if node] == ["no Role"]


def test_an_old_try_s_flow_is_not_replaced_without_the_account_s_rights(situation: Situation) -> None:
    id_ = situation.add("a", "Failed")
    (flow,) = situation.flows.values()
    flow["metadata"]["annotations"][NODE_STARTED_AT] = "2027-01-15T07:00:00Z"
    assert situation.plan().deletes and situation.plan().max_age == 0.0
    situation.access = Access(False, "no Role")
    plan = situation.plan()
    assert not plan.deletes and plan.nodes[id_]


@pytest.mark.parametrize("known", ["told", "taken"])
def test_a_step_whose_result_is_on_its_way_takes_no_place(situation: Situation, known: str) -> None:
    """Argo takes 10 s to see it: with parallelism 1 the next step must not wait for that."""
    situation.workflow["spec"]["parallelism"] = 1
    first = situation.add("a", "Running")
    second = situation.add("b", flow="")
    situation.node(second)["startedAt"] = "2027-01-15T07:59:30Z"
    assert not situation.plan().creates
    (flow,) = situation.flows.values()
    flow["status"] = situation.status("Succeeded", NOW - 1)
    if known == "told":
        situation.told(first, "Succeeded")
    else:
        situation.memory = {first: NodeMemory(handed="uid-a")}
    assert len(situation.plan().creates) == 1
