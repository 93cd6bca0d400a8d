# SPDX-License-Identifier: Apache-2.0
"""What happens to a step, from its task to its node's result."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from accelchain.argo.core.flow import cancellation
from accelchain.argo.core.identity import node_id
from accelchain.argo.core.steps import (
    STALE,
    Create,
    Foreign,
    Patch,
    Replace,
    Report,
    Wait,
    flow_name_of,
)

NODE = "people-x7k2p.detect"
Json = dict[str, Any]


def report(decision: Any) -> Json:
    assert isinstance(decision, Report), decision
    return decision.result


def test_a_template_of_others_is_foreign(step: Any) -> None:
    step.template["plugin"] = {"other": {}}
    assert isinstance(step.decide(), Foreign)
    assert flow_name_of(step.template, step.id) is None


def test_a_new_step_becomes_a_flow(step: Any) -> None:
    flow = step.decide().flow
    meta = flow["metadata"]
    assert meta["name"] == flow_name_of(step.template, step.id)
    assert meta["namespace"] == "videos"
    assert meta["labels"] == {
        "workflows.argoproj.io/workflow": "people-x7k2p",
        "accelchain.io/workflow-uid": step.id.uid,
    }
    assert meta["annotations"] == {
        "accelchain.io/node-id": node_id("people-x7k2p", NODE),
        "accelchain.io/node-name": NODE,
        "accelchain.io/node-attempt": "0",
        "accelchain.io/node-started-at": "2027-01-15T07:59:40Z",
        "accelchain.io/complete-when": "Finished",
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": "people-x7k2p",
            "uid": step.id.uid,
            "controller": False,
            "blockOwnerDeletion": False,
        }
    ]
    assert flow["spec"]["rate"] == {"framesPerSecond": 8.0}


def test_the_workflow_may_be_unreadable(step: Any) -> None:
    """Without the right to get Workflows a step still runs from its task to its result."""
    step.create().end()
    assert report(step.decide(workflow=None))["phase"] == "Succeeded"


def test_a_flow_may_outlive_its_workflow(step: Any) -> None:
    step.body.update(completeWhen="Running", owner="None")
    assert "ownerReferences" not in step.decide().flow["metadata"]


def test_attempts_are_flows_of_their_own(new_step: Callable[[], Any]) -> None:
    names = set()
    for attempt in ("0", "1"):
        step = new_step().begun(name=f"{NODE}({attempt})")
        step.body["attempt"] = attempt
        step.template["retryStrategy"] = {"limit": 3}
        meta = step.decide().flow["metadata"]
        assert meta["annotations"]["accelchain.io/node-id"] == node_id("people-x7k2p", f"{NODE}({attempt})")
        names.add(meta["name"])
    assert len(names) == 2


def test_a_retry_strategy_of_the_workflow_needs_the_attempt_too(new_step: Callable[[], Any]) -> None:
    step = new_step().begun(type="Retry")
    assert 'write attempt: "{{retries}}"' in report(step.decide())["message"]


def test_stages_are_told_without_figures(step: Any) -> None:
    step.create()
    name = step.flow["metadata"]["name"]
    stages = [step.decide()]
    for conditions, reason in (
        (("Accepted", "!Scheduled"), "InsufficientCapacity"),
        (("Accepted", "!Running"), "BackOff"),
    ):
        stages.append(step.state(*conditions, reason=reason, message=f"{len(stages)} of 8").decide())
    placement = [{"function": "decode", "node": "n1", "device": "cpu0"}]
    stages.append(step.state("Accepted", "Scheduled", placement=placement).decide())
    stages.append(step.run().decide())
    step.flow["status"]["progress"] = {"frames": 41}
    stages.append(step.decide())
    running = f"Running on n1/cpu0, n1/host, accelchain logs {name} -n videos"
    assert [s.message for s in stages] == [
        "Pending",
        "Pending: InsufficientCapacity",
        "Waits: BackOff",
        "Scheduled on n1/cpu0",
        running,
        running,
    ]
    assert {s.after for s in stages} == {None}, "news of the flow is all that is waited for"


def test_a_flow_that_succeeded_hands_its_outputs_on(step: Any) -> None:
    result = report(step.create().end().decide())
    assert result["phase"] == "Succeeded"
    assert result["outputs"]["parameters"] == [
        {"name": "count", "valueFrom": {"supplied": {}}, "value": "17"},
        {"name": "detections", "value": "file:///out/street.jsonl"},
    ]
    assert json.loads(result["outputs"]["result"]) == {
        "dataflow": step.flow["metadata"]["name"],
        "frames": 120,
        "seconds": 13,
        "framesPerSecond": 24.5,
        "outputs": {"annotated": "file:///out/street.mp4", "detections": "file:///out/street.jsonl"},
        "results": {"write.detections": "17"},
    }


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        ("WorkerLost", "Error"),
        ("DeviceFailed", "Error"),
        ("FunctionFailed", "Failed"),
        ("ModelTooOld", "Failed"),
        ("InvalidInput", "Failed"),
        ("DeadlineExceeded", "Failed"),
        ("Cancelled", "Failed"),
        ("OwnerEnded", "Failed"),
    ],
)
def test_a_flow_that_failed_says_whose_fault_it_is(step: Any, reason: str, phase: str) -> None:
    result = report(step.create().end(reason).decide())
    name = step.flow["metadata"]["name"]
    assert result == {
        "phase": phase,
        "message": f"{reason}: so it is (log: accelchain logs {name} -n videos)",
    }


def test_messages_are_short_and_keep_their_hint(step: Any) -> None:
    step.create().end("FunctionFailed")
    step.flow["status"]["conditions"][1]["message"] = "x" * 5000
    message = report(step.decide())["message"]
    assert len(message) == 1024
    assert message.endswith("-n videos)")


def test_a_refused_flow_fails_the_step_at_once(step: Any) -> None:
    step.create().state("!Accepted", reason="UnknownChain", message="spec.chainRef.name: there is none.")
    decision = step.decide()
    assert report(decision) == {"phase": "Failed", "message": "UnknownChain: spec.chainRef.name: there is none."}
    assert decision.cancel, "the flow would run once the chain is there"


@pytest.mark.parametrize("why", ["refused", "late"])
def test_who_looks_at_a_flow_that_was_ended_for_its_step_tells_the_same(step: Any, why: str) -> None:
    """The other front, or a process that was started anew before the result was handed over."""
    if why == "refused":
        step.create().state("!Accepted", reason="UnknownChain", message="spec.chainRef.name: there is none.")
    else:
        step.template["timeout"] = "10s"
        step.begun(-5)
        step.create(-5).run()
    decision = step.decide(after=10)
    assert decision.cancel
    patch = cancellation(decision.result)
    assert patch["spec"] == {"cancel": True}
    step.flow["metadata"]["annotations"] |= patch["metadata"]["annotations"]
    step.end("Cancelled")
    assert report(step.decide(after=12)) == decision.result


def test_a_flow_that_its_user_cancelled_says_so(step: Any) -> None:
    step.create().end("Cancelled")
    assert report(step.decide())["message"].startswith("Cancelled: so it is")


def test_a_flow_that_fails_before_it_is_cancelled_says_why(step: Any) -> None:
    step.create().end("FunctionFailed")
    step.flow["metadata"]["annotations"] |= cancellation({"message": "DeadlineExceeded"})["metadata"]["annotations"]
    assert report(step.decide())["message"].startswith("FunctionFailed: so it is")


def test_the_result_waits_for_the_workflows_update(new_step: Callable[[], Any]) -> None:
    """The TaskSet is written before the Workflow, whose node tells a new try from an old one."""
    step = new_step().create().end()
    assert isinstance(step.decide(), Wait)
    assert isinstance(step.begun().decide(), Patch)


def test_the_nodes_time_is_recorded_once_it_is_known(new_step: Callable[[], Any]) -> None:
    step = new_step().create()
    assert "accelchain.io/node-started-at" not in step.flow["metadata"]["annotations"]
    assert step.decide().after == 1.0
    decision = step.begun(-20).decide()
    assert decision == Patch({"annotations": {"accelchain.io/node-started-at": "2027-01-15T07:59:40Z"}})
    step.flow["metadata"]["annotations"] |= decision.metadata["annotations"]
    assert isinstance(step.decide(), Wait)


@pytest.mark.parametrize("recorded", [True, False])
def test_argo_retry_runs_the_flow_anew(step: Any, recorded: bool) -> None:
    """Name, node id and uid are the same: only the node began later."""
    step.create().end("FunctionFailed", completed=-9)
    if not recorded:
        del step.flow["metadata"]["annotations"]["accelchain.io/node-started-at"]
    step.workflow["status"]["nodes"].clear()
    assert isinstance(step.decide(), Wait), "the node is not there yet"
    decision = step.begun(-3).decide()
    assert isinstance(decision, Replace)
    assert decision.old == step.flow
    assert decision.flow["metadata"]["annotations"]["accelchain.io/node-started-at"] == "2027-01-15T07:59:57Z"
    step.flow = copy.deepcopy(decision.flow)
    step.flow["metadata"]["creationTimestamp"] = "2027-01-15T07:59:58Z"
    assert isinstance(step.decide(), Wait)


def test_a_short_flow_is_not_run_again_where_argos_clock_is_ahead(new_step: Callable[[], Any]) -> None:
    step = new_step().create().end(completed=-4).begun(-2)
    assert isinstance(step.decide(), Patch)


def test_argo_retry_while_the_old_flow_still_ends(step: Any) -> None:
    step.create().run()
    assert isinstance(step.begun(-3).decide(), Replace)


def test_argo_retry_with_offloaded_nodes(step: Any) -> None:
    step.create().end("FunctionFailed", completed=-9)
    status = step.workflow["status"]
    status["offloadNodeStatusVersion"] = "fnv:1"
    assert report(step.decide())["phase"] == "Failed"
    status["startedAt"] = "2027-01-15T07:59:57Z"
    assert isinstance(step.decide(), Replace)


def test_a_flow_that_is_being_deleted_is_waited_for(step: Any) -> None:
    step.create().flow["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert step.decide() == Wait(1.0, "Waits: the DataFlow is being deleted")


@pytest.mark.parametrize("labels", [{}, {"accelchain.io/workflow-uid": "another"}])
def test_a_name_that_is_taken(step: Any, labels: Json) -> None:
    step.create().flow["metadata"]["labels"] = labels
    decision = step.decide()
    assert report(decision)["phase"] == "Error"
    assert not decision.cancel, "the flow is not ours"


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        (lambda s: s.template.update(timeout="25s"), 5),
        (lambda s: s.template.update(activeDeadlineSeconds="22"), 7),
        (lambda s: s.template.update(activeDeadlineSeconds=22), 7),
        (lambda s: s.workflow["spec"].update(activeDeadlineSeconds=40), 10),
        (lambda s: (s.template.update(timeout="1h"), s.workflow["spec"].update(activeDeadlineSeconds=31)), 1),
    ],
)
def test_deadlines_are_ours(step: Any, change: Callable[[Any], Any], seconds: float) -> None:
    """Argo holds Pending nodes of plugins to them, and no running ones."""
    step.create().run()
    change(step)
    decision = step.decide()
    assert isinstance(decision, Wait)
    assert decision.after == seconds
    decision = step.decide(after=seconds)
    assert report(decision)["phase"] == "Failed"
    assert report(decision)["message"].startswith("DeadlineExceeded: ")
    assert decision.cancel


def test_a_result_that_is_there_counts_after_the_deadline(step: Any) -> None:
    step.template["timeout"] = "10s"
    assert report(step.decide())["message"].startswith("DeadlineExceeded"), "none was made before it passed"
    del step.template["timeout"]
    step.create().end()
    step.template["timeout"] = "10s"
    assert report(step.decide())["phase"] == "Succeeded"


def test_the_workflows_deadline_spares_handlers_on_exit(new_step: Callable[[], Any]) -> None:
    step = new_step()
    step.body["node"] = "people-x7k2p.onExit"
    step.workflow["spec"]["activeDeadlineSeconds"] = 5
    assert isinstance(step.decide(), Create)
    assert isinstance(step.begun(name="people-x7k2p.onExit", displayName="people-x7k2p.onExit").decide(), Create)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Error", "Skipped", "Omitted"])
@pytest.mark.parametrize("with_flow", [True, False])
def test_nothing_is_made_or_told_for_a_node_that_has_ended(step: Any, phase: str, with_flow: bool) -> None:
    """An answer would raise the node from the dead; what is seen may also be old, before argo retry."""
    if with_flow:
        step.create().run()
    assert step.begun(-20, phase=phase).decide() == Wait(STALE, f"The node has ended ({phase})")


def test_a_workflow_that_was_told_to_stop(new_step: Callable[[], Any]) -> None:
    step = new_step().begun()
    for shutdown in ("Stop", "Terminate"):
        step.workflow["spec"]["shutdown"] = shutdown
        assert step.decide() == Wait(STALE, f"The Workflow was told to stop ({shutdown})")
    exit_ = new_step().begun(name="people-x7k2p.onExit", displayName="people-x7k2p.onExit")
    exit_.body["node"] = "people-x7k2p.onExit"
    exit_.workflow["spec"]["shutdown"] = "Stop"
    assert isinstance(exit_.decide(), Create), "handlers on exit run after a stop"
    exit_.workflow["spec"]["shutdown"] = "Terminate"
    assert isinstance(exit_.decide(), Wait)


def test_another_workflow_of_the_name(step: Any) -> None:
    step.workflow["metadata"]["uid"] = "another"
    assert step.decide() == Wait(STALE, "The Workflow is gone")


def test_a_step_that_is_not_admitted_waits_until_its_deadline(step: Any) -> None:
    step.template["timeout"] = "25s"
    assert step.decide(admitted=False) == Wait(5.0, "Waits: the workflow's parallelism is reached")
    assert report(step.decide(admitted=False, after=6))["phase"] == "Failed"


def test_a_flow_that_is_there_needs_no_admission(step: Any) -> None:
    assert step.create().run().decide(admitted=False).message.startswith("Running")


def test_a_stream_completes_when_it_runs(step: Any) -> None:
    step.body["completeWhen"] = "Running"
    step.spec["mode"] = "Stream"
    step.template["outputs"] = {"parameters": [{"name": "live", "valueFrom": {"default": "x"}}]}
    step.body["results"] = {"live": "endpoint"}
    step.create().state("Accepted", "Scheduled")
    assert isinstance(step.decide(), Wait)
    step.run().flow["status"]["workers"] = [{"pod": "p", "address": "10.0.0.7:9090", "live": ["/live/encode.mjpeg"]}]
    decision = step.decide()
    assert report(decision)["outputs"]["parameters"][0]["value"] == "http://10.0.0.7:9090/live/encode.mjpeg"
    assert not decision.cancel


def test_a_stream_that_completes_when_finished_runs_on(step: Any) -> None:
    step.spec["mode"] = "Stream"
    assert step.create().run().decide().after is None


def test_what_has_been_told_is_not_told_otherwise(step: Any) -> None:
    step.create().end()
    assert isinstance(step.decide(told={"phase": "Failed"}), Wait)
    assert report(step.decide(told={"phase": "Running"}))["phase"] == "Succeeded"


def test_a_task_that_is_another_nodes(step: Any) -> None:
    """In a loop, say: a constant for a node would let all items share one flow."""
    step.body["node"] = "people"
    message = report(step.decide(node_id=node_id("people-x7k2p", NODE)))["message"]
    assert message.startswith("plugin.accelchain.node: this names another node")


def test_a_node_that_the_workflow_never_has(new_step: Callable[[], Any]) -> None:
    """Without the task's key it shows late."""
    step = new_step().create().run()
    assert isinstance(step.decide(after=30), Wait)
    decision = step.decide(after=60)
    assert "the Workflow has no such node" in report(decision)["message"]
    assert decision.cancel


def test_a_user_error_ends_a_flow_that_runs(step: Any) -> None:
    step.create().run()
    step.template["timeout"] = "soon"
    decision = step.decide()
    assert report(decision)["message"].startswith("timeout: 'soon' is no duration")
    assert decision.cancel


def test_a_defect_is_an_error_of_the_node(step: Any) -> None:
    step.create().run().flow["metadata"]["creationTimestamp"] = 3
    del step.flow["metadata"]["annotations"]["accelchain.io/node-started-at"]
    step.workflow["status"]["nodes"].clear()
    result = report(step.decide())
    assert result["phase"] == "Error"
    assert result["message"].startswith("this is a defect of accelchain: ")
