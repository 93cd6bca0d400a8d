# SPDX-License-Identifier: Apache-2.0
"""What fails: operators, agents, a node, the API. Flows go on, or are placed anew, and no result is of two attempts."""

from __future__ import annotations

import calendar
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from realkube.cluster import Cluster
from realkube.figures import Figures
from realkube.pods import processes, send
from realkube.process import until
from realkube.release import CONTROLLERS, Release
from realkube.team import GROUP, Flow, Team

pytestmark = pytest.mark.timeout(300, func_only=True)
MakeFlow = Callable[..., Flow]
Whole = Callable[[Path, str], None]


def taken_over(release: Release, controller: str, since: float, holder: str) -> float:
    """Wait until another process leads, and return after how many seconds it did."""
    until(lambda: release.lease(controller).get("holderIdentity", "") not in ("", holder), 60, "another leader")
    text = release.lease(controller)["acquireTime"]
    whole, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}") - since


@pytest.mark.parametrize(("number", "reach"), [(signal.SIGKILL, 17), (signal.SIGTERM, 2)], ids=["kill", "term"])
def test_another_replica_takes_over(
    own_functions: Release,
    team: Team,
    late_flow: MakeFlow,
    is_whole: Whole,
    figures: Figures,
    number: signal.Signals,
    reach: float,
) -> None:
    team.apply(late_flow(seconds=0.3))
    team.until_phase("late", "Running")
    holder = own_functions.lease("dataflow")["holderIdentity"]
    leader = own_functions.leader("dataflow")
    began = time.time()
    send(leader, number)
    seconds = taken_over(own_functions, "dataflow", began, holder)
    figures.add(f"take-over after {number.name}", reach=reach, seconds=round(seconds, 2))
    team.apply(late_flow("next", seconds=0))
    team.until_phase("next", "Succeeded", seconds=60)
    status = team.until_phase("late", "Succeeded", seconds=120)
    assert status["attempt"] == 1
    is_whole(team.folder / "late.mp4", team.pod("late")["metadata"]["name"])


def test_a_node_agent_is_killed(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(seconds=0.1))
    team.until_phase("late", "Running")
    agent = next(pod for pod in own_functions.pods("node") if pod["spec"]["nodeName"] == "n1")
    send(agent, signal.SIGKILL)
    team.apply(late_flow("next", seconds=0))
    for name in ("late", "next"):
        assert team.until_phase(name, "Succeeded", seconds=90)["attempt"] == 1
    until(lambda: restarts(own_functions, "node") >= 1, 60, "the agent's restart")


def restarts(release: Release, component: str) -> int:
    return sum(s["restartCount"] for pod in release.pods(component) for s in pod["status"]["containerStatuses"])


def test_a_rolling_restart_of_all_operators_interrupts_no_flow(
    own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole
) -> None:
    names = [f"late-{number}" for number in range(20)]
    team.apply(*(late_flow(name, seconds=0.6) for name in names))
    for name in names:
        team.until_phase(name, "Running", seconds=120)
    own_functions.restart(*CONTROLLERS)
    for name in names:
        status = team.until_phase(name, "Succeeded", "Failed", seconds=150)
        assert (status["phase"], status["attempt"]) == ("Succeeded", 1), status
        (pod,) = team.pods(name)
        is_whole(team.folder / f"{name}.mp4", pod["metadata"]["name"])


def test_the_api_is_away_for_a_minute(
    own_functions: Release, cluster: Cluster, team: Team, late_flow: MakeFlow, is_whole: Whole
) -> None:
    team.apply(late_flow("short", seconds=0.3), late_flow("long", seconds=1.0))
    for name in ("short", "long"):
        team.until_phase(name, "Running")
    cluster.kill_part("kube-apiserver")
    try:
        time.sleep(60)  # the outage itself
    finally:
        cluster.start_part("kube-apiserver")
    for name in ("short", "long"):
        status = team.until_phase(name, "Succeeded", "Failed", seconds=150)
        assert (status["phase"], status["attempt"]) == ("Succeeded", 1), status
        (pod,) = team.pods(name)
        is_whole(team.folder / f"{name}.mp4", pod["metadata"]["name"])


