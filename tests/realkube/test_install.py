# SPDX-License-Identifier: Apache-2.0
"""One Helm line, the demo, and one line that takes it away again."""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from realkube.cluster import Cluster
from realkube.figures import Figures
from realkube.pods import resident_bytes
from realkube.release import CONTROLLERS, NAMESPACE, REPOSITORY, Release
from realkube.team import GROUP, VOLUME, Team, demo

KINDS = {"computeresources", "connectiontypes", "dataflows", "functionchains", "functiontypes"}
KINDS |= {"schedulingstrategies", "wbconnections", "wbfunctions"}


def items(cluster: Cluster, *arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *arguments, "-o", "json").stdout)["items"]
    return found


@pytest.mark.smoke
def test_everything_is_ready_after_one_line(cluster: Cluster, installed: Release, figures: Figures) -> None:
    pods = items(cluster, "pods", "-n", NAMESPACE)
    assert {component: len(installed.pods(component)) for component in (*CONTROLLERS, "node")} == {
        **dict.fromkeys(CONTROLLERS, 2),
        "node": len(cluster.nodes),
    }
    for pod in pods:
        assert [s["ready"] for s in pod["status"]["containerStatuses"]] == [True], pod["metadata"]["name"]
        assert [s["restartCount"] for s in pod["status"]["containerStatuses"]] == [0], pod["metadata"]["name"]
    for controller in CONTROLLERS:
        assert installed.leader(controller)
    (node,) = (c for c in items(cluster, f"computeresources.{GROUP}") if c["metadata"]["name"] == "n1")
    assert {device["name"] for device in node["spec"]["devices"]} >= {"host", "cpu0"}
    types = {t["metadata"]["name"]: t for t in items(cluster, f"functiontypes.{GROUP}")}
    assert {"decode-video", "detect-person", "encode-video"} < types.keys()
    if installed.seconds is not None:
        figures.add("helm install until everything is ready", reach=30, seconds=round(installed.seconds, 1))


@pytest.mark.smoke
def test_the_crds_hold_with_their_rules(cluster: Cluster, installed: Release, team: Team) -> None:
    definitions = {d["spec"]["names"]["plural"]: d for d in items(cluster, "crds") if d["spec"]["group"] == GROUP}
    assert definitions.keys() == KINDS
    for plural, definition in definitions.items():
        states = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
        assert states.get("Established") == states.get("NamesAccepted") == "True", plural
        assert states.get("NonStructuralSchema", "False") == "False", plural
    both = demo(chain={"functions": [{"name": "a", "type": "b"}]})[1]
    assert "exactly one of chain" in team.refusal(both)
    assert "mountPath" in team.refusal(demo(volumes=[{**VOLUME, "mountPath": "/etc/secrets"}])[1])
    team.apply(*demo(suspend=True))
    team.patch("person-detection", cancel=True)
    back = team.kubectl(
        "patch", "dataflow", "person-detection", "--type=merge", "-p", '{"spec":{"cancel":false}}', check=False
    )
    assert back.returncode and "cancel" in back.stderr


def boxes(path: Path, frames: int) -> int:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(frames))
    return sum(len(line["detections"]) for line in lines)


@pytest.mark.smoke
def test_the_demo(installed: Release, team: Team, expected: dict[str, Any]) -> None:
    team.apply(*demo())
    team.kubectl("wait", "dataflow/person-detection", "--for=condition=Succeeded", "--timeout=90s", timeout=100)
    status = team.status("person-detection")
    assert (status["phase"], status["progress"]["frames"]) == ("Succeeded", 100)
    placed = {p["function"]: p["implementation"] for p in status["placement"]}
    assert placed.items() >= expected["implementations"].items()
    edges = {f"{e['from']} {e['to']}": e for e in status["edges"]}
    for edge, mechanisms in expected["edges"].items():
        assert edges[edge]["verified"] and edges[edge]["mechanism"] in mechanisms, edge
    with av.open(str(team.folder / "person-detection.mp4")) as film:
        stream = film.streams.video[0]
        wanted = expected["video"]
        assert (stream.width, stream.height, stream.average_rate) == (
            wanted["width"],
            wanted["height"],
            wanted["framesPerSecond"],
        )
        assert sum(1 for _ in film.decode(stream)) == 100
    found = boxes(team.folder / "person-detection.jsonl", 100)
    people = expected["detections"]
    assert abs(found - people["boxes"]) <= people["tolerance"] * people["boxes"]
    (pod,) = team.pods("person-detection")
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert spec["automountServiceAccountToken"] is False and spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    owner = (team.folder / "person-detection.mp4").stat()
    assert (owner.st_uid, owner.st_gid) == (65532, 65532)
    team.kubectl("delete", "dataflow", "person-detection", "--timeout=30s")
    team.until_nothing_is_left()


