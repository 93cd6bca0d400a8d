# SPDX-License-Identifier: Apache-2.0
"""What people may do by Kubernetes' own ClusterRoles view, edit and admin, once accelchain's are aggregated to them."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.server import LocalKube

RBAC = "rbac.authorization.k8s.io"
REVIEW = ResourceType("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
READ = ["get", "list", "watch"]
# What a cluster brings along, as far as workers are concerned; secrets are no part of Kubernetes' view.
OF_KUBERNETES = {
    "view": [{"apiGroups": [""], "resources": ["pods", "pods/log", "configmaps", "events"], "verbs": READ}],
    "edit": [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": [*READ, "create", "update", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
    ],
    "admin": [],
}
BELOW = {"view": ["view"], "edit": ["edit", "view"], "admin": ["admin", "edit", "view"]}
May = Callable[..., Awaitable[bool]]


def rbac(kind: str, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, **fields}


def bound(kind: str, user: str, role: str, namespace: str = "") -> dict[str, Any]:
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    return rbac(
        kind, user, namespace, roleRef=reference, subjects=[{"apiGroup": RBAC, "kind": "User", "name": user}]
    )  # fmt: skip


def of_kubernetes() -> list[dict[str, Any]]:
    """Return Kubernetes' own roles, and users who are bound to them: in one namespace, and one everywhere."""
    found = [bound("ClusterRoleBinding", "owner", "admin")]
    for name, rules in OF_KUBERNETES.items():
        part = rbac("ClusterRole", f"system:aggregate-to-{name}", rules=rules)
        part["metadata"]["labels"] = {f"{RBAC}/aggregate-to-{name}": "true"}
        selectors = [{"matchLabels": {f"{RBAC}/aggregate-to-{below}": "true"}} for below in BELOW[name]]
        whole = rbac("ClusterRole", name, aggregationRule={"clusterRoleSelectors": selectors}, rules=[])
        found += [part, whole, bound("RoleBinding", name, name, "team")]
    return found


@pytest.fixture
async def may(installed: list[dict[str, Any]]) -> AsyncIterator[May]:
    """Ask what a user may do: the user, ``verb resource[.group][/subresource]``, and the namespace."""
    api = LocalKube()
    for name in ("team", "accelchain-system"):
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kinds = ("ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding")
    for obj in (*copy.deepcopy([obj for obj in installed if obj["kind"] in kinds]), *of_kubernetes()):
        api.put(obj)
    await api.start()
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))

    async def allowed(user: str, what: str, namespace: str = "team") -> bool:
        verb, _, rest = what.partition(" ")
        whole, _, subresource = rest.partition("/")
        resource, _, group = whole.partition(".")
        attributes = {"verb": verb, "resource": resource, "group": group, "subresource": subresource}
        where = {**attributes, "namespace": namespace}
        spec = {"user": user, "groups": ["system:authenticated"], "resourceAttributes": where}
        body = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind, "metadata": {}, "spec": spec}
        return bool((await client.create(REVIEW, body))["status"]["allowed"])

    yield allowed
    await client.close()
    await api.stop()


FLOWS, TYPES = "dataflows.accelchain.io", "functiontypes.accelchain.io"
CATALOG = [f"watch {TYPES}", "get computeresources.accelchain.io"]
"""What flows can be made of: everybody's who is logged in."""
VIEWS = [f"list {FLOWS}", "get functionchains.accelchain.io", "watch wbfunctions.accelchain.io"]
LOGS = ["get pods/log", "list events"]
EDITS = [f"create {FLOWS}", f"patch {FLOWS}", f"delete {FLOWS}", "update functionchains.accelchain.io"]
LIVE = ["create pods/portforward", "create secrets"]
FORGERY = [
    f"patch {FLOWS}/status",
    f"update {FLOWS}/finalizers",
    "create wbfunctions.accelchain.io",
    "patch wbconnections.accelchain.io",
    "create computeresources.accelchain.io",
    "patch computeresources.accelchain.io",
]
"""What only the operators and node agents write."""
OF_THE_CLUSTER = [f"create {TYPES}", f"delete {TYPES}", "delete computeresources.accelchain.io"]


@pytest.mark.parametrize(
    ("user", "can", "can_not"),
    [
        ("view", [*VIEWS, *LOGS], [*EDITS, *LIVE, *FORGERY, *OF_THE_CLUSTER, "get secrets"]),
        ("edit", [*VIEWS, *LOGS, *EDITS, *LIVE], [*FORGERY, *OF_THE_CLUSTER[-1:], f"create {TYPES}"]),
        ("admin", [*VIEWS, *LOGS, *EDITS, *LIVE], FORGERY),
        ("nobody", [], [*VIEWS, *LOGS, *EDITS, *LIVE, *FORGERY, *OF_THE_CLUSTER]),
    ],
)
async def test_in_a_namespace(may: May, user: str, can: list[str], can_not: list[str]) -> None:
    assert [what for what in can if not await may(user, what)] == []
    assert [what for what in can_not if await may(user, what)] == []
    everywhere = [what for what in (*can, *can_not) if await may(user, what, "default") or await may(user, what, "")]
    assert everywhere == [], "the binding is for one namespace"
    assert [what for what in CATALOG if not await may(user, what, "")] == []


async def test_kinds_of_the_cluster_are_an_administrators_whose_binding_is_the_clusters(may: May) -> None:
    assert [what for what in OF_THE_CLUSTER if not await may("owner", what, "")] == []
    assert [what for what in FORGERY if await may("owner", what, "")] == []


async def test_operators_have_no_more_than_their_roles(may: May) -> None:
    account = "system:serviceaccount:accelchain-system:accelchain-"
    assert await may(f"{account}dataflow", "get secrets")
    for what in (
        "list secrets",
        "watch secrets",
        "update secrets",
        "patch secrets",
        "get pods/log",
        "create pods/exec",
    ):
        assert not await may(f"{account}dataflow", what), what
    for part in ("chain", "scheduler", "node"):
        assert not await may(f"{account}{part}", "get secrets", "accelchain-system")
        assert not await may(f"{account}{part}", "create pods")
    assert not await may(f"{account}scheduler", "patch computeresources.accelchain.io", "")
