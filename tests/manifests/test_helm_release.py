# SPDX-License-Identifier: Apache-2.0
"""A release's life in an API: installed with all its kinds at once, upgraded, uninstalled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import service_account
from accelchain_operators.node.heartbeat import lease
from accelchain_operators.node.inventory import compute_resource

CRD = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
DEPLOYMENT = ResourceType("apps/v1", "Deployment", "deployments")
JOB = ResourceType("batch/v1", "Job", "jobs")
SERVICE_ACCOUNT = ResourceType("v1", "ServiceAccount", "serviceaccounts")
CLUSTER_ROLE = ResourceType("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
NAMESPACE = "accelchain-system"


@pytest.fixture
async def kube() -> AsyncIterator[LocalKube]:
    """An API without anything of ours."""
    kube = LocalKube()
    await kube.start()
    try:
        yield kube
    finally:
        await kube.stop()


@pytest.fixture
async def api(kube: LocalKube, tmp_path: Path) -> AsyncIterator[tuple[HttpClient, Path]]:
    """A client of that API, and a kubeconfig for it."""
    client = HttpClient(kube.url, kube.token, kube.ca)
    kube.write_kubeconfig(tmp_path / "kubeconfig")
    yield client, tmp_path / "kubeconfig"
    await client.close()


async def run_the_job(kube: LocalKube, client: HttpClient, folder: Path) -> str:
    """Do what a cluster does with the Job of the hook: run its command with its account's rights. Returns its log."""
    async with asyncio.timeout(60):
        while not (jobs := (await client.list(JOB, NAMESPACE))[0]):
            await asyncio.sleep(0.05)
    (job,) = jobs
    pod = job["spec"]["template"]["spec"]
    kubeconfig = folder / "job.kubeconfig"
    kube.write_kubeconfig(kubeconfig, token=kube.users.add(service_account(NAMESPACE, pod["serviceAccountName"])))
    (container,) = pod["containers"]
    command = [str(Path(sys.executable).with_name(container["command"][0])), *container["command"][1:]]
    process = await asyncio.create_subprocess_exec(
        *command, *container["args"], f"--kubeconfig={kubeconfig}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    log = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    done = {"type": "Complete" if process.returncode == 0 else "Failed", "status": "True"}
    await client.patch(
        JOB, job["metadata"]["name"], NAMESPACE, {"status": {"conditions": [done]}}, subresource="status"
    )
    return log


async def test_a_release_brings_kinds_and_objects_of_them_and_leaves_what_users_made(
    kube: LocalKube, api: tuple[HttpClient, Path], helm: Any, chart: Path
) -> None:
    client, kubeconfig = api
    at = ("-n", NAMESPACE, "--kubeconfig", kubeconfig)
    run = partial(asyncio.to_thread, helm)

    installed = await run("install", "accelchain", chart, *at, "--create-namespace")
    assert "accelchain 0.1.0 is in namespace accelchain-system." in installed.stdout
    before = await client.get(kinds.FUNCTION_TYPE, "copy")
    assert (await client.get(DEPLOYMENT, "accelchain-dataflow", NAMESPACE))["spec"]["replicas"] == 2

    await run("upgrade", "accelchain", chart, *at, "--set", "operators.replicas=1")
    assert (await client.get(DEPLOYMENT, "accelchain-dataflow", NAMESPACE))["spec"]["replicas"] == 1
    after = await client.get(kinds.FUNCTION_TYPE, "copy")
    # the same object, which was no part of the release before and is now
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "helm.sh/hook" in before["metadata"]["annotations"]
    assert "helm.sh/hook" not in after["metadata"]["annotations"]

    flow = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "DataFlow",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {"chainRef": {"name": "a"}},
    }
    await client.create(kinds.DATA_FLOW, flow)
    own_type = {**after, "metadata": {"name": "mine"}}
    await client.create(kinds.FUNCTION_TYPE, own_type)
    await client.create(kinds.COMPUTE_RESOURCE, compute_resource({"devices": [], "links": []}, "n1"))
    by_hand = {**compute_resource({"devices": [], "links": []}, "by-hand"), "metadata": {"name": "by-hand"}}
    await client.create(kinds.COMPUTE_RESOURCE, by_hand)
    await client.create(kinds.LEASE, lease("n1", NAMESPACE, 0.0, None))
    await client.create(kinds.LEASE, lease("n1", "default", 0.0, None))  # of another installation

    job = asyncio.create_task(run_the_job(kube, client, kubeconfig.parent))
    await run("uninstall", "accelchain", *at)
    assert "functiontype/copy deleted" in await job
    for kind, namespace, left in (
        (kinds.DATA_FLOW, "default", ["mine"]),
        (kinds.FUNCTION_TYPE, None, ["mine"]),
        (kinds.COMPUTE_RESOURCE, None, ["by-hand"]),
        (kinds.LEASE, NAMESPACE, []),
        (kinds.LEASE, "default", ["accelchain-node-n1"]),
        (DEPLOYMENT, None, []),
        (JOB, None, []),
        (kinds.CONFIG_MAP, NAMESPACE, []),
    ):
        assert [obj["metadata"]["name"] for obj in (await client.list(kind, namespace))[0]] == left, kind.plural
    assert len((await client.list(CRD))[0]) == 8
    assert not [r for r in (await client.list(CLUSTER_ROLE))[0] if r["metadata"]["name"].startswith("accelchain")]
    assert not [a for a in (await client.list(SERVICE_ACCOUNT, NAMESPACE))[0] if a["metadata"]["name"] != "default"]

    # what was left does not stand in the way of the next installation
    await run("install", "accelchain", chart, *at)
    assert (await client.get(kinds.FUNCTION_TYPE, "copy"))["metadata"]["uid"] != before["metadata"]["uid"]
