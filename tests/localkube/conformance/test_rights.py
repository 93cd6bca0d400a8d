# SPDX-License-Identifier: Apache-2.0
"""RBAC: what a ServiceAccount may do is what its Roles say, and a refusal names verb, resource and user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def account(rest: Any, namespace: str) -> Iterator[Callable[..., Any]]:
    """Make a ServiceAccount with rules in the namespace, or in all of them; returns the API as it sees it."""
    made: list[str] = []

    def make(*rules: dict[str, Any], everywhere: bool = False, **labels: str) -> Any:
        name = f"robot-{len(made)}"
        rest.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}}).ok()
        role, binding = ("clusterroles", "clusterrolebindings") if everywhere else ("roles", "rolebindings")
        base = RBAC if everywhere else f"{RBAC}/namespaces/{namespace}"
        full = f"{namespace}-{name}"
        rest.post(f"{base}/{role}", {"metadata": {"name": full, "labels": labels}, "rules": list(rules)}).ok()
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        kind = "ClusterRole" if everywhere else "Role"
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": full}
        body = {"metadata": {"name": full}, "subjects": [subject], "roleRef": reference}
        rest.post(f"{base}/{binding}", body).ok()
        made.extend([f"{base}/{role}/{full}", f"{base}/{binding}/{full}"])
        return rest.as_account(namespace, name)

    yield make
    for path in made:
        rest.delete(path)


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


def test_without_a_role_nothing_but_discovery(rest, account, namespace):
    robot = account()
    assert robot.get("/api").code == robot.get("/apis").code == robot.get("/version").code == 200
    message = robot.get(f"/api/v1/namespaces/{namespace}/secrets").refused(403, "Forbidden")
    assert message == (
        f'secrets is forbidden: User "system:serviceaccount:{namespace}:robot-0" cannot list resource "secrets" '
        f'in API group "" in the namespace "{namespace}"'
    )
    assert "at the cluster scope" in robot.get("/api/v1/nodes").refused(403)


def test_a_role_holds_in_its_namespace_for_its_verbs(rest, account, namespace):
    robot = account(rule("get list", "configmaps"))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    rest.post(path, {"metadata": {"name": "c"}, "data": {"a": "1"}}).ok()
    assert robot.get(f"{path}/c").ok()["data"] == {"a": "1"} and robot.get(path).code == 200
    message = robot.delete(f"{path}/c").refused(403)
    assert 'configmaps "c" is forbidden' in message and 'cannot delete resource "configmaps"' in message
    robot.get("/api/v1/namespaces/default/configmaps").refused(403)
    robot.get("/api/v1/configmaps").refused(403)


def test_names_and_subresources_are_told_apart(rest, account, namespace):
    robot = account(rule("get", "secrets", resourceNames=["mine"]), rule("get", "pods"))
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name in ("mine", "yours"):
        rest.post(path, {"metadata": {"name": name}, "stringData": {"a": "1"}}).ok()
    robot.get(f"{path}/mine").ok()
    robot.get(f"{path}/yours").refused(403)
    message = robot.get(f"/api/v1/namespaces/{namespace}/pods/p/log").refused(403)
    assert 'cannot get resource "pods/log"' in message


def test_a_list_of_one_name_is_allowed_by_that_name(rest, account, namespace):
    robot = account(rule("list watch", "configmaps", resourceNames=["mine"]))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    rest.post(path, {"metadata": {"name": "mine"}}).ok()
    found = robot.get(path, fieldSelector="metadata.name=mine").ok()
    assert [item["metadata"]["name"] for item in found["items"]] == ["mine"]
    version = found["metadata"]["resourceVersion"]
    rest.merge(f"{path}/mine", {"data": {"a": "1"}}).ok()
    (event,) = robot.watch(path, bool, fieldSelector="metadata.name=mine", resourceVersion=version)
    assert event["object"]["data"] == {"a": "1"}
    robot.get(path).refused(403)
    message = robot.get(path, fieldSelector="metadata.name=yours").refused(403)
    assert 'configmaps "yours" is forbidden' in message and 'cannot list resource "configmaps"' in message


def test_to_apply_what_is_not_there_is_to_create_it(rest, account, namespace):
    robot, creator = account(rule("patch", "configmaps")), account(rule("patch create", "configmaps"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    message = robot.apply(path, body, "m").refused(403)
    assert 'cannot create resource "configmaps"' in message
    assert creator.apply(path, body, "m").code == 201
    assert robot.apply(path, body, "m").code == 200


def test_cluster_roles_hold_everywhere(rest, account, namespace):
    robot = account(rule("get list watch", "widgets", "things.test"), rule("list", "configmaps"), everywhere=True)
    robot.get("/api/v1/configmaps").ok()
    robot.get("/api/v1/namespaces/default/configmaps").ok()
    robot.get("/api/v1/namespaces/default/configmaps/x").refused(403)


def test_cluster_roles_are_aggregated(rest, account, namespace, eventually):
    label = {"label": namespace}
    account(rule("list", "configmaps"), everywhere=True, **label)  # carries the label
    whole = f"{namespace}-whole"
    aggregation = {"clusterRoleSelectors": [{"matchLabels": label}]}
    rest.post(f"{RBAC}/clusterroles", {"metadata": {"name": whole}, "aggregationRule": aggregation, "rules": []}).ok()
    subject = {"kind": "ServiceAccount", "name": "whole", "namespace": namespace}
    rest.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "whole"}}).ok()
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": whole}
    body = {"metadata": {"name": "whole"}, "subjects": [subject], "roleRef": reference}
    rest.post(f"{RBAC}/namespaces/{namespace}/rolebindings", body).ok()
    robot = rest.as_account(namespace, "whole")
    try:
        eventually(lambda: robot.get(f"/api/v1/namespaces/{namespace}/configmaps").code == 200, "not aggregated")
        robot.get("/api/v1/configmaps").refused(403)
    finally:
        rest.delete(f"{RBAC}/clusterroles/{whole}")


def test_one_may_ask_what_one_may(rest, account, namespace):
    robot = account(rule("create", "pods/portforward"))
    asked = {"verb": "create", "resource": "pods", "subresource": "portforward", "namespace": namespace}

    def may(**change: str) -> bool:
        body = {"spec": {"resourceAttributes": {**asked, **change}}}
        return robot.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).ok()["status"]["allowed"]

    assert may() and not may(verb="get") and not may(namespace="default") and not may(subresource="")
    found = robot.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).ok()["status"]["userInfo"]
    assert found["username"] == f"system:serviceaccount:{namespace}:robot-0"
    assert f"system:serviceaccounts:{namespace}" in found["groups"]


def test_an_unknown_token_is_401(rest):
    rest.as_token("nobody's").get("/api/v1/namespaces/default/configmaps").refused(401, "Unauthorized")
