# SPDX-License-Identifier: Apache-2.0
"""What users do to workflows, and what Argo does to steps: stop, suspend, retry, time out; DataFlows follow."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from realkube.argo_team import (
    ArgoTeam,
    copying,
    dag,
    node,
    nodes,
    over,
    parameters,
    phase,
    shell,
    step,
    summary,
    task,
    workflow,
)
from realkube.team import Flow

from realkube.argo import Argo

END_SECONDS = 5.0
"""A DataFlow has ended so long after its node, or its workflow, has."""
LONG = {"seconds": 1.0}
"""100 s of work."""


def until_flows_end(team: ArgoTeam, name: str, count: int = 1) -> list[Flow]:
    """Return a workflow's DataFlows, which have to end now."""
    flows = team.until_flows(name, over, END_SECONDS, "the end of DataFlows")
    assert len(flows) == count
    return flows


def reason(flow: Flow) -> str:
    """Return why a DataFlow failed."""
    return next(str(c["reason"]) for c in flow["status"]["conditions"] if c["type"] == "Failed")


@pytest.mark.parametrize("how", ["Stop", "Terminate"])
def test_a_stopped_workflows_flow_ends(team: ArgoTeam, how: str) -> None:
    name = team.submit(workflow("stopped", step("main", copying("stopped.mp4", dawdle=LONG))))
    team.until_running(name)
    team.change(name, shutdown=how)
    (flow,) = until_flows_end(team, name)
    assert reason(flow) in ("OwnerEnded", "Cancelled")
    ended = team.until_ended(name, 30)
    assert phase(ended) == "Failed"
    assert not (team.folder / "stopped.mp4").exists()
    assert node(ended, name)["phase"] == "Failed", "the step came to life again"


def test_a_deleted_workflow_leaves_nothing(team: ArgoTeam) -> None:
    name = team.submit(workflow("deleted", step("main", copying("deleted.mp4", dawdle=LONG))))
    team.until_running(name)
    team.kubectl("delete", "workflow", name, "--timeout=30s", timeout=40)
    team.until_nothing_is_left(30)


def test_a_suspended_workflow_goes_on(team: ArgoTeam) -> None:
    """The step that runs ends as it would; the next one begins after the resumption."""
    one, two = step("one", copying("one.mp4", dawdle={"seconds": 0.05})), step("two", copying("two.mp4"))
    name = team.submit(workflow("suspended", dag("main", task("one"), task("two", ["one"])), one, two))
    team.until_running(name)
    team.change(name, suspend=True)
    team.until_flows(name, over, 40)
    assert (team.folder / "one.mp4").exists()
    held = team.workflow(name)
    assert phase(held) == "Running"
    assert node(held, "two") == {}
    team.change(name, suspend=None)
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)
    assert (team.folder / "two.mp4").exists()


def test_what_runs_on_exit_outlives_a_stop(team: ArgoTeam) -> None:
    """The exit handler's own DataFlow, that is; the other ones end."""
    work = step("work", copying("work.mp4", dawdle=LONG))
    farewell = step("farewell", copying("farewell.mp4", dawdle={"seconds": 0.03}))
    name = team.submit(workflow("farewell", work, farewell, onExit="farewell"))
    team.until_running(name)
    team.change(name, shutdown="Stop")
    ended = team.until_ended(name)
    assert phase(ended) == "Failed"
    assert node(ended, f"{name}.onExit")["phase"] == "Succeeded", summary(ended)
    assert (team.folder / "farewell.mp4").exists()
    assert not (team.folder / "work.mp4").exists()


def test_retries_are_attempts_of_their_own(team: ArgoTeam) -> None:
    fails = step("main", copying("never.mp4", dawdle={"seconds": 0, "failAt": 3}), retryStrategy={"limit": "1"})
    name = team.submit(workflow("retried", fails))
    ended = team.until_ended(name, 120)
    assert phase(ended) == "Failed"
    tries = [found for found in nodes(ended).values() if found["type"] == "Plugin"]
    assert {found["phase"] for found in tries} == {"Failed"}, summary(ended)
    flows = team.flows(name)
    assert sorted(f["metadata"]["annotations"]["accelchain.io/node-attempt"] for f in flows) == ["0", "1"]
    assert all("dawdle breaks" in found["message"] for found in tries), summary(ended)


def test_a_step_that_fails_says_why(team: ArgoTeam) -> None:
    name = team.submit(workflow("missing", step("main", copying("x.mp4", source="file:///data/nothing.mp4"))))
    ended = team.until_ended(name)
    assert node(ended, name)["phase"] == "Failed"
    message = node(ended, name)["message"]
    assert "inputs.video" in message
    assert f"accelchain logs {team.flows(name)[0]['metadata']['name']} -n {team.namespace}" in message


@pytest.mark.parametrize("field", ["timeout", "activeDeadlineSeconds"])
def test_a_steps_time_limit_ends_its_flow(team: ArgoTeam, field: str) -> None:
    limit = "8s" if field == "timeout" else 8
    name = team.submit(workflow("late", step("main", copying("late.mp4", dawdle=LONG), **{field: limit})))
    ended = team.until_ended(name, 60)
    assert node(ended, name)["phase"] == "Failed", summary(ended)
    until_flows_end(team, name)
    assert not (team.folder / "late.mp4").exists()


