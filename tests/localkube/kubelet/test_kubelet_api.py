# SPDX-License-Identifier: Apache-2.0
"""The kubelet against the embedded API, over HTTPS."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import CONFIG_MAP, POD, SECRET
from accelchain_operators.localkube.kubelet import Kubelet
from accelchain_operators.localkube.kubelet.api import NODE
from accelchain_operators.localkube.kubelet.launcher import Commands
from accelchain_operators.localkube.server import LocalKube

STANDIN = Path(__file__).with_name("standin_worker.py")


@pytest.fixture
async def client(tmp_path):
    """A client of an embedded API with a kubelet."""
    api = LocalKube()
    await api.start()
    client = HttpClient(api.url, api.token, api.ca)
    commands = Commands(worker=(sys.executable, "-I", str(STANDIN)), prepare=())
    kubelet = Kubelet(client, "laptop", tmp_path / "state", 1, commands=commands)
    api.add_log_source("laptop", kubelet.logs)
    await kubelet.start()
    yield client
    await kubelet.stop()
    await client.close()
    await api.stop()


async def create(client, name, plan):
    meta = {"name": name, "namespace": "default"}
    await client.create(
        CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"plan.json": json.dumps(plan)}}
    )
    await client.create(
        SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": "s3cret"}}
    )
    container = {
        "name": "worker",
        "image": "accelchain-worker",
        "args": ["--plan=/plan/plan.json", "--token-file=/token/token", "--termination-log=/dev/termination-log"],
        "volumeMounts": [{"name": "plan", "mountPath": "/plan"}, {"name": "token", "mountPath": "/token"}],
    }
    spec = {
        "restartPolicy": "Never",
        "nodeSelector": {"kubernetes.io/hostname": "laptop"},
        "containers": [container],
        "volumes": [
            {"name": "plan", "configMap": {"name": name}},
            {"name": "token", "secret": {"secretName": name}},
        ],
    }
    await client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


async def until(client, name, phase):
    async with asyncio.timeout(15):
        while True:
            pod = await client.get(POD, name, "default")
            if pod["status"]["phase"] == phase:
                return pod
            await asyncio.sleep(0.02)


async def test_the_node_is_ready(client):
    node = await client.get(NODE, "laptop")
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]} == {"Ready": "True"}
    assert int(node["status"]["capacity"]["cpu"]) >= 1


async def test_a_pod_runs_is_followed_and_deleted(client, tmp_path, alive):
    release = tmp_path / "release"
    await create(client, "flow", {"until": str(release), "message": "all frames"})
    await until(client, "flow", "Running")
    lines = []
    async with asyncio.timeout(15):
        async for line in client.logs("flow", "default", container="worker", follow=True):
            lines.append(line)
            if line.startswith("{"):
                release.touch()
    said = json.loads(next(line for line in lines if line.startswith("{")))
    assert said["token"] == "s3cret"
    assert lines[-1] == "last line"
    pod = await until(client, "flow", "Succeeded")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "all frames"
    assert not alive(said["pid"])
    await client.delete(POD, "flow", "default")
    await until_gone(client, "flow")


async def test_a_running_pod_is_deleted_within_its_grace(client, tmp_path, said, alive):
    await create(client, "doomed", {"until": str(tmp_path / "never")})
    pid = (await said("doomed"))["pid"]
    await until(client, "doomed", "Running")
    await client.delete(POD, "doomed", "default", grace_seconds=5)
    await until_gone(client, "doomed")
    assert not alive(pid)
    assert not list((tmp_path / "state" / "pods").iterdir())


async def until_gone(client, name):
    async with asyncio.timeout(15):
        while True:
            try:
                await client.get(POD, name, "default")
            except ApiError as error:
                assert error.code == 404
                return
            await asyncio.sleep(0.02)
