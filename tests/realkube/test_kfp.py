# SPDX-License-Identifier: Apache-2.0
"""The fused task of a pipeline as Kubeflow Pipelines runs it: a Pod of a Workflow, artifacts in an S3 server.

KFP itself is not there: the Pod, its annotations and what its container is told are those that KFP 2.17 makes.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from realkube.argo_store import PLACE, Store
from realkube.cluster import Cluster
from realkube.release import REPOSITORY, Release
from realkube.team import Team

from accelchain import kfp as accel
from accelchain.kfp.functions import decode_video, detect_person, filter_resize, write_detections

JsonObject = dict[str, Any]

ACCOUNT = "pipeline-runner"
RUN = "5f0c7e2a-1111-4222-8333-944455566677"
PEOPLE = 210
"""A video's detections are more than this many; the clip has 411 with a threshold of 0.4 (tests/e2e)."""
FOLDER = "root"
"""The pipeline root, in the bucket."""
WORKFLOWS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "workflows.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "names": {"kind": "Workflow", "plural": "workflows", "shortNames": ["wf"]},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@accel.chain
def count(video: dsl.Input[dsl.Artifact], threshold: float = 0.4) -> int:
    frames = decode_video(video=video).outputs["frames"]
    small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    return write_detections(detections=found).outputs["count"]


@dsl.pipeline
def street(uri: str) -> int:
    video = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact)
    return count(video=video.output).output


