# SPDX-License-Identifier: Apache-2.0
"""A flow's life in a cluster, as users and administrators see it with kubectl and our own commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.cluster import Cluster
from realkube.figures import Figures
from realkube.machine import KUBECTL
from realkube.pods import send
from realkube.release import Release
from realkube.team import GROUP, VOLUME, Flow, Team

pytestmark = pytest.mark.timeout(240, func_only=True)
MakeFlow = Callable[..., Flow]
Whole = Callable[[Path, str], None]
SUCCESS = '{"status": {"phase": "Succeeded"}}'
PATCH_STATUS = ("patch", "dataflow", "other", "--subresource=status", "--type=merge", f"--patch={SUCCESS}")


@pytest.fixture
def cli(machine: Any, cluster: Cluster, team: Team) -> Callable[..., Any]:
    """Run one of our commands to its end, as a user of the team's namespace; ``start`` starts one."""

    def run(*arguments: object, start: bool = False) -> Any:
        options = ("--kubeconfig", cluster.kubeconfig, "-n", team.namespace)
        return (machine.start if start else machine.run)(*arguments, *options)

    return run


@pytest.fixture
def flow_file(machine: Any) -> Callable[..., Path]:
    """Write objects to a file of the user's machine."""

    def write(*objects: Mapping[str, Any]) -> Path:
        path: Path = machine.work / "flow.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        return path

    return write


def ended(team: Team, name: str) -> Flow:
    """Wait for the end of a flow and return its condition Failed."""
    team.until_phase(name, "Succeeded", "Failed", seconds=120)
    return team.condition(name, "Failed")


# -- by kubectl ------------------------------------------------------------------------------------------------------


def test_kubectl_from_apply_to_delete(own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole) -> None:
    flow = late_flow(seconds=0.02)
    team.apply(flow)
    team.kubectl("wait", "dataflow/late", "--for=condition=Succeeded", "--timeout=90s", timeout=100)
    header, row = team.kubectl("get", "dataflows").stdout.splitlines()
    assert header.split()[:2] == ["NAME", "PHASE"] and row.split()[:3] == ["late", "Succeeded", "100"]
    described = team.kubectl("describe", "dataflow", "late").stdout
    for words in ("Accepted", "Scheduled", "Succeeded", "Verified:", "Events:"):
        assert words in described
    events = team.kubectl("events", "--for", "dataflow/late").stdout
    assert "Succeeded" in events and "100 frames" in events
    assert "Succeeded after 100 frames" in team.kubectl("logs", "-l", f"{GROUP}/dataflow=late").stdout
    children = team.kubectl("get", "wbfunctions,wbconnections", "-o", "name").stdout.split()
    assert len(children) == 5
    (pod,) = team.pods("late")
    is_whole(team.folder / "late.mp4", pod["metadata"]["name"])
    before = team.flow("late")["metadata"]["resourceVersion"]
    team.apply(flow)  # kubectl sends lists without the fields that the API adds; the object is the same
    assert team.flow("late")["metadata"]["resourceVersion"] == before
    team.kubectl("delete", "dataflow", "late", "--timeout=30s")
    team.until_nothing_is_left()
    assert (team.folder / "late.mp4").exists()


def test_deleting_a_running_flow_leaves_nothing(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(seconds=0.3))
    team.until_phase("late", "Running")
    team.kubectl("delete", "dataflow", "late", "--timeout=30s")
    team.until_nothing_is_left(30)
    assert sorted(path.name for path in team.folder.iterdir()) == ["grey.mp4", "people.mp4"]


def test_same_named_flows_in_two_namespaces(
    own_functions: Release, make_team: Callable[[], Team], late_flow: MakeFlow, is_whole: Whole
) -> None:
    teams = [make_team(), make_team()]
    for one in teams:
        one.apply(late_flow(seconds=0.02))
    for one in teams:
        one.until_phase("late", "Succeeded", seconds=90)
        (pod,) = one.pods("late")
        is_whole(one.folder / "late.mp4", pod["metadata"]["name"])


