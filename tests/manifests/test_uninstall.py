# SPDX-License-Identifier: Apache-2.0
"""The hook that ends a release: it runs after everything else is gone, and nothing of it stays."""

from __future__ import annotations

from typing import Any

import click
import pytest

from accelchain.cli.commands import cli
from accelchain_operators.kube.leftovers import leftovers

SETTINGS = {
    "image": {"registry": "registry.example", "tag": "7", "pullSecrets": ["door"]},
    "operators": {"tolerations": [{"key": "infra", "operator": "Exists"}], "nodeSelector": {"pool": "infra"}},
}


@pytest.fixture(scope="module")
def hook(hooks: Any) -> Any:
    """The hook's objects."""
    return hooks(SETTINGS)


def test_all_of_it_is_a_hook_that_goes_when_it_is_done(hook: Any) -> None:
    assert {obj["kind"] for obj in hook} == {
        "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "NetworkPolicy", "Job"
    }  # fmt: skip
    for obj in hook:
        annotations = obj["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-delete"
        assert {"before-hook-creation", "hook-succeeded"} <= set(annotations["helm.sh/hook-delete-policy"].split(","))
    weights = {obj["kind"]: int(obj["metadata"]["annotations"]["helm.sh/hook-weight"]) for obj in hook}
    assert all(weight < weights["Job"] for kind, weight in weights.items() if kind != "Job")


def test_it_is_no_part_of_what_is_applied_without_helm(installed: Any) -> None:
    assert not [obj for obj in installed if obj["metadata"]["name"] == "accelchain-uninstall"]
    assert not [obj for obj in installed if "helm.sh/hook" in obj["metadata"].get("annotations", {})]


def test_it_ends(hook: Any) -> None:
    spec = hook.named("Job", "accelchain-uninstall")["spec"]
    assert spec["activeDeadlineSeconds"] <= 120
    assert spec["backoffLimit"] <= 2
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_it_may_list_and_delete_what_it_deletes_and_nothing_else(hook: Any) -> None:
    wanted = leftovers("accelchain", "accelchain-system")
    for role, bound, types in (
        ("ClusterRole", "ClusterRoleBinding", {left.type for left in wanted if left.namespace is None}),
        ("Role", "RoleBinding", {left.type for left in wanted if left.namespace is not None}),
    ):
        rules = hook.named(role, "accelchain-uninstall")["rules"]
        given = {
            (g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
        }
        assert given == {(t.api_version.split("/")[0], t.plural, v) for t in types for v in ("list", "delete")}
        binding = hook.named(bound, "accelchain-uninstall")
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (role, "accelchain-uninstall")
        assert [subject["name"] for subject in binding["subjects"]] == ["accelchain-uninstall"]
    assert {left.namespace for left in wanted} == {None, "accelchain-system"}


def test_it_runs_where_and_with_what_the_operators_ran(hook: Any, render: Any) -> None:
    pod, like = hook.pods()["accelchain-uninstall"], render(SETTINGS).pods()["accelchain-chain"]
    for field in ("tolerations", "nodeSelector", "imagePullSecrets", "securityContext"):
        assert pod[field] == like[field]
    (container,), (other,) = pod["containers"], like["containers"]
    for field in ("image", "resources", "securityContext", "terminationMessagePolicy"):
        assert container[field] == other[field]
    command = container["command"]
    assert command[0] == "accelchain"
    params = cli.get_command(click.Context(cli), command[1]).params
    assert {a.partition("=")[0] for a in container["args"]} <= {option for p in params for option in p.opts}
    assert "--release=accelchain" in container["args"]


def test_it_reaches_the_api_where_policies_hold(hook: Any, render: Any) -> None:
    policy = hook.named("NetworkPolicy", "accelchain-uninstall")["spec"]
    assert policy["egress"] == render(SETTINGS).named("NetworkPolicy", "accelchain-chain")["spec"]["egress"]
    labels = hook.named("Job", "accelchain-uninstall")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert "ingress" not in policy and "Ingress" in policy["policyTypes"]
