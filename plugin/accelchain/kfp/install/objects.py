# SPDX-License-Identifier: Apache-2.0
"""The rights of launchers: in single namespaces, or in every profile of a Kubeflow for several users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from accelchain.kfp.install.rights import LAUNCHER_RULES, VIEW_RULES, Rule

JsonObject = dict[str, Any]

DEFAULT_NAMESPACE: Final = "kubeflow"
DEFAULT_ACCOUNT: Final = "pipeline-runner"
"""The ServiceAccount of runs where Kubeflow Pipelines stands alone.

See kubeflow/pipelines 2.17.0, manifests/kustomize/base/pipeline/pipeline-runner-sa.yaml.
"""
PROFILE_ACCOUNT: Final = "default-editor"
"""The ServiceAccount of runs in a profile (the same, base/installs/multi-user/api-service/params.env)."""
LAUNCHER_ROLE: Final = "accelchain-kfp-launcher"
EDIT_ROLE: Final = "accelchain-kubeflow-edit"
VIEW_ROLE: Final = "accelchain-kubeflow-view"
_RBAC: Final = "rbac.authorization.k8s.io"
_AGGREGATE: Final = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be given rights."""

    namespace: str = ""
    """Namespace of a Kubeflow Pipelines that stands alone; empty for none."""
    service_account: str = DEFAULT_ACCOUNT
    """That runs there run as."""
    profiles: tuple[str, ...] = ()
    """Profiles (namespaces), each by a Role of its own."""
    all_profiles: bool = False
    """Every profile, by ClusterRoles that Kubeflow adds to its own."""


def objects(wanted: Wanted) -> list[JsonObject]:
    """Return the objects, in the order in which they are applied."""
    holders = [(wanted.namespace, wanted.service_account)] if wanted.namespace else []
    holders += [(profile, PROFILE_ACCOUNT) for profile in wanted.profiles]
    made: list[JsonObject] = []
    for namespace, account in holders:
        made += [obj for obj in _rights(namespace, account) if obj not in made]
    if wanted.all_profiles:
        made += [_aggregated(EDIT_ROLE, "edit", LAUNCHER_RULES), _aggregated(VIEW_ROLE, "view", VIEW_RULES)]
    return made


def _rights(namespace: str, account: str) -> list[JsonObject]:
    return [
        {**_head("Role", LAUNCHER_ROLE, namespace), "rules": [rule.to_dict() for rule in LAUNCHER_RULES]},
        {
            **_head("RoleBinding", f"{LAUNCHER_ROLE}-{account}", namespace),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": LAUNCHER_ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]


def _aggregated(name: str, to: str, rules: Sequence[Rule]) -> JsonObject:
    role = _head("ClusterRole", name)
    role["metadata"]["labels"][f"{_AGGREGATE}{to}"] = "true"
    return {**role, "rules": [rule.to_dict() for rule in rules]}


def _head(kind: str, name: str, namespace: str = "") -> JsonObject:
    labels = {
        "app.kubernetes.io/name": "accelchain",
        "app.kubernetes.io/component": "kfp",
        "app.kubernetes.io/part-of": "accelchain",
    }
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": name, **where, "labels": labels}}
