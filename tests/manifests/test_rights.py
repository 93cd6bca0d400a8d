# SPDX-License-Identifier: Apache-2.0
"""Who may do what: nobody more than the table says, and the table no more than a worker's Pod needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from accelchain.api import GROUP, KINDS
from accelchain_operators.kube.separation import READS, lease_name

CONTROLLERS = ("chain", "dataflow", "scheduler", "node")
Right = tuple[str, str, str]


def rights_of(roles: Iterable[dict[str, Any]]) -> set[Right]:
    """Return (API group, resource, verb) of roles."""
    rules = [rule for role in roles for rule in role["rules"]]
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def test_the_table_becomes_roles_bound_to_the_account_of_each_part(installed: Any, rights: Any) -> None:
    for name in CONTROLLERS:
        full = f"accelchain-{name}"
        roles = [installed.named("ClusterRole", full), installed.named("Role", full)]
        assert rights_of(roles) == {right[1:] for right in rights if right[0] == name}
        for binding, kind in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
            bound = installed.named(binding, full)
            assert (bound["roleRef"]["kind"], bound["roleRef"]["name"]) == (kind, full)
            assert bound["subjects"] == [{"kind": "ServiceAccount", "name": full, "namespace": "accelchain-system"}]
    others = {"accelchain-catalog"}
    bound = [binding["metadata"]["name"] for binding in installed.of("ClusterRoleBinding", "RoleBinding")]
    assert sorted(bound) == sorted([*others, *(f"accelchain-{name}" for name in CONTROLLERS * 2)])


def test_the_task_set_operator_and_its_rights_come_where_they_are_asked_for(
    installed: Any, render: Any, rights: Any
) -> None:
    full = "accelchain-taskset"
    assert full not in {obj["metadata"]["name"] for obj in installed}
    found = render({"argo": {"taskset": {"enabled": True}}})
    roles = [found.named("ClusterRole", full), found.named("Role", full)]
    assert rights_of(roles) == {right[1:] for right in rights if right[0] == "taskset"}
    kinds = {obj["kind"] for obj in found if obj["metadata"]["name"] == full}
    assert kinds >= {"Deployment", "PodDisruptionBudget", "ServiceAccount", "ClusterRoleBinding", "NetworkPolicy"}
    assert found.pods()[full]["containers"][0]["args"][0] == "--controllers=taskset"


def test_nothing_is_wild_and_nobody_can_raise_himself(installed: Any) -> None:
    roles = installed.of("ClusterRole", "Role")
    assert not [right for right in rights_of(roles) if "*" in right]
    everything = rights_of(roles)
    assert not {verb for _, _, verb in everything} & {"escalate", "bind", "impersonate", "approve", "sign"}
    assert not {group for group, _, _ in everything} & {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}
    assert not [
        r for r in everything if r[1] in ("pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy")
    ]
    assert not [rule for role in roles for rule in role["rules"] if rule.get("nonResourceURLs")]


def test_secrets_are_read_by_name_and_by_one_operator_alone(rights: Any) -> None:
    assert {(who, verb) for who, _, resource, verb in rights if resource == "secrets"} == {
        ("dataflow", verb) for verb in ("get", "create", "delete")
    }


def test_leases_are_written_in_the_operators_namespace_and_by_their_holder_alone(installed: Any) -> None:
    assert not [right for right in rights_of(installed.of("ClusterRole")) if right[1] == "leases"]
    for name in ("chain", "dataflow", "scheduler"):
        rules = [r for r in installed.named("Role", f"accelchain-{name}")["rules"] if {"patch", "get"} & {*r["verbs"]}]
        assert [rule["resourceNames"] for rule in rules] == [[lease_name(name)]]


def test_every_operator_may_watch_what_it_reads_and_no_other_kind_of_ours(rights: Any) -> None:
    ours = {kind.plural for kind in KINDS}
    for name, types in READS.items():
        watched = {t.plural for t in types}
        assert {r for who, g, r, v in rights if who == name and v == "watch" and g == GROUP} == watched & ours
        for verb in ("list", "watch"):
            assert watched <= {r for who, _, r, v in rights if who == name and v == verb}


def test_an_operator_of_some_namespaces_has_rights_there_alone(render: Any, installed: Any) -> None:
    found = render({"namespaces": ["team-a", "team-b"]})
    everywhere = rights_of([installed.named("ClusterRole", "accelchain-dataflow")])
    cluster = rights_of([found.named("ClusterRole", "accelchain-dataflow")])
    assert {"pods", "secrets", "configmaps", "dataflows", "functionchains"}.isdisjoint({r for _, r, _ in cluster})
    for namespace in ("team-a", "team-b"):
        (role,) = [
            r
            for r in found.of("Role")
            if (r["metadata"]["namespace"], r["metadata"]["name"]) == (namespace, "accelchain-dataflow-flows")
        ]
        assert rights_of([role]) | cluster == everywhere
        (binding,) = [
            b
            for b in found.of("RoleBinding")
            if (b["metadata"]["namespace"], b["metadata"]["name"]) == (namespace, "accelchain-dataflow-flows")
        ]
        assert binding["subjects"][0]["namespace"] == "accelchain-system"
    arguments = found.pods()["accelchain-dataflow"]["containers"][0]["args"]
    assert [a for a in arguments if "namespace" in a] == ["--namespace=team-a", "--namespace=team-b"]


def test_everybody_may_see_what_flows_are_made_of_unless_the_administrator_says_no(installed: Any, render: Any) -> None:
    role, binding = (installed.named(kind, "accelchain-catalog") for kind in ("ClusterRole", "ClusterRoleBinding"))
    of_the_cluster = {kind.plural for kind in KINDS if not kind.namespaced}
    assert rights_of([role]) == {(GROUP, r, v) for r in of_the_cluster for v in ("get", "list", "watch")}
    assert [(subject["kind"], subject["name"]) for subject in binding["subjects"]] == [
        ("Group", "system:authenticated")
    ]
    found = render({"catalog": {"public": False}})
    assert found.named("ClusterRole", "accelchain-catalog") == role
    assert "accelchain-catalog" not in {b["metadata"]["name"] for b in found.of("ClusterRoleBinding")}


def test_people_get_what_their_kubernetes_role_means(installed: Any) -> None:
    roles = {name: installed.named("ClusterRole", f"accelchain-{name}") for name in ("view", "edit", "admin")}
    for name, role in roles.items():
        assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"
        assert {group for group, _, _ in rights_of([role])} == {GROUP}
    view, edit, admin = (rights_of([role]) for role in roles.values())
    assert {verb for _, _, verb in view} == {"get", "list", "watch"}
    assert {resource for _, resource, _ in view} == {kind.plural for kind in KINDS}
    assert {resource for _, resource, _ in edit} == {"dataflows", "functionchains"}
    namespaced = {kind.plural for kind in KINDS if kind.namespaced}
    assert {resource for _, resource, _ in admin}.isdisjoint(namespaced)
    assert not [right for right in edit | admin if "/status" in right[1]]
