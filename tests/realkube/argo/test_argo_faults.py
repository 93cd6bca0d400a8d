# SPDX-License-Identifier: Apache-2.0
"""Processes that die under running workflows: Argo's controller, its agents, our operators and workers."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from realkube.argo_team import (
    ENDED,
    ArgoTeam,
    copying,
    dag,
    node,
    over,
    parameters,
    phase,
    step,
    summary,
    task,
    workflow,
)
from realkube.pods import send
from realkube.release import Release

from realkube.argo import Argo

MEDIUM = {"seconds": 0.08}
"""8 s of work."""


def chain_of_two(prefix: str) -> dict[str, object]:
    one = step("one", copying("one.mp4", dawdle=MEDIUM), {"film": "film"})
    two = step("two", copying("two.mp4", source="{{inputs.parameters.film}}", dawdle=MEDIUM), {"frames": "frames"})
    two["inputs"] = {"parameters": [{"name": "film"}]}
    handed = {"film": "{{tasks.one.outputs.parameters.film}}"}
    return workflow(prefix, dag("main", task("one"), task("two", ["one"], parameters=handed)), one, two)


def assert_went_well(team: ArgoTeam, name: str, seconds: float = 150.0) -> None:
    """Fail unless both steps were done, and each once."""
    ended = team.until_ended(name, seconds)
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, "two")) == {"frames": "100"}
    assert [flow["status"].get("attempt", 1) for flow in team.flows(name)] == [1, 1]


def test_a_lost_agent_is_made_again_and_nothing_is_done_twice(team: ArgoTeam, route: str) -> None:
    if route == "taskset":
        pytest.skip("there are no agents")
    name = team.submit(chain_of_two("agent"))
    (flow,) = team.until_running(name)
    # One that is told to stop fails, and Argo takes its steps for failed with it.
    team.kubectl("delete", *team.agents(name), "--force", "--grace-period=0")
    assert_went_well(team, name)
    assert team.flows(name)[0]["metadata"]["uid"] == flow["metadata"]["uid"]


def test_argos_controller_dies(team: ArgoTeam, argo: Argo) -> None:
    name = team.submit(chain_of_two("controller"))
    team.until_running(name)
    argo.restart()
    assert_went_well(team, name)


@pytest.mark.parametrize("controller", ["taskset", "dataflow"])
def test_our_operator_dies(team: ArgoTeam, route: str, release: Release, controller: str) -> None:
    if route == "plugin" and controller == "taskset":
        pytest.skip("it is not installed")
    name = team.submit(chain_of_two("operator"))
    team.until_running(name)
    send(release.leader(controller), signal.SIGKILL)
    assert_went_well(team, name)


def test_our_operator_dies_between_two_steps(team: ArgoTeam, route: str, release: Release) -> None:
    """While there is no flow at all, and what it has to say is not said yet."""
    if route == "plugin":
        pytest.skip("the task-set operator is not installed")
    name = team.submit(chain_of_two("between"))
    team.until_running(name)
    team.until_flows(name, over, 60)
    send(release.leader("taskset"), signal.SIGKILL)
    assert_went_well(team, name)


def test_a_task_set_deleted_under_its_workflow(team: ArgoTeam, route: str) -> None:
    """Argo makes it again when the next step begins; ours is not begun twice."""
    if route != "taskset":
        pytest.skip("an agent ends with its task set")
    name = team.submit(chain_of_two("set"))
    (flow,) = team.until_running(name)
    team.kubectl("delete", "workflowtaskset", name)
    team.change(name, parallelism=50)  # a reason for Argo to look at the workflow
    ended = team.until_ended(name, 150)
    assert team.flows(name)[0]["metadata"]["uid"] == flow["metadata"]["uid"]
    assert phase(ended) == "Succeeded", summary(ended)


def test_a_killed_worker_is_an_error_that_argo_tries_again(team: ArgoTeam) -> None:
    again = {"limit": "2", "retryPolicy": "Always"}
    name = team.submit(workflow("worker", step("main", copying("w.mp4", dawdle=MEDIUM), retryStrategy=again)))
    (flow,) = team.until_running(name)
    pod = team.pod(flow["metadata"]["name"])
    team.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    ended = team.until_ended(name, 150)
    assert phase(ended) == "Succeeded", summary(ended)
    first, second = team.flows(name)
    assert first["status"]["phase"] == "Failed"
    assert second["status"]["phase"] == "Succeeded"
    assert node(ended, f"{name}(0)")["phase"] == "Error"


def actions() -> Iterator[tuple[int, str]]:
    """Yield seeds and what happens at a random moment."""
    for seed in range(6):
        yield seed, random.Random(seed).choice(["stop", "terminate", "retry"])


@pytest.mark.parametrize(("seed", "action"), list(actions()))
def test_a_random_moment(team: ArgoTeam, argo: Argo, wait_until: Callable[..., None], seed: int, action: str) -> None:
    """Whatever is done and when: the workflow ends, its flows end with it, and a retry brings it to its good end."""
    moment = random.Random(seed + 1000).uniform(0.5, 16.0)
    name = team.submit(chain_of_two(f"random-{seed}"))
    time.sleep(moment)  # the random moment itself
    team.change(name, shutdown="Terminate" if action == "terminate" else "Stop")
    ended = team.until_ended(name, 60)
    flows = team.until_flows(name, over, 5, f"{action} after {moment:.1f} s: the end of the DataFlows")
    if phase(ended) == "Succeeded" or action != "retry" or not argo.has_cli:
        assert len(flows) <= 2
        return
    # While the agent of the first try ends, Argo takes it for that of the second one, and for failed.
    wait_until(lambda: not team.agents(name), 60, "the end of the agent")
    argo.cli(team.namespace, "retry", name)
    team.until_workflow(name, lambda w: phase(w) not in ENDED, 20, "the retry")
    ended = team.until_ended(name, 120)
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, "two")) == {"frames": "100"}
