# SPDX-License-Identifier: Apache-2.0
"""A release's life in an API: installed with all its kinds at once, upgraded, uninstalled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, ResourceType
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.server import LocalKube

CRD = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
DEPLOYMENT = ResourceType("apps/v1", "Deployment", "deployments")
CLUSTER_ROLE = ResourceType("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
NAMESPACE = "accelchain-system"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[tuple[HttpClient, Path]]:
    """An API without anything of ours, and a kubeconfig for it."""
    kube = LocalKube()
    await kube.start()
    client = HttpClient(kube.url, kube.token, kube.ca)
    kube.write_kubeconfig(tmp_path / "kubeconfig")
    try:
        yield client, tmp_path / "kubeconfig"
    finally:
        await client.close()
        await kube.stop()


async def test_a_release_brings_kinds_and_objects_of_them_and_leaves_what_users_made(
    api: tuple[HttpClient, Path], helm: Any, chart: Path
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
    await run("uninstall", "accelchain", *at)
    assert await client.get(kinds.DATA_FLOW, "mine", "default")
    assert len((await client.list(CRD))[0]) == 8
    assert await client.get(kinds.FUNCTION_TYPE, "copy")
    assert (await client.list(DEPLOYMENT))[0] == []
    assert not [r for r in (await client.list(CLUSTER_ROLE))[0] if r["metadata"]["name"].startswith("accelchain")]
    with pytest.raises(ApiError, match="404"):
        await client.get(kinds.CONFIG_MAP, "accelchain-worker", NAMESPACE)

    # what was left does not stand in the way of the next installation
    await run("install", "accelchain", chart, *at)
    assert (await client.get(kinds.FUNCTION_TYPE, "copy"))["metadata"]["uid"] == before["metadata"]["uid"]
