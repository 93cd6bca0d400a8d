# SPDX-License-Identifier: Apache-2.0
"""An administrator's worker options, and the Pods that are made with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.worker_options import (
    LaptopOptions,
    WorkerOptions,
    WorkerOptionsError,
    load_worker_options,
)

MakeWorld = Callable[..., Any]
FILE = """
image: registry/accelchain-worker:dev
imagePullPolicy: Always
imagePullSecrets: [pull]
resources: {requests: {cpu: 250m, memory: 256Mi}, limits: {memory: 1Gi}}
devices:
  cpu:
    resources: {example.com/lane: 2}
    securityContext: {capabilities: {add: [IPC_LOCK]}}
    volumes: [{name: huge, emptyDir: {medium: HugePages}}]
    volumeMounts: [{name: huge, mountPath: /hugepages}]
allow: [10.0.0.0/8]
nodeSelector: {pool: accel}
tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
priorityClassName: high
runtimeClassName: gvisor
"""
DATA = {"name": "data", "mountPath": "/data", "readOnly": True, "persistentVolumeClaim": {"claimName": "films"}}
OUT = {"name": "out", "mountPath": "/out", "persistentVolumeClaim": {"claimName": "results"}}
MOUNTED = {
    "inputs": {"video": {"uri": "file:///data/in.mp4", "credentialsRef": {"name": "camera"}}},
    "outputs": {"film": {"uri": "file:///out/film.mp4"}},
    "volumes": [DATA, OUT],
}


def test_a_file_is_read_and_what_it_leaves_out_is_confined(tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text(FILE)
    options = load_worker_options(path)
    assert (options.image, options.confined, options.allow) == ("registry/accelchain-worker:dev", True, ("10.0.0.0/8",))
    path.write_text("")
    assert load_worker_options(path) == WorkerOptions()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imag: x", "imag: "),
        ("devices: {tpu: {}}", "devices.tpu"),
        ("devices: {gpu: {resources: {cpu: 1}}}", "devices.gpu.resources.cpu"),
        ("devices: {gpu: {resources: {nvidia.com/gpu: 0}}}", "nvidia.com/gpu"),
        ("resources: {limits: {memory: lots}}", "resources.limits.memory"),
        ("imagePullPolicy: Sometimes", "imagePullPolicy"),
        ("- image: x", "a mapping is wanted"),
        ("image: [", "no YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence_with_the_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text(text)
    with pytest.raises(WorkerOptionsError) as error:
        load_worker_options(path)
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkerOptionsError, match="can't be read: No such file"):
        load_worker_options(tmp_path / "worker.yaml")


@pytest.fixture
def options(tmp_path: Path) -> WorkerOptions:
    path = tmp_path / "worker.yaml"
    path.write_text(FILE)
    return load_worker_options(path)


async def test_a_pod_of_a_cluster_is_made_as_the_options_say(world: MakeWorld, options: WorkerOptions) -> None:
    one = world(**MOUNTED)
    one.fields = {"worker": options}
    await one.settle()
    assert one.pod is not None, one.status
    spec, container = one.pod["spec"], one.pod["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("registry/accelchain-worker:dev", "Always")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    # host and cpu0: two devices of type cpu
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "256Mi", "example.com/lane": "4"},
        "limits": {"memory": "1Gi", "example.com/lane": "4"},
    }
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"add": ["IPC_LOCK"]}, "an exception that was asked for"
    assert spec["securityContext"]["fsGroup"] == container["securityContext"]["runAsGroup"] == 65532
    assert "runAsGroup" not in spec["securityContext"], "containerd makes no sandbox with a group and no user"
    assert spec["nodeSelector"] == {"pool": "accel", "kubernetes.io/hostname": "laptop"}
    assert [(t["key"].rpartition("/")[2], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("unreachable", 5),
        ("not-ready", 30),
    ]
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
    assert spec["shareProcessNamespace"] is True, "process 1 could not be told to stop while it starts"
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert {"/tmp", "/var/cache/accelchain/work", "/data", "/out", "/hugepages"} < mounts.keys()
    assert len({m["name"] for m in container["volumeMounts"]}) == len(container["volumeMounts"])
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in spec["volumes"]}
    assert mounts["/data"]["readOnly"] is True
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert volumes[mounts["/data"]["name"]]["persistentVolumeClaim"]["claimName"] == "films"
    environment = {e["name"]: e.get("value") for e in container["env"]}
    plan = one.plan()
    assert [(v["mountPath"], v["readOnly"], environment[v["environment"]]) for v in plan["volumes"]] == [
        ("/data", True, "/data"),
        ("/out", False, "/out"),
    ]
    (credentials,) = plan["credentials"]
    folder = environment[credentials["folder"]]
    assert credentials["uri"] == "file:///data/in.mp4"
    assert volumes[mounts[folder]["name"]]["secret"]["secretName"] == "camera"
    assert (plan["confined"], plan["allow"]) == (True, ["10.0.0.0/8"])


async def test_a_laptops_worker_is_a_process_of_its_user(world: MakeWorld) -> None:
    one = world()
    one.fields = {"worker": LaptopOptions()}
    await one.settle()
    container = one.pod["spec"]["containers"][0]
    assert container["image"] == "accelchain-worker" and "resources" not in container
    assert "ACCELCHAIN_CACHE" not in {e["name"] for e in container["env"]}, "kernels are compiled once"
    assert one.plan()["confined"] is False


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ("spec.inputs.video.uri", "the flow has no volumes (spec.volumes)")),
        ({"volumes": [OUT]}, ("spec.inputs.video.uri", "mounted at /out")),
        (
            {**MOUNTED, "outputs": {"film": {"uri": "file:///data/film.mp4"}}},
            ("spec.outputs.film.uri", "'data', which is read-only"),
        ),
        (
            {**MOUNTED, "inputs": {"video": {"uri": "file:///data/../etc/passwd"}}},
            ("spec.inputs.video.uri", "in none of them"),
        ),
        (
            {**MOUNTED, "inputs": {"video": {"uri": "file:///database/in.mp4"}}},
            ("spec.inputs.video.uri", "in none of them"),
        ),
    ],
)
async def test_files_outside_of_the_volumes_are_refused_with_the_field(
    world: MakeWorld, spec: JsonObject, words: tuple[str, ...]
) -> None:
    one = world(**spec)
    one.fields = {"worker": WorkerOptions()}
    await one.settle()
    accepted = one.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidParameter")
    assert all(word in accepted["message"] for word in words), accepted["message"]


async def test_a_secret_that_is_missing_is_told_and_waited_for(world: MakeWorld) -> None:
    one = world(**MOUNTED)
    one.fields = {"missing_secrets": frozenset({"camera"})}
    await one.settle()
    running = one.condition("Running")
    assert (running["status"], running["reason"], one.pod) == ("False", "SecretNotFound", None)
    assert "spec.inputs.video.credentialsRef: there is no Secret camera" in running["message"]
    assert one.actions.requeue_after == pytest.approx(10)
    one.fields = {}
    await one.settle()
    assert one.pod is not None and one.condition("Running")["reason"] == "NotStarted"


BUCKET = {
    "endpoint": "minio.argo:9000",
    "insecure": True,
    "accessKeySecret": {"name": "minio", "key": "user"},
    "secretKeySecret": {"name": "minio", "key": "password"},
    "sessionTokenSecret": {"name": "session", "key": "token"},
}


async def test_keys_named_one_by_one_lie_in_one_folder_for_all_addresses_that_are_opened_alike(
    world: MakeWorld,
) -> None:
    public = {"uri": "s3://public/in.mp4", "s3": {"region": "eu-west-1"}}
    one = world(inputs={"video": public}, outputs={"film": {"uri": "s3://mine/film.mp4", "s3": BUCKET}})
    await one.settle()
    assert one.pod is not None, one.status
    by_uri = {entry.pop("uri"): entry for entry in one.plan()["credentials"]}
    assert by_uri["s3://public/in.mp4"] == {"s3": {"region": "eu-west-1"}}, "no Secret, no folder"
    mine = by_uri["s3://mine/film.mp4"]
    assert mine["s3"] == {"endpoint": "minio.argo:9000", "insecure": True}
    container = one.pod["spec"]["containers"][0]
    folder = {e["name"]: e.get("value") for e in container["env"]}[mine["folder"]]
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == folder]
    (volume,) = [v for v in one.pod["spec"]["volumes"] if v["name"] == mount["name"]]
    files = {
        item["path"]: (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert files == {
        "accessKeyId": ("minio", "user"),
        "secretAccessKey": ("minio", "password"),
        "sessionToken": ("session", "token"),
    }
    assert mount["readOnly"] is True and volume["projected"]["defaultMode"] == 0o440


async def test_a_secret_without_a_key_that_is_named_is_told_with_its_field(world: MakeWorld) -> None:
    one = world(inputs={"video": {"uri": "s3://mine/in.mp4", "s3": BUCKET}})
    one.fields = {"missing_secrets": frozenset({"minio/password", "session"})}
    await one.settle()
    message = one.condition("Running")["message"]
    assert "spec.inputs.video.s3.secretKeySecret: Secret minio has no key password" in message
    assert "spec.inputs.video.s3.sessionTokenSecret: there is no Secret session" in message
    assert "accessKeySecret" not in message and one.pod is None


async def test_a_claim_that_is_missing_shows_with_the_pods_own_reason(world: MakeWorld) -> None:
    one = world(**MOUNTED)
    await one.settle()
    pod = copy.deepcopy(one.pod)
    told = 'persistentvolumeclaim "films" not found'
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told}
    pod["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    one.kube.put(kinds.POD, pod)
    await one.settle()
    assert (one.condition("Running")["reason"], one.condition("Running")["message"]) == ("Unschedulable", told)