@dataclass
class Pipelines:
    """A namespace where pipelines run."""

    team: Team
    store: Store
    container: JsonObject
    """Of the fused task."""
    artifacts: tuple[str, ...]
    """Names of those that it makes."""

    def begin(self) -> str:
        """Make a Workflow, and return its name."""
        name = f"run-{uuid.uuid4().hex[:6]}"
        head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name}}
        self.team.apply({**head, "spec": {}, "status": {"phase": "Running"}})
        return name

    def launch(self, workflow: str, number: int = 0, key: str = "people.mp4") -> str:
        """Start the task's Pod, of the n-th try, and return its name."""
        found = json.loads(self.team.kubectl("get", "workflow", workflow, "-o", "json").stdout)["metadata"]
        name = f"{workflow}-impl-{number}"
        arguments = [self.told(key) if word == "{{$}}" else word for word in self.container["args"]]
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        self.team.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "labels": {"pipeline/runid": RUN, "workflows.argoproj.io/workflow": workflow},
                    "annotations": {"workflows.argoproj.io/node-name": f"{workflow}.root.count.executor({number})"},
                    "ownerReferences": [
                        {
                            "apiVersion": "argoproj.io/v1alpha1",
                            "kind": "Workflow",
                            "name": workflow,
                            "uid": found["uid"],
                            "controller": True,
                        }
                    ],
                },
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": ACCOUNT,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "volumes": [{"name": "kfp", "emptyDir": {}}, {"name": "s3", "emptyDir": {}}],
                    "containers": [
                        {
                            "name": "main",
                            "image": self.container["image"],
                            "command": self.container["command"],
                            "args": arguments,
                            "env": [{"name": "KFP_POD_NAME", "value": name}],
                            "volumeMounts": [
                                {"name": "kfp", "mountPath": "/kfp"},
                                {"name": "s3", "mountPath": "/s3"},
                            ],
                            "securityContext": security,
                            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                        }
                    ],
                },
            }
        )
        return name

    def told(self, key: str) -> str:
        """Return what KFP's launcher puts in place of ``{{$}}``."""
        artifact = {"name": "video", "type": {"schemaTitle": "system.Artifact"}, "uri": f"s3://{PLACE.bucket}/{key}"}
        made = {
            name: {"artifacts": [{"name": name, "uri": f"s3://{PLACE.bucket}/{FOLDER}/{name}", "metadata": {}}]}
            for name in self.artifacts
        }
        return json.dumps(
            {
                "inputs": {"parameterValues": {"threshold": 0.4}, "artifacts": {"video": {"artifacts": [artifact]}}},
                "outputs": {
                    "parameters": {"Output": {"outputFile": "/kfp/outputs/Output"}},
                    "artifacts": made,
                    "outputFile": "/kfp/output_metadata.json",
                },
            }
        )

    def ended(self, pod: str, seconds: float = 90.0) -> tuple[int, str]:
        """Return a Pod's exit code and log."""
        deadline = time.monotonic() + seconds
        while True:
            found = json.loads(self.team.kubectl("get", "pod", pod, "-o", "json").stdout)
            states = found["status"].get("containerStatuses") or [{}]
            if done := states[0].get("state", {}).get("terminated"):
                return done["exitCode"], self.team.kubectl("logs", pod).stdout
            assert time.monotonic() < deadline, self.team.kubectl("logs", pod, check=False).stdout or found["status"]
            time.sleep(0.2)

    def flows(self) -> list[JsonObject]:
        """Return the DataFlows that are there."""
        found: list[JsonObject] = json.loads(self.team.kubectl("get", "dataflows", "-o", "json").stdout)["items"]
        return found

    def until(self, holds: Callable[[list[JsonObject]], object], seconds: float = 60.0) -> list[JsonObject]:
        """Wait until the flows are as wanted."""
        deadline = time.monotonic() + seconds
        while not holds(found := self.flows()):
            assert time.monotonic() < deadline, json.dumps(found)[-3000:]
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def store(cluster: Cluster, installed: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 server that has the clip, which workers may reach."""
    with Store(cluster, tmp_path_factory.mktemp("store")) as running:
        running.put("people.mp4", REPOSITORY / "pipelines/person-detection/people.mp4")
        installed.upgrade(worker__allow=f"['{PLACE.endpoint}']")
        yield running
        installed.upgrade(worker__allow="[]")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[JsonObject, tuple[str, ...]]:
    """What the compiled pipeline runs in the fused task, and the artifacts that this makes."""
    path = tmp_path_factory.mktemp("compiled") / "street.yaml"
    accel.compile(street, str(path))
    compiled = next(yaml.safe_load_all(path.read_text()))
    component = compiled["components"]["comp-count"]
    container = compiled["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    return container, tuple(component["outputDefinitions"]["artifacts"])


@pytest.fixture
def pipelines(
    cluster: Cluster, team: Team, store: Store, task: tuple[JsonObject, tuple[str, ...]]
) -> Iterator[Pipelines]:
    """A namespace with KFP's account and store, and the rights that ``accelchain kfp install`` prints."""
    there = cluster.kubectl("get", "crd", "workflows.argoproj.io", check=False).returncode == 0
    if not there:
        team.apply(WORKFLOWS)
        cluster.kubectl("wait", "--for=condition=Established", "crd/workflows.argoproj.io", "--timeout=30s")
    keys = {"accesskey": PLACE.access_key, "secretkey": PLACE.secret_key}
    secret = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
    default = {"endpoint": PLACE.endpoint, "disableSSL": True, "credentials": {"fromEnv": False, "secretRef": secret}}
    team.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mlpipeline-minio-artifact"}, "stringData": keys},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kfp-launcher"},
            "data": {"providers": yaml.safe_dump({"s3": {"default": default}})},
        },
        *rights_of_kfp(),
    )
    command = [sys.executable, "-m", "accelchain.cli.main", "kfp", "install", "-n", team.namespace]
    team.kubectl("apply", "-f", "-", stdin=subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    yield Pipelines(team, store, *task)
    if not there:
        cluster.kubectl("delete", "crd", "workflows.argoproj.io", "--wait=false")


def rights_of_kfp() -> tuple[JsonObject, JsonObject]:
    """Return what KFP gives its runs of what a launcher uses (manifests: pipeline/pipeline-runner-role.yaml)."""
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    names = {"apiVersion": f"{group}/v1", "metadata": {"name": "pipeline-runner"}}
    bound = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "pipeline-runner"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
    }
    return {**names, "kind": "Role", "rules": rules}, {**names, "kind": "RoleBinding", **bound}


