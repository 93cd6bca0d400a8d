# SPDX-License-Identifier: Apache-2.0
"""Pods are bound once, and evicted as they are deleted."""

from __future__ import annotations

import uuid

import pytest

NODE = "nowhere"  # where no kubelet takes it


@pytest.fixture
def pods(rest, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 5}
    spec["schedulerName"] = "this-test"  # a cluster's own scheduler leaves it alone
    rest.post(path, {"metadata": {"name": "p"}, "spec": spec}).ok()
    yield path
    rest.delete(f"{path}/p", {"gracePeriodSeconds": 0})  # nobody's kubelet ends it


def binding(node: str, **meta: str) -> dict:
    return {"metadata": {"name": "p", **meta}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}}


def test_a_pod_is_bound_once(rest, pods):
    path = f"{pods}/p/binding"
    rest.post(path, binding(NODE, uid=str(uuid.uuid4()))).refused(409, "Conflict")
    rest.post(path, binding(NODE, uid=rest.get(f"{pods}/p").ok()["metadata"]["uid"])).ok()
    pod = rest.get(f"{pods}/p").ok()
    assert pod["spec"]["nodeName"] == NODE
    assert ("PodScheduled", "True") in [(c["type"], c["status"]) for c in pod["status"]["conditions"]]
    assert "already assigned" in rest.post(path, binding("elsewhere")).refused(409, "Conflict")


def test_a_patch_does_not_bind(rest, pods):
    assert "spec" in rest.merge(f"{pods}/p", {"spec": {"nodeName": NODE}}).refused(422, "Invalid")
    assert "nodeName" not in rest.get(f"{pods}/p").ok()["spec"]


def test_an_eviction_deletes_with_the_pods_own_grace(rest, pods, namespace):
    rest.post(f"{pods}/p/binding", binding(NODE)).ok()
    rest.post(f"{pods}/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}).ok()
    meta = rest.get(f"{pods}/p").ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 5 and meta["deletionTimestamp"]
