# SPDX-License-Identifier: Apache-2.0
"""Steps of Workflows, served by the real operator over an API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accelchain.argo.core.identity import NODE_STARTED_AT, REPORTED, WorkflowId, flow_name
from accelchain_operators.kube import kinds
from accelchain_operators.localkube.faults import Fault


async def test_a_step_becomes_a_flow_and_its_end_is_the_nodes(argo: Any) -> None:
    await argo.submit("detect")
    flow = await argo.flow("detect")
    assert flow["metadata"]["ownerReferences"][0]["kind"] == "Workflow"
    await argo.set_flow("detect", "Succeeded", progress={"frames": 7})
    told = await argo.until_told("detect", "Succeeded")
    assert '"frames":7' in told["outputs"]["result"]
    notes = await argo.until_noted("detect")
    assert notes[REPORTED] == "Succeeded" and notes[NODE_STARTED_AT] == (await argo.node("detect"))["startedAt"]
    await argo.operate()
    assert (await argo.node("detect"))["phase"] == "Succeeded"
    assert (await argo.workflow())["status"]["phase"] == "Succeeded"
    assert not (await argo.task_set())["spec"]["tasks"]


async def test_a_stage_is_told_once_and_taken_out_when_the_node_shows_it(argo: Any) -> None:
    await argo.submit("detect")
    await argo.set_flow("detect", "Running")
    told = await argo.until_told("detect", "Running")
    assert told["message"].startswith("Running on n1/cpu0, accelchain logs wf-detect-")
    assert "outputs" not in told
    written = argo.controller.workflow_writes
    await argo.operate()
    assert (await argo.node("detect"))["message"] == told["message"]
    await argo.until_told("detect", None)
    await argo.operate(5)
    for frames in range(5):  # figures are no stage
        await argo.set_flow("detect", "Running", progress={"frames": frames})
        await argo.operate()
    assert await argo.told("detect") is None
    assert argo.controller.workflow_writes == written + 1
    await argo.set_flow("detect", "Failed", reason="FunctionFailed", message="resize: no memory")
    told = await argo.until_told("detect", "Failed")
    assert told["message"].startswith("FunctionFailed: resize: no memory (log: accelchain logs wf-detect-")


async def test_a_flow_that_flaps_costs_few_writes(argo: Any) -> None:
    await argo.submit("detect")
    written = argo.controller.workflow_writes
    for round in range(12):
        place = [{"function": "f", "node": f"n{round}", "device": "cpu0", "implementation": "opencl"}]
        await argo.set_flow("detect", "Running", placement=place)
        await asyncio.sleep(0.15)  # longer than a stage takes to settle
        await argo.operate()
    assert argo.controller.workflow_writes - written <= 10


async def test_what_is_not_ours_is_never_touched(argo: Any, make_step: Any) -> None:
    foreign = make_step("slack")
    foreign.template["plugin"] = {"slack": {"text": "hello"}}
    await argo.submit(foreign, "detect")
    await argo.set_flow("detect", "Succeeded")
    await argo.until_told("detect", "Succeeded")
    assert await argo.told("slack") is None
    await argo.client.patch(
        kinds.TASK_SET,
        argo.name,
        "default",
        {"status": {"nodes": {argo.id("slack"): {"phase": "Running", "message": "theirs"}}}},
        subresource="status",
    )
    await argo.operate(2)
    assert await argo.told("slack") == {"phase": "Running", "message": "theirs"}


async def test_a_workflow_without_steps_of_ours_is_not_even_read(argo: Any, make_step: Any) -> None:
    foreign = make_step("slack")
    foreign.template["plugin"] = {"slack": {"text": "hello"}}
    argo.name = "theirs"
    await argo.submit(foreign)
    read = argo.asked("workflows", "get")
    argo.name = "wf"
    await argo.submit("detect")
    await argo.flow("detect")
    names = [r.name for r in argo.kube.recorder.requests if (r.resource, r.verb) == ("workflows", "get")]
    assert names.count("theirs") == read


async def test_a_stop_ends_the_step_and_no_stage_brings_it_back(argo: Any, make_step: Any) -> None:
    await argo.submit("detect", make_step("tidy", on_exit=True))
    await argo.set_flow("detect", "Running")
    await argo.until_told("detect", "Running")
    await argo.controller.stop(argo.name)
    # With the key still there the handler's reconciliation brings the node back to life, as Argo's does.
    await argo.until_told("detect", None)
    await argo.operate()
    assert (await argo.node("detect"))["message"] == "Stopped with strategy 'Stop'"
    flow = await argo.flow("tidy")
    assert flow["metadata"]["annotations"]["accelchain.io/node-name"] == "wf.tidy"
    await argo.set_flow("detect", "Failed", reason="OwnerEnded")
    await argo.set_flow("tidy", "Succeeded")
    await argo.until_told("tidy", "Succeeded")
    await argo.operate(2)
    assert (await argo.node("detect"))["phase"] == "Failed"
    assert (await argo.node("tidy"))["phase"] == "Succeeded"
    assert (await argo.workflow())["status"]["phase"] == "Failed"


async def test_a_node_that_was_brought_back_is_ended_again(argo: Any, make_step: Any) -> None:
    """The stage was written in the very moment in which the controller timed the node out."""
    await argo.submit(make_step("detect", timeout="2s"))
    await argo.flow("detect")
    task_set = await argo.task_set()
    task_set["status"] = {"nodes": {argo.id("detect"): {"phase": "Running", "message": "Running"}}}
    argo.controller.old_task_set = task_set
    argo.skew = 3.0
    await argo.operate()
    argo.controller.old_task_set = None
    assert (await argo.node("detect"))["phase"] == "Running", "it is back"
    told = await argo.until_told("detect", "Failed")  # by our own deadline, once that is over
    assert "timeout" in told["message"]
    await argo.operate()
    assert (await argo.workflow())["status"]["phase"] == "Failed"


async def test_a_timeout_of_a_step_that_runs_is_ours_to_keep(argo: Any, make_step: Any) -> None:
    await argo.submit(make_step("detect", timeout="1s"))
    await argo.set_flow("detect", "Running")
    told = await argo.until_told("detect", "Failed")
    assert told["message"] == "DeadlineExceeded: the step took longer than its timeout of 1 s"

    async def cancelled() -> bool:
        return bool((await argo.flow("detect"))["spec"].get("cancel"))

    await argo.until(cancelled, "end of the flow")
    why = (await argo.flow("detect"))["metadata"]["annotations"]["accelchain.io/cancelled-for"]
    assert why == told["message"], "for whoever looks at the flow next"


async def test_a_result_whose_update_of_the_workflow_was_lost_is_handed_over_again(argo: Any) -> None:
    await argo.submit("detect", "other")
    await argo.set_flow("detect", "Succeeded")
    await argo.until_told("detect", "Succeeded")
    argo.controller.lose_update = 1
    await argo.operate()
    assert await argo.told("detect") is None and (await argo.node("detect"))["phase"] == "Pending"
    await argo.operate()  # the task is back
    await argo.until_told("detect", "Succeeded")
    await argo.operate()
    assert (await argo.node("detect"))["phase"] == "Succeeded"


async def test_a_result_that_was_taken_is_not_handed_over_twice(argo: Any) -> None:
    """Between the removal of the result and that of the task the step looks as if nobody had been told."""
    await argo.submit("detect", "other")
    await argo.set_flow("detect", "Succeeded")
    await argo.until_told("detect", "Succeeded")
    await argo.until_noted("detect")
    await argo.client.patch(kinds.TASK_SET, argo.name, "default", {"status": {"nodes": None}}, subresource="status")
    before = argo.asked("workflows", "get")
    await argo.until(lambda: argo.asked("workflows", "get") > before, "look")
    assert await argo.told("detect") is None


async def test_a_result_that_the_controller_leaves_behind_is_taken_out_while_the_workflow_runs(argo: Any) -> None:
    """The controller looks at the Workflow again when the TaskSet changes: where it can't take it out, ours is that."""
    await argo.submit("detect", "other")
    await argo.set_flow("detect", "Succeeded")
    await argo.until_told("detect", "Succeeded")
    argo.controller.lose_removal = 1
    await argo.operate()
    assert (await argo.workflow())["status"]["phase"] == "Running"
    await argo.until_told("detect", None)
    assert (await argo.node("detect"))["phase"] == "Succeeded"


