# SPDX-License-Identifier: Apache-2.0
"""Parallelism, semaphores, memoized steps, large workflows: what Argo does for pods holds for our steps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from realkube.argo_team import (
    ArgoTeam,
    copying,
    dag,
    node,
    nodes,
    parameters,
    phase,
    running,
    shell,
    step,
    summary,
    task,
    workflow,
)

SHORT = {"seconds": 0.03}
"""3 s of work."""


def most_at_once(team: ArgoTeam, name: str, seconds: float = 150.0) -> int:
    """Return how many of a workflow's DataFlows were there and not over at one time, until it ended."""
    most, deadline = 0, time.monotonic() + seconds
    while phase(team.workflow(name)) not in ("Succeeded", "Failed", "Error"):
        assert time.monotonic() < deadline, summary(team.workflow(name))
        states = [flow.get("status", {}).get("phase") for flow in team.flows(name)]
        most = max(most, sum(state not in ("Succeeded", "Failed") for state in states))
        time.sleep(0.2)
    return most


def loop(count: int, dawdle: dict[str, float] | None = None, **template: object) -> tuple[dict[str, object], ...]:
    """Return the templates of a loop over so many DataFlows."""
    ours = step("copy", copying("{{inputs.parameters.film}}.mp4", dawdle=dawdle), {"frames": "frames"})
    ours["inputs"] = {"parameters": [{"name": "film"}]}
    each = task("copies", template="copy", withSequence={"count": str(count)}, parameters={"film": "f{{item}}"})
    return dag("main", each, **template), ours


def test_the_workflows_parallelism_holds(team: ArgoTeam) -> None:
    """Argo itself counts pods alone."""
    name = team.submit(workflow("narrow", *loop(5, SHORT), parallelism=2))
    assert most_at_once(team, name) == 2
    ended = team.workflow(name)
    assert phase(ended) == "Succeeded", summary(ended)
    assert len(team.flows(name)) == 5


def test_a_templates_parallelism_holds(team: ArgoTeam) -> None:
    name = team.submit(workflow("narrow", *loop(3, SHORT, parallelism=1)))
    assert most_at_once(team, name) == 1
    ended = team.workflow(name)
    assert phase(ended) == "Succeeded", summary(ended)


def test_a_semaphore_holds(team: ArgoTeam) -> None:
    team.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits"}, "data": {"copies": "1"}})
    main, ours = loop(3, SHORT)
    lock = {"configMapKeyRef": {"name": "limits", "key": "copies"}}
    ours["synchronization"] = {"semaphores": [lock]}
    name = team.submit(workflow("locked", main, ours))
    assert most_at_once(team, name) == 1
    ended = team.workflow(name)
    assert phase(ended) == "Succeeded", summary(ended)


def test_a_memoized_step_makes_no_second_flow(team: ArgoTeam) -> None:
    cache = {"key": "same", "maxAge": "1h", "cache": {"configMap": {"name": f"cache-{team.namespace}"}}}
    ours = step("main", copying("memo.mp4"), {"frames": "frames"}, memoize=cache)
    first = team.submit(workflow("memo", ours))
    assert phase(team.until_ended(first)) == "Succeeded"
    second = team.submit(workflow("memo", ours))
    ended = team.until_ended(second)
    assert phase(ended) == "Succeeded", summary(ended)
    assert node(ended, second)["memoizationStatus"]["hit"] is True
    assert parameters(node(ended, second)) == {"frames": "100"}
    assert team.flows(second) == []


def test_steps_of_a_workflow_whose_status_is_packed(team: ArgoTeam) -> None:
    """A status above 1 MB goes into ``status.compressedNodes``: here many skipped nodes with long parameters."""
    filler = {"name": "filler", "inputs": {"parameters": [{"name": "text"}]}, "suspend": {"duration": "1"}}
    text = "x" * 9000
    many = task("fill", template="filler", withSequence={"count": "150"}, parameters={"text": f"{text}{{{{item}}}}"})
    ours = step("copy", copying("packed.mp4", dawdle=SHORT), {"frames": "frames"})
    name = team.submit(workflow("packed", dag("main", many, task("copy", ["fill"])), filler, ours))
    team.until_running(name, seconds=150)
    raw = json.loads(team.kubectl("get", "workflow", name, "-o", "json").stdout)["status"]
    assert raw.get("compressedNodes")
    assert not raw.get("nodes")
    ended = team.until_ended(name, 120)
    assert phase(ended) == "Succeeded"
    assert parameters(node(ended, "copy")) == {"frames": "100"}


def test_pods_and_flows_in_one_loop(team: ArgoTeam, wait_until: Callable[..., None]) -> None:
    """Ours and ordinary pods count together."""
    main, ours = loop(2, SHORT)
    main["dag"]["tasks"].append(task("pods", template="pod", withSequence={"count": "2"}))
    name = team.submit(workflow("both", main, ours, shell("pod", "sleep 3"), parallelism=1))
    worst = 0
    deadline = time.monotonic() + 150
    while phase(found := team.workflow(name)) not in ("Succeeded", "Failed", "Error"):
        assert time.monotonic() < deadline, summary(found)
        pods = [n for n in nodes(found).values() if n["type"] == "Pod" and n["phase"] == "Running"]
        worst = max(worst, len(pods) + running(team.flows(name)))
        time.sleep(0.2)
    assert phase(team.workflow(name)) == "Succeeded"
    assert worst <= 2, "a pod of Argo's and a flow of ours may overlap by one, as each counts the other a moment late"