def kill(pod: str) -> None:
    """Kill a launcher's process, as a lost node or a lack of memory does: nobody is told."""
    told = f"\0KFP_POD_NAME={pod}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if told in b"\0" + (process / "environ").read_bytes() and process.name.isdigit():
                os.kill(int(process.name), signal.SIGKILL)
                return
    raise LookupError(f"{pod} has no process")


def test_a_task_counts_people_in_a_video_of_the_store(pipelines: Pipelines, cluster: Cluster, tmp_path: Path) -> None:
    workflow = pipelines.begin()
    code, said = pipelines.ended(pipelines.launch(workflow))
    assert code == 0, said
    (flow,) = pipelines.flows()
    assert flow["status"]["phase"] == "Succeeded"
    (owner,) = flow["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Workflow", workflow)
    assert flow["metadata"]["labels"]["pipeline/runid"] == RUN
    told = {each["name"]: each["value"] for each in flow["status"]["outputs"]["parameters"]}
    assert int(told["write-detections.detections"]) > PEOPLE
    assert "detect-person" in said and "/cpu" in said, "device and stage are in the log"
    assert "the report does without" not in said
    lines = pipelines.store.get(f"{FOLDER}/write-detections--lines.jsonl", tmp_path / "lines").read_text().splitlines()
    assert sum(len(json.loads(line)["detections"]) for line in lines) == int(told["write-detections.detections"])
    account = f"system:serviceaccount:{pipelines.team.namespace}:{ACCOUNT}"
    asked = [one for one in cluster.audit() if one.user == account]
    assert asked and not [one for one in asked if one.code == 403]
    pipelines.team.kubectl("delete", "workflow", workflow)
    pipelines.until(lambda flows: not flows)


def test_a_terminated_run_ends_its_flow(pipelines: Pipelines) -> None:
    workflow = pipelines.begin()
    pod = pipelines.launch(workflow)
    pipelines.until(lambda flows: flows and flows[0].get("status", {}).get("phase") in ("Scheduled", "Running"))
    # As KFP's Terminate: Argo's controller, which would end the Pod by it, is not there.
    pipelines.team.kubectl(
        "patch", "workflow", workflow, "--type=merge", "-p", json.dumps({"spec": {"activeDeadlineSeconds": 0}})
    )
    code, said = pipelines.ended(pod)
    assert code == 1, said
    assert "OwnerEnded" in said.rstrip().splitlines()[-1], said


def test_a_pod_that_is_deleted_takes_its_flow_with_it(pipelines: Pipelines) -> None:
    pod = pipelines.launch(pipelines.begin())
    pipelines.until(lambda flows: flows and flows[0].get("status", {}).get("phase") in ("Scheduled", "Running"))
    pipelines.team.kubectl("delete", "pod", pod, "--grace-period=5")
    pipelines.until(lambda flows: not flows, 10)


def test_a_second_try_goes_on_with_the_flow_of_the_first(pipelines: Pipelines) -> None:
    workflow = pipelines.begin()
    first = pipelines.launch(workflow)
    (flow,) = pipelines.until(lambda flows: flows)
    kill(first)
    code, said = pipelines.ended(pipelines.launch(workflow, 1))
    assert code == 0, said
    (now,) = pipelines.flows()
    assert now["metadata"]["uid"] == flow["metadata"]["uid"], said
    assert "it goes on" in said


def test_missing_rights_are_told_with_the_command_that_gives_them(pipelines: Pipelines) -> None:
    pipelines.team.kubectl("delete", "rolebindings", "--all")
    code, said = pipelines.ended(pipelines.launch(pipelines.begin()))
    assert code == 1
    assert "accelchain kfp install" in said.rstrip().splitlines()[-1], said
    assert pipelines.flows() == []