async def test_a_result_that_stayed_behind_does_not_end_the_next_try(argo: Any) -> None:
    await argo.submit("detect")
    await argo.set_flow("detect", "Failed", reason="FunctionFailed")
    await argo.until_told("detect", "Failed")
    argo.controller.lose_removal = 1
    await argo.operate()
    assert (await argo.workflow())["status"]["phase"] == "Failed"
    await argo.until_told("detect", None)
    old = await argo.flow("detect")
    argo.skew = 7.0
    await argo.controller.retry(argo.name)
    await argo.operate()
    assert (await argo.node("detect"))["phase"] == "Pending"

    async def another() -> bool:
        return any(f["metadata"]["uid"] != old["metadata"]["uid"] for f in await argo.flows())

    await argo.until(another, "new flow")


async def test_a_retry_makes_a_new_flow_of_the_same_name(argo: Any) -> None:
    await argo.submit("detect")
    await argo.set_flow("detect", "Failed", reason="InvalidInput")
    await argo.until_told("detect", "Failed")
    await argo.operate()
    old = await argo.flow("detect")
    for _ in range(2):
        argo.skew += 7.0
        await argo.controller.retry(argo.name)
        await argo.operate()

        async def another(old: Any = old) -> Any:
            return next((f for f in await argo.flows() if f["metadata"]["uid"] != old["metadata"]["uid"]), None)

        new = await argo.until(another, "new flow")
        assert new["metadata"]["name"] == old["metadata"]["name"]
        assert (await argo.told("detect") or {"phase": ""})["phase"] != "Failed"
        old = new
        await argo.set_flow("detect", "Failed", reason="InvalidInput")
        await argo.until_told("detect", "Failed")
        await argo.operate()
        assert (await argo.workflow())["status"]["phase"] == "Failed"


