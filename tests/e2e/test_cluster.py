# SPDX-License-Identifier: Apache-2.0
"""kubectl and our own commands against one ``accelchain up``: several flows, and deletes at any moment."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import av
import pytest
import yaml

CLUSTER_SCOPED = "functiontypes,computeresources,connectiontypes,schedulingstrategies"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, functions, make_machine):
    """A machine whose ``up`` knows dawdle."""
    with make_machine(tmp_path_factory.mktemp("cluster"), "--functions", functions, "--workers", "2") as user:
        yield user


def ours(cluster, *, pods: bool = True) -> list[str]:
    """Names of everything that belongs to flows."""
    kinds = "dataflows,wbfunctions,wbconnections,configmaps,secrets" + (",pods" if pods else "")
    result = cluster.kubectl("get", kinds, "-A", "-o", "name")
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def phase(cluster, name: str) -> str:
    return cluster.kubectl("get", "dataflow", name, "-o", "jsonpath={.status.phase}").stdout


@pytest.fixture(autouse=True)
def tidy(cluster, wait_until):
    yield
    cluster.kubectl("delete", "dataflows", "--all", "--timeout=20s")
    wait_until(lambda: not ours(cluster), 20, "the end of all objects")
    assert not cluster.busy_workers()
    assert cluster.files() == []


def test_kubectl_from_apply_to_delete(cluster, late_flow, tmp_path):
    film = tmp_path / "film.mp4"
    assert cluster.kubectl("apply", "-f", "-", stdin=late_flow(film, seconds=0.02)).returncode == 0
    waited = cluster.kubectl("wait", "dataflow/late", "--for=condition=Succeeded", "--timeout=30s")
    assert waited.returncode == 0, waited.stderr
    table = cluster.kubectl("get", "dataflows").stdout
    assert "late" in table and "Succeeded" in table
    described = cluster.kubectl("describe", "dataflow", "late").stdout
    assert "Accepted" in described and "Succeeded" in described
    (pod,) = cluster.kubectl("get", "pods", "-o", "name").stdout.split()
    assert "Succeeded after 100 frames" in cluster.kubectl("logs", "-f", pod).stdout
    again = cluster.kubectl("apply", "-f", "-", stdin=late_flow(film, seconds=0.02))
    assert "unchanged" in again.stdout, again.stderr + again.stdout
    assert cluster.kubectl("delete", "dataflow", "late").returncode == 0
    assert film.exists()


def test_our_commands(cluster, late_flow, tmp_path):
    (tmp_path / "flow.yaml").write_text(late_flow(tmp_path / "film.mp4", seconds=0.05))
    cluster.kubectl("apply", "-f", tmp_path / "flow.yaml")
    follow = cluster.run("logs", "-f", "late")  # waits for the worker, and goes on to its end
    assert follow.returncode == 0, follow.stderr
    assert "Succeeded after 100 frames" in follow.stdout
    assert len(cluster.call("logs", "late", "--tail", 1).stdout.splitlines()) == 1
    table = cluster.call("get").stdout.splitlines()
    assert len(table) == 2 and table[1].startswith("late") and "Succeeded" in table[1]
    assert json.loads(cluster.call("get", "df", "late", "-o", "json").stdout)["metadata"]["name"] == "late"
    assert len(yaml.safe_load(cluster.call("get", "wbfunctions", "-o", "yaml").stdout)["items"]) == 3
    described = cluster.call("describe", "late").stdout
    for words in (
        "Succeeded",
        "Placement:",
        "Edges:",
        "dawdle.frames → encode.frames",
        "100 of 100 frames",
        "Results:",
    ):
        assert words in described
    deleted = cluster.call("delete", "late")
    assert (deleted.returncode, deleted.stdout) == (0, "dataflow/late deleted\n")
    assert ours(cluster) == []
    for command in (["get", "df", "late"], ["describe", "late"], ["logs", "late"], ["delete", "late"]):
        missing = cluster.call(*command)
        assert missing.returncode == 2 and "late" in missing.stderr and missing.stdout == "", command


def test_run_in_the_cluster(cluster, late_flow, tmp_path):
    (tmp_path / "flow.yaml").write_text(late_flow(tmp_path / "film.mp4", seconds=0))
    command = ("run", tmp_path / "flow.yaml", "--no-report", "--kubeconfig", cluster.kubeconfig)
    result = cluster.call(*command, "--keep")
    assert result.returncode == 0, result.stderr
    assert phase(cluster, "late") == "Succeeded"
    taken = cluster.call(*command)
    assert taken.returncode == 2 and "already" in taken.stderr
    assert cluster.call("delete", "late", "--no-wait").returncode == 0
    slow = late_flow(tmp_path / "film2.mp4", seconds=0.2)
    (tmp_path / "flow.yaml").write_text(slow)
    running = cluster.start(*command)
    running.until("/100 frames")
    running.signal()
    assert running.end(15) == 130, running.err
    assert ours(cluster) == []
    assert not (tmp_path / "film2.mp4").exists()


def test_a_run_whose_flow_is_deleted_by_somebody(cluster, late_flow, tmp_path):
    (tmp_path / "flow.yaml").write_text(late_flow(tmp_path / "film.mp4", seconds=0.2))
    running = cluster.start("run", tmp_path / "flow.yaml", "--no-report", "--kubeconfig", cluster.kubeconfig)
    running.until("/100 frames")
    cluster.kubectl("delete", "dataflow", "late")
    assert running.end(15) == 1
    assert "was deleted while it ran" in running.err


def test_a_run_that_waits_for_capacity_says_why(cluster, late_flow, tmp_path):
    cluster.kubectl("apply", "-f", "-", stdin=late_flow(tmp_path / "first.mp4", "first", seconds=0.2))
    wide = late_flow(tmp_path / "film.mp4", spec={"rate": {"framesPerSecond": 99}}, seconds=0)
    (tmp_path / "flow.yaml").write_text(wide)
    cluster.kubectl("wait", "dataflow/first", "--for=condition=Running", "--timeout=20s")
    command = ("run", tmp_path / "flow.yaml", "--no-report", "--kubeconfig", cluster.kubeconfig)
    result = cluster.call(*command, "--timeout", "2")
    assert result.returncode == 1, result.stderr
    assert "waiting: InsufficientCapacity" in result.stderr
    assert "had not ended after 2 s; it waits: InsufficientCapacity" in result.stderr


def test_several_flows_at_once(cluster, late_flow, tmp_path):
    names = [f"flow-{i}" for i in range(4)]
    flows = "---\n".join(late_flow(tmp_path / f"{name}.mp4", name, seconds=0.01) for name in names)
    assert cluster.kubectl("apply", "-f", "-", stdin=flows).returncode == 0
    waited = cluster.kubectl("wait", "dataflows", "--all", "--for=condition=Succeeded", "--timeout=50s")
    assert waited.returncode == 0, waited.stderr + cluster.kubectl("get", "dataflows", "-o", "wide").stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.mp4" for name in names]


def test_deletes_at_random_moments_leave_only_what_belongs_to_the_cluster(cluster, late_flow, tmp_path, wait_until):
    before = cluster.kubectl("get", CLUSTER_SCOPED, "-o", "name").stdout
    generator = random.Random(12)
    for index in range(12):
        name = f"flow-{index}"
        flow = late_flow(tmp_path / f"{name}.mp4", name, seconds=0.05)
        assert cluster.kubectl("apply", "-f", "-", stdin=flow).returncode == 0
        time.sleep(generator.uniform(0, 1.5))  # the moment is what the test is about
        assert cluster.kubectl("delete", "dataflow", name, "--wait=false").returncode == 0
    wait_until(lambda: not ours(cluster), 20, "the end of all objects")
    wait_until(lambda: not cluster.busy_workers(), 10, "the end of the workers")
    wait_until(lambda: not list((cluster.state / "pods").glob("*")), 5, "the end of the folders")
    assert cluster.kubectl("get", CLUSTER_SCOPED, "-o", "name").stdout == before
    assert [path for path in tmp_path.iterdir() if ".part" in path.name or not complete(path)] == []


def complete(path: Path) -> bool:
    """Tell whether a result is a whole one: its flow was faster than the delete."""

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0)) == 100