@pytest.fixture
def second_node(own_functions: Release, cluster: Cluster) -> Iterator[str]:
    """A second node whose devices are known."""
    name = cluster.add_node()
    until(lambda: cluster.kubectl("get", "computeresource", name, check=False).returncode == 0, 60, "its devices")
    yield name
    cluster.thaw(name)
    cluster.remove_node(name)
    cluster.kubectl("delete", f"computeresources.{GROUP}", name, "--ignore-not-found")


@pytest.mark.timeout(500, func_only=True)
def test_a_node_is_frozen_and_thawed(
    cluster: Cluster, second_node: str, team: Team, late_flow: MakeFlow, is_whole: Whole, figures: Figures
) -> None:
    def nodes(name: str) -> set[str]:
        return {place["node"] for place in team.status(name).get("placement", ())}

    busy = {"rate": {"framesPerSecond": 40}, "placement": {"rules": [{"nodes": ["n1"]}]}}
    team.apply(late_flow("filler", spec=busy, seconds=10))  # so that the other one is preferred
    team.until_phase("filler", "Running")
    team.apply(late_flow("late", spec={"retries": {"limit": 1}}, seconds=0.2))
    pinned = {"placement": {"rules": [{"nodes": [second_node]}]}}
    team.apply(late_flow("lost", spec=pinned, seconds=0.2))
    for name in ("late", "lost"):
        team.until_phase(name, "Running")
        assert nodes(name) == {second_node}
    frozen: dict[str, Any] = {name: team.pod(name) for name in ("late", "lost")}
    cluster.freeze(second_node)
    began = time.monotonic()
    team.until("late", lambda status: status["attempt"] == 2 and status["phase"] == "Running", 240, "another attempt")
    figures.add("a flow of a frozen node runs elsewhere", seconds=round(time.monotonic() - began, 1))
    assert nodes("late") == {"n1"}
    team.until_phase("late", "Succeeded", seconds=90)
    team.until_phase("lost", "Failed", seconds=90)
    failed = team.condition("lost", "Failed")
    assert failed["reason"] == "WorkerLost" and second_node in failed["message"]
    film = team.folder / "late.mp4"
    published = film.stat()
    cluster.thaw(second_node)
    cluster.kubectl("wait", f"node/{second_node}", "--for=condition=Ready", "--timeout=90s", timeout=100)
    for pod in frozen.values():
        until(lambda pod=pod: not processes(pod), 60, "the end of the thawed worker")
    assert (film.stat().st_ino, film.stat().st_mtime_ns) == (published.st_ino, published.st_mtime_ns)
    is_whole(film, team.pod("late")["metadata"]["name"])
    assert sorted(path.name for path in team.folder.glob("*.mp4")) == ["grey.mp4", "late.mp4", "people.mp4"]
    (failure,) = team.status("late")["failures"]
    assert failure["reason"] == "WorkerLost" and second_node in failure["message"]
    assert team.status("filler")["attempt"] == 1 and team.status("filler")["phase"] == "Running"


def test_an_individual_layer_is_adopted(
    own_functions: Release, cluster: Cluster, team: Team, late_flow: MakeFlow
) -> None:
    team.apply(late_flow(seconds=0.2))
    team.until_phase("late", "Running")
    team.kubectl(
        "patch",
        "wbfunction",
        "late.dawdle",
        "--type=json",
        "-p",
        '[{"op": "remove", "path": "/metadata/ownerReferences"}]',
    )
    holder = own_functions.lease("dataflow")["holderIdentity"]
    send(own_functions.leader("dataflow"), signal.SIGTERM)
    taken_over(own_functions, "dataflow", time.time(), holder)

    def is_owned() -> bool:
        found = json.loads(team.kubectl("get", "wbfunction", "late.dawdle", "-o", "json").stdout)
        return [owner["name"] for owner in found["metadata"].get("ownerReferences", ())] == ["late"]

    until(is_owned, 40, "its owner")
    assert team.until_phase("late", "Succeeded", seconds=90)["attempt"] == 1