async def test_every_attempt_has_a_flow_of_its_own(argo: Any, make_step: Any) -> None:
    await argo.submit(make_step("detect", retries=2))
    for attempt, end in enumerate(("Failed", "Succeeded")):
        await argo.flow(f"detect({attempt})")
        await argo.set_flow(f"detect({attempt})", end, reason="FunctionFailed" if end == "Failed" else "")
        await argo.until_told(f"detect({attempt})", end)
        await argo.operate(2)
    assert (await argo.workflow())["status"]["phase"] == "Succeeded"
    assert len(await argo.flows()) == 2


async def test_an_author_s_mistake_fails_the_node_and_names_the_field(argo: Any, make_step: Any) -> None:
    await argo.submit(make_step("detect", body={"dataflow": {"chainRef": {"name": "demo"}, "mod": "Batch"}}))
    told = await argo.until_told("detect", "Failed")
    assert told["message"].startswith("plugin.accelchain.dataflow.mod: ")
    assert await argo.flows() == []


async def test_what_the_api_refuses_fails_the_node(argo: Any) -> None:
    argo.kube.faults.add(Fault(verb="create", resource="dataflows", code=403, times=None))
    await argo.submit("detect")
    told = await argo.until_told("detect", "Failed")
    assert told["message"].startswith("plugin.accelchain.dataflow: the Kubernetes API refuses it: ")


async def test_a_name_that_is_somebody_else_s_is_an_error(bare: Any, grant: Any) -> None:
    await grant(bare)
    await bare.submit("detect")
    uid = (await bare.workflow())["metadata"]["uid"]
    meta = {"name": flow_name(WorkflowId("default", "wf", uid), "wf.detect", 0), "namespace": "default"}
    theirs = {"apiVersion": kinds.DATA_FLOW.api_version, "kind": "DataFlow", "metadata": meta}
    await bare.client.create(kinds.DATA_FLOW, theirs | {"spec": {"chainRef": {"name": "demo"}}})
    await bare.start_operator()
    told = await bare.until_told("detect", "Error")
    assert "is not this step's" in told["message"]


