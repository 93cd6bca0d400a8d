# SPDX-License-Identifier: Apache-2.0
"""``accelchain node`` and ``accelchain worker`` as containers run them."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from accelchain.api.crd import crds
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import COMPUTE_RESOURCE, LEASE, NODE
from accelchain_operators.localkube.server import LocalKube

DEADLINE = 30.0


@pytest.fixture
async def api(tmp_path):
    server = LocalKube()
    for crd in crds():
        server.put(crd)
    server.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    await server.start()
    server.write_kubeconfig(tmp_path / "kubeconfig")
    yield server
    await server.stop()


async def test_the_agent_publishes_beats_and_leaves_what_it_published(machine, api, tmp_path):
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
    command = ("node", "--kubeconfig", tmp_path / "kubeconfig", "--health-address", "0", "--metrics-address", "0")
    running = machine.start(*command, env={"NODE_NAME": "n1", "POD_NAMESPACE": "kube-system"})
    await asyncio.to_thread(running.until, "node n1 has ", DEADLINE)

    async def beaten():
        leases, _ = await client.list(LEASE, "kube-system", label_selector="app.kubernetes.io/component=node")
        return leases

    async with asyncio.timeout(DEADLINE):
        while not (leases := await beaten()):
            await asyncio.sleep(0.05)
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.end, DEADLINE) == 0
    assert all(json.loads(line)["message"] for line in running.err.splitlines())
    assert leases[0]["metadata"]["name"] == "accelchain-node-n1"
    resource = await client.get(COMPUTE_RESOURCE, "n1")
    assert resource["spec"]["devices"][0]["name"] == "host"
    # Kubernetes deletes both with the Node.
    await client.delete(NODE, "n1")
    async with asyncio.timeout(DEADLINE):
        while (await client.list(COMPUTE_RESOURCE))[0] or await beaten():
            await asyncio.sleep(0.05)
    await client.close()


def test_the_worker_is_the_runtimes_with_its_options_and_exit_codes(machine):
    told = machine.run("worker", "--help")
    assert told.returncode == 0
    assert "--termination-log" in told.stdout
    assert machine.run("worker", "--plan", "/nowhere.json").returncode == 2