@pytest.fixture
def figures_of_a_run(team: Team) -> Callable[[str], dict[str, float]]:
    """Run the demo under a name, and tell how long what took."""

    def measure(name: str) -> dict[str, float]:
        began = time.time()
        team.apply(*demo(name))
        applied = time.time()
        team.until_phase(name, "Succeeded", seconds=90)
        seen = time.time()
        (pod,) = team.pods(name)
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        document = json.loads(ended["message"])
        log = team.kubectl("logs", "--timestamps", pod["metadata"]["name"]).stdout.splitlines()
        end = _seconds(log[-1].split()[0])  # its last line is written with the document
        begin = end - document["seconds"]
        return {
            "frames_per_second": document["framesPerSecond"],
            "first_frame": round(begin + document["firstFrameSeconds"] - began, 2),
            "kubectl": round(applied - began, 2),
            "worker_begins": round(begin - began, 2),
            "worker_to_first_frame": round(document["firstFrameSeconds"], 2),
            "end_to_phase": round(seen - end, 2),
        }

    return measure


def _seconds(text: str) -> float:
    """Return seconds since 1970 of an RFC 3339 time with nanoseconds, in UTC."""
    whole, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}")


@pytest.mark.timeout(600, func_only=True)
def test_figures_of_the_demo(
    installed: Release, figures_of_a_run: Callable[[str], dict[str, float]], machine: Any, figures: Figures
) -> None:
    flow = REPOSITORY / "pipelines" / "person-detection" / "dataflow.yaml"
    here, there = [], []
    for number in range(4):
        there.append(figures_of_a_run(f"demo-{number}"))
        outputs = ("--output", f"annotated={number}.mp4", "--output", f"detections={number}.jsonl")
        ran = machine.run("run", flow, "--json", "--no-report", *outputs, timeout=200)
        assert ran.returncode == 0, ran.stderr
        here.append(json.loads(ran.stdout)["status"]["progress"]["framesPerSecond"])
    here, there = here[1:], there[1:]  # the first ones compile kernels and fill caches
    best = min(there, key=lambda run: run["first_frame"])
    figures.add("kubectl apply until the first frame is at the sink", reach=3, **best)
    rates = [run["frames_per_second"] for run in there]
    # The best of each: others that use the machine make a run slower, never faster.
    ratio = round(max(rates) / max(here), 3)
    figures.add("frames/s, cluster to laptop", reach=0.95, ratio=ratio, cluster=rates, laptop=here)


@pytest.mark.finale(1)
def test_figures_of_memory(installed: Release, figures: Figures) -> None:
    for component in (*CONTROLLERS, "node"):
        megabytes = max(resident_bytes(pod) for pod in installed.pods(component)) / 1e6
        figures.add(f"memory of {component}", reach=80 if component == "node" else 120, megabytes=round(megabytes, 1))


# Events, and what the API server makes of a CRD.
OTHERS = {"events", "events.events.k8s.io", "apiservices.apiregistration.k8s.io"}


def traces(cluster: Cluster) -> Iterator[str]:
    """Yield everything in the cluster that has to do with accelchain, as ``kind/namespace/name``."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    for obj in items(cluster, ",".join(kind for kind in kinds if kind not in OTHERS), "-A"):
        meta = obj["metadata"]
        told = [obj["apiVersion"], meta["name"], meta.get("namespace", ""), meta.get("labels", {})]
        if "accelchain" in json.dumps(told):
            yield f"{obj['kind']}/{meta.get('namespace', '')}/{meta['name']}"


@pytest.mark.smoke
@pytest.mark.finale(2)
@pytest.mark.timeout(240, func_only=True)
def test_uninstall_leaves_crds_and_what_users_made(cluster: Cluster, installed: Release, team: Team) -> None:
    team.apply(*demo())
    team.until_phase("person-detection", "Succeeded")
    chart = REPOSITORY / "manifests" / "charts" / "accelchain" / "functiontypes"
    types = {t["metadata"]["name"] for t in items(cluster, f"functiontypes.{GROUP}")}
    own = {f"FunctionType//{name}" for name in types - {path.stem for path in chart.glob("*.yaml")}}
    installed.uninstall()
    left = set(traces(cluster))
    definitions = {name for name in left if name.startswith("CustomResourceDefinition/")}
    assert len(definitions) == len(KINDS)
    users = {name for name in left if name.split("/")[1] == team.namespace}
    kinds = {name.split("/")[0] for name in users}
    assert {"DataFlow", "FunctionChain"} <= kinds
    assert kinds <= {"DataFlow", "FunctionChain", "WBFunction", "WBConnection", "Pod", "ConfigMap", "Secret"}
    home = {f"Namespace//{NAMESPACE}", f"ConfigMap/{NAMESPACE}/kube-root-ca.crt", f"ServiceAccount/{NAMESPACE}/default"}
    assert left - definitions - users == own | home
    team.kubectl("delete", "dataflows,functionchains", "--all", "--timeout=20s")
    team.until_nothing_is_left()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s", timeout=70)
