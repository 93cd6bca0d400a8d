# SPDX-License-Identifier: Apache-2.0
"""Each Role equals what its holder does: nothing that it needs is missing, and it needs all that it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from realkube.rights import REFUSED, Right, asked, difference, grants_of
from story.processes import HOME

from accelchain_operators.localkube.recorder import Recorded

PARTS = ("chain", "dataflow", "scheduler", "node")
OPTIONAL = ("taskset",)
HOOKS = ("uninstall",)


def of(part: str, requests: Sequence[Recorded]) -> list[Recorded]:
    return [r for r in requests if r.user == f"system:serviceaccount:{HOME}:accelchain-{part}"]


@pytest.mark.parametrize("part", PARTS + OPTIONAL + HOOKS)
def test_nothing_is_refused(part: str, requests: Sequence[Recorded]) -> None:
    mine = of(part, requests)
    assert mine, "it did nothing at all"
    assert [r for r in mine if r.code in REFUSED] == []


@pytest.mark.parametrize("part", PARTS + OPTIONAL + HOOKS)
def test_rights_and_requests_are_equal(
    part: str,
    requests: Sequence[Recorded],
    installed: list[dict[str, Any]],
    hooks: list[dict[str, Any]],
    table: dict[str, Any],
) -> None:
    grants = grants_of([*installed, *hooks], HOME, f"accelchain-{part}")
    needs = {
        one
        for r in of(part, requests)
        for one in asked(r.verb, r.group, r.resource, r.subresource, r.namespace, r.name, r.code)
    }
    words = difference(grants, needs, HOME, unseen_by(part, table))
    assert not words, "\n  ".join((f"{part}:", *words))


def test_nothing_is_wild_and_only_these_accounts_are_granted_anything(installed: list[dict[str, Any]]) -> None:
    roles = [obj for obj in installed if obj["kind"] in ("ClusterRole", "Role")]
    words = [word for role in roles for rule in role["rules"] for word in (*rule["verbs"], *rule["resources"])]
    assert words and "*" not in "".join(words)
    bindings = [obj for obj in installed if obj["kind"] in ("ClusterRoleBinding", "RoleBinding")]
    subjects = [subject for binding in bindings for subject in binding["subjects"]]
    accounts = {(s["namespace"], s["name"]) for s in subjects if s["kind"] == "ServiceAccount"}
    assert accounts == {(HOME, f"accelchain-{part}") for part in PARTS}
    named = {obj["metadata"]["name"] for obj in installed if obj["kind"] == "ServiceAccount"}
    assert named == {name for _, name in accounts}


def test_secrets_are_asked_for_by_name_and_by_the_dataflow_operator_alone(requests: Sequence[Recorded]) -> None:
    asked_for = {
        (r.user.rpartition(":")[2], r.verb)
        for part in PARTS + OPTIONAL + HOOKS
        for r in of(part, requests)
        if r.resource == "secrets"
    }
    assert asked_for == {("accelchain-dataflow", verb) for verb in ("get", "create", "delete")}


def test_each_operator_touches_its_own_lease_alone(requests: Sequence[Recorded]) -> None:
    for part in (*PARTS[:-1], *OPTIONAL):
        touched = {r.name for r in of(part, requests) if r.resource == "leases" and r.verb in ("get", "patch")}
        assert touched == {f"accelchain-{part}"}


def unseen_by(part: str, table: dict[str, Any]) -> set[Right]:
    """Return the rights that the table says no request shows."""
    return {
        Right(group, resource, verb)
        for rules in (table["controllers"] | table["optional"] | table["hooks"])[part].values()
        for rule in rules
        if rule.get("unseen")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