async def test_a_flow_that_the_agent_s_plugin_made_is_the_step_s(bare: Any, grant: Any) -> None:
    """Both fronts make the same flow; whoever comes second finds it."""
    await grant(bare)
    await bare.start_operator()
    await bare.submit("detect")
    flow = await bare.flow("detect")
    await bare.stop_operator()
    meta = {key: flow["metadata"][key] for key in ("name", "namespace", "labels", "annotations", "ownerReferences")}
    await bare.client.delete(kinds.DATA_FLOW, meta["name"], "default")
    bare.kube.faults.add(Fault(verb="list", resource="dataflows", code=503, times=1))
    await bare.client.create(kinds.DATA_FLOW, {**flow, "metadata": meta, "status": {}})
    await bare.start_operator()
    await bare.set_flow("detect", "Succeeded")
    await bare.until_told("detect", "Succeeded")
    assert len(await bare.flows()) == 1


async def test_parallelism_is_kept(argo: Any) -> None:
    await argo.submit("a", "b", "c", parallelism=1)
    first = await argo.flow()
    await argo.operate()
    left = {"a", "b", "c"}
    for _ in range(3):
        names = {
            f["metadata"]["annotations"]["accelchain.io/node-name"].removeprefix("wf.") for f in await argo.flows()
        }
        open = names & left
        assert len(open) == 1, "one at a time"
        (name,) = open
        left.discard(name)
        await argo.set_flow(name, "Succeeded")
        await argo.until_told(name, "Succeeded")
        await argo.operate()

        async def next_one(names: Any = names) -> bool:
            return not left or len(await argo.flows()) > len(names)

        await argo.until(next_one, "next flow")
    assert first and (await argo.workflow())["status"]["phase"] == "Succeeded"


async def test_suspended_workflows_take_their_results_when_they_go_on(argo: Any) -> None:
    await argo.submit("detect")
    await argo.flow("detect")
    await argo.client.patch(kinds.WORKFLOW, argo.name, "default", {"spec": {"suspend": True}})
    await argo.set_flow("detect", "Succeeded")
    await argo.until_told("detect", "Succeeded")
    await argo.operate()
    assert (await argo.node("detect"))["phase"] == "Pending"
    await argo.client.patch(kinds.WORKFLOW, argo.name, "default", {"spec": {"suspend": None}})
    await argo.operate()
    assert (await argo.node("detect"))["phase"] == "Succeeded"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(verb="patch", resource="workflowtasksets", subresource="status", code=409, times=3),
        Fault(verb="patch", resource="workflowtasksets", subresource="status", code=503, after_write=True),
        Fault(verb="create", resource="dataflows", code=503, after_write=True),
        Fault(verb="create", resource="dataflows", code=429, retry_after=0, times=2),
        Fault(verb="get", resource="workflows", code=503, times=2),
        Fault(verb="watch", resource="workflowtasksets", code=410, times=2),
        Fault(verb="watch", resource="dataflows", drop_after=1),
    ],
    ids=lambda fault: f"{fault.verb} {fault.resource} {fault.code}{' done' if fault.after_write else ''}",
)
async def test_an_api_in_trouble_delays_and_doubles_nothing(bare: Any, grant: Any, fault: Fault) -> None:
    await grant(bare)
    bare.kube.faults.add(fault)
    await bare.start_operator()
    await bare.submit("detect", "other")
    for name in ("detect", "other"):
        await bare.set_flow(name, "Succeeded")
        await bare.until_told(name, "Succeeded")
    assert len(await bare.flows()) == 2
    await bare.operate()
    assert (await bare.workflow())["status"]["phase"] == "Succeeded"


async def test_hundreds_of_steps_cost_no_more_than_each_of_them(argo: Any) -> None:
    count = 50
    await argo.submit(*(f"s{i}" for i in range(count)))

    async def all_there() -> bool:
        return len(await argo.flows()) == count

    await argo.until(all_there, "flow of each step")
    for flow in await argo.flows():
        await argo.write_status(flow, "Succeeded")

    async def all_told() -> bool:
        nodes = ((await argo.task_set()).get("status") or {}).get("nodes") or {}
        return [node["phase"] for node in nodes.values()] == ["Succeeded"] * count

    await argo.until(all_told, "result of each step")
    await argo.operate(2)
    assert (await argo.workflow())["status"]["phase"] == "Succeeded"
    assert argo.asked("dataflows", "create") == count, "no step was made twice"
    assert argo.asked("dataflows", "get") == 0
    assert argo.asked("subjectaccessreviews") == 1
