# SPDX-License-Identifier: Apache-2.0
"""The official Python client: typed, dynamic, watches."""

from __future__ import annotations

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError


@pytest.fixture
def api(kubeconfig):
    with config.new_client_from_config(str(kubeconfig)) as found:
        yield found


def test_typed_objects(api, namespace):
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "1"})
    assert core.create_namespaced_config_map(namespace, body).metadata.uid
    core.patch_namespaced_config_map("c", namespace, {"data": {"b": "2"}})
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "1", "b": "2"}
    core.delete_namespaced_config_map("c", namespace)
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_config_map("c", namespace)
    assert caught.value.status == 404


def test_custom_objects_and_their_status(api, namespace, widgets_served):
    custom = client.CustomObjectsApi(api)
    where = ("conformance.accelchain.test", "v1", namespace, "widgets")
    body = {"apiVersion": "conformance.accelchain.test/v1", "kind": "Widget", "metadata": {"name": "a"}}
    custom.create_namespaced_custom_object(*where, body)
    custom.patch_namespaced_custom_object_status(*where, "a", {"status": {"phase": "P"}})
    assert custom.get_namespaced_custom_object(*where, "a")["status"] == {"phase": "P"}
    assert len(custom.list_namespaced_custom_object(*where, label_selector="x!=y")["items"]) == 1
    custom.delete_namespaced_custom_object(*where, "a")


def test_dynamic_client_and_server_side_apply(api, namespace, widgets_served):
    dynamic = DynamicClient(api)
    widgets = dynamic.resources.get(api_version="conformance.accelchain.test/v1", kind="Widget")
    body = {
        "apiVersion": "conformance.accelchain.test/v1",
        "kind": "Widget",
        "metadata": {"name": "a"},
        "spec": {"size": 2},
    }
    assert widgets.server_side_apply(body, namespace=namespace, field_manager="one").spec.size == 2
    other = {**body, "spec": {"size": 3}}
    with pytest.raises(ConflictError):
        widgets.server_side_apply(other, namespace=namespace, field_manager="two")
    assert (
        widgets.server_side_apply(other, namespace=namespace, field_manager="two", force_conflicts=True).spec.size == 3
    )


def test_watch(api, namespace):
    core = client.CoreV1Api(api)
    for name in ("a", "b"):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": {"mine": "yes"}}})
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, label_selector="mine=yes", timeout_seconds=10
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            core.delete_namespaced_config_map("a", namespace)
        if len(seen) == 3:
            stream.stop()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_watch_from_a_lost_revision_is_410(api, namespace, foreign_server):
    if foreign_server:
        pytest.skip("a real server keeps 75 s of changes at least, so that the first revision is not lost yet")
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as caught:
        next(watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version="1", timeout_seconds=5))
    assert caught.value.status == 410