def test_names_of_the_greatest_length(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    names = [f"{'flow.' * 50}{end}" for end in ("one", "two")]
    assert {len(name) for name in names} == {253}
    for number, name in enumerate(names):
        team.apply(late_flow(name, film=f"film{number}", seconds=0))
    for number, name in enumerate(names):
        team.until_phase(name, "Succeeded", seconds=90)
        assert (team.folder / f"film{number}.mp4").exists()
    for kind in ("pods", "configmaps", "secrets", f"wbfunctions.{GROUP}", f"wbconnections.{GROUP}"):
        found = json.loads(team.kubectl("get", kind, "-l", f"{GROUP}/dataflow", "-o", "json").stdout)["items"]
        owners = [owner["name"] for obj in found for owner in obj["metadata"]["ownerReferences"]]
        assert owners.count(names[0]) == owners.count(names[1]) > 0, kind


def test_a_dry_run_plans_and_makes_nothing(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(spec={"dryRun": True}))
    status = team.until_phase("late", "Planned")
    assert [function["name"] for function in status["plan"]["functions"]] == ["decode", "dawdle", "encode"]
    assert status["plan"]["fenced"] is True and "tokenSha256" not in status["plan"]
    assert team.left() == [f"dataflow.{GROUP}/late"]


def test_a_paused_flow_is_left_alone(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    flow = late_flow(seconds=0)
    flow["metadata"]["annotations"] = {f"{GROUP}/paused": "true"}
    other = late_flow("other", seconds=0)
    team.apply(flow, other)
    team.until_phase("other", "Succeeded")
    assert team.status("late") == {} and not team.pods("late")
    team.kubectl("annotate", "dataflow", "late", f"{GROUP}/paused-")
    team.until_phase("late", "Succeeded")


# -- its ends --------------------------------------------------------------------------------------------------------


def test_suspend_and_resume(own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole) -> None:
    team.apply(late_flow(seconds=0.1))
    team.until_phase("late", "Running")
    team.patch("late", suspend=True)
    status = team.until_phase("late", "Suspended")
    assert not status.get("placement")
    assert all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in team.pods("late"))
    assert not (team.folder / "late.mp4").exists()
    team.patch("late", suspend=False)
    status = team.until_phase("late", "Succeeded", seconds=90)
    assert status["attempt"] == 2 and not status.get("failures")
    is_whole(team.folder / "late.mp4", team.pod("late")["metadata"]["name"])


def test_cancel_is_one_way(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(seconds=0.3))
    team.until_phase("late", "Running")
    team.patch("late", cancel=True)
    assert ended(team, "late")["reason"] == "Cancelled"
    assert "late.mp4" not in {path.name for path in team.folder.iterdir()}


def test_ttl_deletes_what_is_over(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(spec={"ttlSecondsAfterFinished": 3}, seconds=0))
    team.until_phase("late", "Succeeded")
    team.until_nothing_is_left(30)
    assert (team.folder / "late.mp4").exists()


def test_a_deadline(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(spec={"activeDeadlineSeconds": 4, "retries": {"limit": 3}}, seconds=0.5))
    assert ended(team, "late")["reason"] == "DeadlineExceeded"
    assert team.status("late")["attempt"] == 1


def test_a_stream_that_is_deleted_publishes_what_it_has(
    own_functions: Release, team: Team, late_flow: MakeFlow, shades: Callable[[Path], list[int]]
) -> None:
    team.apply(late_flow(spec={"mode": "Stream"}, seconds=0.3))
    team.until("late", lambda status: status.get("progress", {}).get("frames", 0) > 10, 60, "ten frames")
    team.kubectl("delete", "dataflow", "late", "--timeout=40s", timeout=50)
    team.until_nothing_is_left(40)
    assert 10 < len(shades(team.folder / "late.mp4")) < 100


OWNER = {
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 0,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": "localhost/busybox:1",
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_flow_ends_with_its_owner(
    own_functions: Release, team: Team, late_flow: MakeFlow, figures: Figures, kind: str
) -> None:
    spec = OWNER if kind == "Pod" else {"backoffLimit": 0, "template": {"spec": OWNER}}
    version = "v1" if kind == "Pod" else "batch/v1"
    team.apply({"apiVersion": version, "kind": kind, "metadata": {"name": "owner"}, "spec": spec})
    owner = json.loads(team.kubectl("get", kind, "owner", "-o", "json").stdout)
    pods = ("pods", "-l", "job-name=owner") if kind == "Job" else ("pod/owner",)
    team.kubectl("wait", *pods, "--for=condition=Ready", "--timeout=60s", timeout=70)
    flow = late_flow(seconds=0.5)
    reference = {"apiVersion": version, "kind": kind, "name": "owner", "uid": owner["metadata"]["uid"]}
    flow["metadata"]["ownerReferences"] = [reference]
    team.apply(flow)
    team.until_phase("late", "Running")
    (pod,) = (
        json.loads(team.kubectl("get", "pods", *pods[1:], "-o", "json").stdout)["items"]
        if kind == "Job"
        else [json.loads(team.kubectl("get", "pod", "owner", "-o", "json").stdout)]
    )
    send(pod, signal.SIGTERM)  # it ends by itself, and is there still
    began = time.monotonic()
    team.until_phase("late", "Failed", seconds=30)
    figures.add(f"end of a {kind} until its flow is cancelled", reach=5, seconds=round(time.monotonic() - began, 2))
    assert team.condition("late", "Failed")["reason"] == "OwnerEnded"


# -- failures --------------------------------------------------------------------------------------------------------


def second_attempt(team: Team, is_whole: Whole, reason: str = "WorkerLost") -> str:
    """Wait until the second attempt has done it, and return the sentence on the first one."""
    status = team.until_phase("late", "Succeeded", "Failed", seconds=120)
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2), status
    (failure,) = status["failures"]
    assert (failure["attempt"], failure["reason"]) == (1, reason)
    is_whole(team.folder / "late.mp4", team.pod("late")["metadata"]["name"])
    return str(failure["message"])


def test_retry_after_a_worker_is_killed(
    own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole
) -> None:
    team.apply(late_flow(spec={"retries": {"limit": 1}}, seconds=0.05))
    team.until_phase("late", "Running")
    send(team.pod("late"), signal.SIGKILL)
    assert re.search("137|signal 9|SIGKILL", second_attempt(team, is_whole))


def test_retry_after_a_pod_is_deleted_by_force(
    own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole
) -> None:
    team.apply(late_flow(spec={"retries": {"limit": 1}}, seconds=0.05))
    team.until_phase("late", "Running")
    team.kubectl("delete", "pod", team.pod("late")["metadata"]["name"], "--force", "--grace-period=0")
    assert "deleted" in second_attempt(team, is_whole)


def test_retry_after_an_eviction(own_functions: Release, team: Team, late_flow: MakeFlow, is_whole: Whole) -> None:
    team.apply(late_flow(spec={"retries": {"limit": 1}}, seconds=0.05))
    team.until_phase("late", "Running")
    name = team.pod("late")["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{team.namespace}/pods/{name}/eviction"
    team.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert re.search("evict|drain", second_attempt(team, is_whole), re.IGNORECASE)


def test_out_of_memory(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(spec={"retries": {"limit": 1}}, megabytes=2000, seconds=0.01))
    failed = ended(team, "late")
    assert failed["reason"] == "WorkerLost" and re.search("out of memory|OOMKilled", failed["message"])
    failures = team.status("late")["failures"]
    assert [failure["reason"] for failure in failures] == ["WorkerLost"] * 2
    assert not (team.folder / "late.mp4").exists()


def test_a_function_that_breaks(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    team.apply(late_flow(spec={"retries": {"limit": 1}}, failAt=5, seconds=0))
    failed = ended(team, "late")
    assert failed["reason"] == "FunctionFailed" and "dawdle breaks" in failed["message"]
    first, second = (seconds_of(failure["time"]) for failure in team.status("late")["failures"])
    assert second - first >= 10, "the pause of that class"


def test_users_faults_are_not_tried_again(own_functions: Release, team: Team, late_flow: MakeFlow) -> None:
    spec = {"retries": {"limit": 3}, "inputs": {"video": {"uri": "file:///data/nowhere.mp4"}}}
    team.apply(late_flow(spec=spec, seconds=0))
    failed = ended(team, "late")
    assert failed["reason"] == "InvalidInput" and "spec.inputs.video.uri" in failed["message"]
    assert "nowhere.mp4" in failed["message"] and team.status("late")["attempt"] == 1


def test_a_claim_that_is_missing_and_an_image_that_is_not_there(
    own_functions: Release, team: Team, late_flow: MakeFlow
) -> None:
    volume = {**VOLUME, "persistentVolumeClaim": {"claimName": "missing"}}
    team.apply(late_flow(spec={"volumes": [volume]}, seconds=0))
    team.until("late", lambda _: "missing" in team.condition("late", "Running").get("message", ""), 60)
    assert team.condition("late", "Running")["reason"] == "Unschedulable"
    assert team.status("late")["phase"] == "Pending"


def seconds_of(text: str) -> float:
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


# -- our own commands ------------------------------------------------------------------------------------------------


def test_run_shows_figures_that_come_by_port_forward(
    own_functions: Release, team: Team, late_flow: MakeFlow, cli: Callable[..., Any], flow_file: Callable[..., Path]
) -> None:
    ran = cli("run", flow_file(late_flow(seconds=0.1)), "--report", "report.html", "--graph", "graph.svg")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"[1-9]\d*/100 frames, \d+\.\d frames/s", ran.stderr), ran.stderr
    assert "no live figures" not in ran.stderr
    assert "late succeeded: 100 frames" in ran.stderr
    assert (team.folder / "late.mp4").exists()
    team.until_nothing_is_left(10)


def test_our_commands_for_a_flow_that_runs(
    own_functions: Release, team: Team, late_flow: MakeFlow, cli: Callable[..., Any]
) -> None:
    team.apply(late_flow(seconds=0.1))
    team.until_phase("late", "Running")
    assert "late" in cli("get").stdout
    described = cli("describe", "late").stdout
    for words in ("Running", "Placement:", "Edges:", "dawdle.frames → encode.frames"):
        assert words in described
    live = cli("live", "late", start=True)
    live.until("Ctrl-C ends it")
    followed = cli("logs", "-f", "late")
    assert followed.returncode == 0 and "Succeeded after 100 frames" in followed.stdout, followed.stderr
    assert live.end(30) == 0, live.err
    assert cli("delete", "late").stdout == "dataflow/late deleted\n"
    team.until_nothing_is_left(10)


def test_ctrl_c_leaves_nothing(
    own_functions: Release,
    team: Team,
    late_flow: MakeFlow,
    cli: Callable[..., Any],
    flow_file: Callable[..., Path],
    figures: Figures,
) -> None:
    running = cli("run", flow_file(late_flow(seconds=0.3)), "--no-report", start=True)
    running.until("/100 frames", 60)
    began = time.monotonic()
    running.signal()
    team.until_nothing_is_left(40)
    figures.add("Ctrl-C until nothing is left, cluster", reach=5, seconds=round(time.monotonic() - began, 2))
    assert running.end(20) == 130, running.err
    assert sorted(path.name for path in team.folder.iterdir()) == ["grey.mp4", "people.mp4"]


def test_a_user_with_the_role_edit_runs_flows_and_writes_no_status(
    own_functions: Release, cluster: Cluster, team: Team, machine: Any, late_flow: MakeFlow
) -> None:
    team.kubectl("create", "rolebinding", "jane", "--clusterrole=edit", "--user=jane")
    jane = cluster.user("jane")
    (machine.work / "flow.yaml").write_text(yaml.safe_dump(late_flow(seconds=0.01)))
    ran = machine.run("run", "flow.yaml", "--no-report", "-n", team.namespace, "--kubeconfig", jane)
    assert ran.returncode == 0, ran.stderr
    team.apply(late_flow("other", spec={"suspend": True}))
    kubectl = subprocess.run(
        [KUBECTL, f"--kubeconfig={jane}", f"--namespace={team.namespace}", *PATCH_STATUS],
        env={"HOME": str(machine.work)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert kubectl.returncode and "forbidden" in kubectl.stderr.lower()
