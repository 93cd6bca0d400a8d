# SPDX-License-Identifier: Apache-2.0
"""The objects of the plugin in a namespace, and what a workflow's ServiceAccount needs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from accelchain.argo.core.body import KEY
from accelchain.argo.install.rights import CONTROLLER_RULES, PLUGIN_RULES, WORKFLOW_RULES, Rule

JsonObject = dict[str, Any]

PORT: Final = 17471
PLUGIN_CONFIG: Final = f"{KEY}-executor-plugin"
"""Name of the ConfigMap, and of the ServiceAccount that Argo looks for: ``<plugin>-executor-plugin``."""
PLUGIN_TOKEN: Final = f"{PLUGIN_CONFIG}.service-account-token"
WORKFLOW_ROLE: Final = "accelchain-workflow"
CONTROLLER_ROLE: Final = "accelchain-argo-controller"
DEFAULT_CONTROLLER: Final = "argo/argo"
"""Namespace and name of the controller's ServiceAccount, as Argo's manifests have it."""
DEFAULT_IMAGE: Final = "localhost/accelchain-operator:dev"
"""The chart's default; ``make images`` builds it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed in a namespace."""

    namespace: str
    image: str = DEFAULT_IMAGE
    pull_policy: str = "IfNotPresent"
    service_account: str = ""
    """A workflow's ServiceAccount that gets its rights and its token; empty for none."""
    plugin: bool = True
    """False: without the plugin, for the task-set operator and for resource templates."""
    controller: str = DEFAULT_CONTROLLER
    """``namespace/name`` of the ServiceAccount of Argo's controller, which gets a right that its own roles lack."""


def objects(wanted: Wanted) -> list[JsonObject]:
    """Return the objects, in the order in which they are applied."""
    made = _plugin(wanted) if wanted.plugin else []
    namespace, _, account = wanted.controller.partition("/")
    made += _rights(CONTROLLER_ROLE, CONTROLLER_ROLE, account, CONTROLLER_RULES, wanted, namespace)
    if wanted.service_account:
        made += _workflow(wanted)
    return made


def token_secret(service_account: str) -> str:
    """Return the name of the Secret with a ServiceAccount's token that Argo looks for.

    See argoproj/argo-workflows v4.1.2, workflow/common/service_account.go.
    """
    return f"{service_account}.service-account-token"


def _plugin(wanted: Wanted) -> list[JsonObject]:
    config = {
        **_head("v1", "ConfigMap", PLUGIN_CONFIG, wanted, {"workflows.argoproj.io/configmap-type": "ExecutorPlugin"}),
        "data": {
            "sidecar.automountServiceAccountToken": "true",
            "sidecar.container": yaml.safe_dump(_container(wanted), sort_keys=False),
        },
    }
    account = {
        **_head("v1", "ServiceAccount", PLUGIN_CONFIG, wanted),
        "automountServiceAccountToken": False,
    }
    return [
        config,
        account,
        _token(PLUGIN_CONFIG, wanted),
        *_rights(PLUGIN_CONFIG, PLUGIN_CONFIG, PLUGIN_CONFIG, PLUGIN_RULES, wanted, wanted.namespace),
    ]


def _workflow(wanted: Wanted) -> list[JsonObject]:
    account = wanted.service_account
    binding = f"{WORKFLOW_ROLE}-{account}"
    return [
        *_rights(WORKFLOW_ROLE, binding, account, WORKFLOW_RULES, wanted, wanted.namespace),
        _token(account, wanted),
    ]


def _container(wanted: Wanted) -> JsonObject:
    return {
        "name": KEY,
        "image": wanted.image,
        "imagePullPolicy": wanted.pull_policy,
        "command": ["accelchain", "argo", "plugin"],
        "args": [f"--port={PORT}"],
        "ports": [{"containerPort": PORT}],
        "resources": {
            "requests": {"cpu": "20m", "memory": "64Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "runAsNonRoot": True,
            # Argo's agent writes our token as user 8737 and group 0, and nobody else may read it
            "runAsUser": 8737,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _token(account: str, wanted: Wanted) -> JsonObject:
    secret = _head("v1", "Secret", token_secret(account), wanted)
    secret["metadata"]["annotations"] = {"kubernetes.io/service-account.name": account}
    return {**secret, "type": "kubernetes.io/service-account-token"}


def _rights(
    role: str, binding: str, account: str, rules: Sequence[Rule], wanted: Wanted, namespace: str
) -> list[JsonObject]:
    """Return a Role, and the RoleBinding that gives it to an account of some namespace."""
    api = "rbac.authorization.k8s.io"
    return [
        {**_head(f"{api}/v1", "Role", role, wanted), "rules": [rule.to_dict() for rule in rules]},
        {
            **_head(f"{api}/v1", "RoleBinding", binding, wanted),
            "roleRef": {"apiGroup": api, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]


def _head(
    api_version: str, kind: str, name: str, wanted: Wanted, labels: Mapping[str, str] | None = None
) -> JsonObject:
    common = {
        "app.kubernetes.io/name": "accelchain",
        "app.kubernetes.io/component": "argo",
        "app.kubernetes.io/part-of": "accelchain",
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": wanted.namespace, "labels": {**common, **(labels or {})}},
    }