def test_the_workflows_time_limit_ends_its_flows(team: ArgoTeam) -> None:
    name = team.submit(workflow("late", step("main", copying("late.mp4", dawdle=LONG)), activeDeadlineSeconds=10))
    ended = team.until_ended(name, 60)
    assert phase(ended) in ("Failed", "Error"), summary(ended)
    until_flows_end(team, name)


@pytest.fixture
def cli(argo: Argo, team: ArgoTeam) -> Argo:
    """Argo's command line."""
    if not argo.has_cli:
        pytest.skip("ACCELCHAIN_ARGO names no command line")
    return argo


def until_it_can_be_retried(team: ArgoTeam, name: str, wait_until: Callable[..., None]) -> None:
    """Wait for another second, as times of Workflows have whole ones, and for the end of the agent.

    While the agent of the first try ends, Argo takes it for that of the second one, and for failed.
    """
    time.sleep(max(0.0, 1.1 - (time.time() % 1)))
    wait_until(lambda: not team.agents(name), 60, "the end of the agent")


def test_argo_retry_runs_the_same_node_again(team: ArgoTeam, cli: Argo, wait_until: Callable[..., None]) -> None:
    """It keeps workflow, uid, node and name: only the node's start tells that it is to be done again."""
    name = team.submit(workflow("again", step("main", copying("again.mp4", source="file:///data/late.mp4"))))
    ended = team.until_ended(name)
    assert phase(ended) == "Failed"
    (first,) = team.flows(name)
    (team.folder / "grey.mp4").rename(team.folder / "late.mp4")
    until_it_can_be_retried(team, name, wait_until)
    cli.cli(team.namespace, "retry", name)
    team.until_workflow(name, lambda w: phase(w) == "Running", 20, "the retry")
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)
    (second,) = team.flows(name)
    assert second["metadata"]["name"] == first["metadata"]["name"]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


def test_argo_retry_where_argo_has_its_own_roles_alone(
    team: ArgoTeam, cli: Argo, route: str, wait_until: Callable[..., None]
) -> None:
    """They lack ``workflowtasksets/status``: an old result stays, unless the task-set operator takes it out."""
    if route == "plugin":
        pytest.skip("nothing but that right mends it: accelchain argo install grants it")
    team.kubectl("delete", "role,rolebinding", "accelchain-argo-controller")
    name = team.submit(workflow("again", step("main", copying("again.mp4", source="file:///data/late.mp4"))))
    assert phase(team.until_ended(name)) == "Failed"
    wait_until(lambda: not team.told(name), END_SECONDS, "the old result's removal")
    (team.folder / "grey.mp4").rename(team.folder / "late.mp4")
    until_it_can_be_retried(team, name, wait_until)
    cli.cli(team.namespace, "retry", name)
    team.until_workflow(name, lambda w: phase(w) == "Running", 20, "the retry")
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)


def test_steps_follow_each_other_where_argo_has_its_own_roles_alone(team: ArgoTeam, route: str) -> None:
    """The controller goes on when the TaskSet changes, which it may not do itself: the task-set operator does."""
    if route == "plugin":
        pytest.skip("the workflow stands still after a step: accelchain argo install grants what lacks")
    team.kubectl("delete", "role,rolebinding", "accelchain-argo-controller")
    one, two = step("one", copying("one.mp4")), step("two", copying("two.mp4"))
    name = team.submit(workflow("alone", dag("main", task("one"), task("two", ["one"])), one, two))
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)
    assert len(team.flows(name)) == 2


def test_argo_resubmit_is_a_workflow_of_its_own(team: ArgoTeam, cli: Argo) -> None:
    name = team.submit(workflow("once", step("main", copying("once.mp4"), {"frames": "frames"})))
    team.until_ended(name)
    said = cli.cli(team.namespace, "resubmit", name, "-o", "name").split()
    other = said[-1]
    assert other != name
    ended = team.until_ended(other)
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, other)) == {"frames": "100"}
    assert len(team.flows(name)) == len(team.flows(other)) == 1


def test_argo_stop_and_resume_by_the_command_line(team: ArgoTeam, cli: Argo) -> None:
    hold = {"name": "hold", "suspend": {}}
    main = dag("main", task("hold"), task("work", ["hold"]))
    name = team.submit(workflow("held", main, hold, step("work", copying("held.mp4", dawdle=LONG))))
    team.until_workflow(name, lambda w: node(w, "hold").get("phase") == "Running", 30, "the pause")
    assert team.flows(name) == []
    cli.cli(team.namespace, "resume", name)
    team.until_running(name)
    cli.cli(team.namespace, "stop", name)
    until_flows_end(team, name)
    assert phase(team.until_ended(name, 30)) == "Failed"


def test_a_failed_sibling_stops_what_else_runs(team: ArgoTeam) -> None:
    """A step group's other steps go on in Argo; its workflow's end is theirs."""
    main = dag("main", task("breaks"), task("works"), failFast=True)
    works = step("works", copying("works.mp4", dawdle={"seconds": 0.1}))
    name = team.submit(workflow("siblings", main, shell("breaks", "exit 1"), works))
    ended = team.until_ended(name, 120)
    assert phase(ended) == "Failed"
    until_flows_end(team, name)
