# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: it tells of each way in which rights and requests can differ."""

from __future__ import annotations

from typing import Any

import pytest
from realkube.rights import Asked, Grant, Right, asked, difference, grants_of

PODS = Right("", "pods", "list")
LEASE = Right("coordination.k8s.io", "leases", "patch")


def needs(*requests: tuple[Right, str, str | None]) -> set[Asked]:
    return {Asked(*request) for request in requests}


@pytest.mark.parametrize(
    ("grants", "requests", "words"),
    [
        ([Grant(PODS, "")], [(PODS, "", "")], []),
        ([Grant(PODS, "")], [(PODS, "team", "")], []),
        ([], [(PODS, "", "")], ["missing: list pods in all ()"]),
        ([Grant(PODS, "team")], [(PODS, "team", ""), (PODS, "", "")], ["missing: list pods in all ()"]),
        ([Grant(PODS, "")], [], ["never needed: list pods everywhere"]),
        ([Grant(PODS, "")], [(PODS, "home", "")], ["held everywhere, used in home only: list pods everywhere"]),
        ([Grant(LEASE, "home", ("ours",))], [(LEASE, "home", "ours")], []),
        ([Grant(LEASE, "home", ("ours",))], [(LEASE, "home", None)], []),
        (
            [Grant(LEASE, "home", ("ours",))],
            [(LEASE, "home", "ours"), (LEASE, "home", "theirs")],
            ["missing: patch leases.coordination.k8s.io in home (theirs)"],
        ),
        (  # one of the two would do
            [Grant(LEASE, "home", ("ours",)), Grant(LEASE, "home")],
            [(LEASE, "home", "ours")],
            [
                "never needed: patch leases.coordination.k8s.io in home",
                "never needed: patch leases.coordination.k8s.io in home named ours",
            ],
        ),
    ],
)
def test_differences(grants: list[Grant], requests: list[Any], words: list[str]) -> None:
    assert difference(grants, needs(*requests), "home") == words


def test_what_no_request_can_show() -> None:
    assert difference([Grant(PODS, "")], [], "home", unseen=[PODS]) == []
    words = difference([Grant(PODS, "")], needs((PODS, "", "")), "home", unseen=[PODS])
    assert words == ["said to be unseen, and seen: list pods"]


def test_what_a_request_needs() -> None:
    def verbs(verb: str, code: int, subresource: str = "") -> list[str]:
        return [str(one.right) for one in asked(verb, "x.io", "things", subresource, "team", "a", code)]

    assert verbs("get", 404) == ["get things.x.io"], "RBAC let it through"
    assert verbs("get", 403) == verbs("get", 401) == []
    assert verbs("patch", 200, "status") == ["patch things.x.io/status"]
    assert verbs("patch", 201) == ["patch things.x.io", "create things.x.io"], "an apply that made it"


def test_what_an_account_is_granted() -> None:
    def rbac(kind: str, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **fields}

    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    me = {"kind": "ServiceAccount", "name": "me", "namespace": "home"}
    objects = [
        rbac("ClusterRole", "r", rules=[rule]),
        rbac("Role", "r", "home", rules=[{**rule, "resourceNames": ["a"]}]),
        rbac("Role", "r", "away", rules=[{**rule, "verbs": ["delete"]}]),
        rbac("RoleBinding", "b", "home", roleRef={"kind": "Role", "name": "r"}, subjects=[me]),
        rbac("RoleBinding", "c", "team", roleRef={"kind": "ClusterRole", "name": "r"}, subjects=[me]),
        rbac("RoleBinding", "d", "away", roleRef={"kind": "Role", "name": "r"}, subjects=[{**me, "name": "you"}]),
    ]
    assert grants_of(objects, "home", "me") == {Grant(PODS, "home", ("a",)), Grant(PODS, "team")}
    objects.append(rbac("ClusterRoleBinding", "e", roleRef={"kind": "ClusterRole", "name": "r"}, subjects=[me]))
    assert Grant(PODS, "") in grants_of(objects, "home", "me")
