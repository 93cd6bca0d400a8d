# SPDX-License-Identifier: Apache-2.0
"""May this user do that? RBAC as Kubernetes defines it, over the Roles and bindings that are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import StatusError, forbidden
from accelchain_operators.localkube.objects import JsonObject, lookup
from accelchain_operators.localkube.selectors import predicate
from accelchain_operators.localkube.store.store import Key
from accelchain_operators.localkube.users import User
from accelchain_operators.localkube.web.request_info import RequestInfo

RBAC = "rbac.authorization.k8s.io"
DISCOVERY = ("/", "/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version")
"""What every authenticated user may read: system:discovery."""
SELF_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
"""What every authenticated user may ask of himself: system:basic-user."""


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do."""

    verb: str
    group: str = ""
    resource: str = ""
    """With its subresource: ``pods/log``."""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Of a request that is for no resource."""

    @classmethod
    def of(cls, info: RequestInfo) -> Act:
        """Return the act of a request."""
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        name, path = info.name or info.selected, "" if info.resource else info.path
        return cls(info.verb, info.group, resource, info.namespace, name, path)


def check(cluster: Cluster, user: User, info: RequestInfo) -> None:
    """Raise StatusError 403, worded as a real server does, where the user may not do what he asks for."""
    act = Act.of(info)
    if not allowed(cluster, user, act):
        raise _refusal(user, act)


def allowed(cluster: Cluster, user: User, act: Act) -> bool:
    """Tell whether a user may do something."""
    if user.is_master or _basic(act):
        return True
    return any(_covers(rule, act) for rule in rules(cluster, user, act.namespace))


def rules(cluster: Cluster, user: User, namespace: str) -> Iterator[JsonObject]:
    """Yield the rules that hold for a user in a namespace (cluster-wide where empty)."""
    for binding in _stored(cluster, "clusterrolebindings"):
        if _binds(binding, user, ""):
            yield from _role_rules(cluster, binding["roleRef"], "")
    for binding in _stored(cluster, "rolebindings", namespace) if namespace else ():
        if _binds(binding, user, namespace):
            yield from _role_rules(cluster, binding["roleRef"], namespace)


def _basic(act: Act) -> bool:
    if act.path:
        return act.verb == "get" and any(act.path == p or act.path.startswith(f"{p.rstrip('/')}/") for p in DISCOVERY)
    return act.verb == "create" and act.resource in SELF_REVIEWS


def _covers(rule: JsonObject, act: Act) -> bool:
    if not _lists(rule.get("verbs"), act.verb):
        return False
    if act.path:
        return any(_path_fits(pattern, act.path) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    if names and act.name not in names:
        return False
    resources = rule.get("resources") or ()
    subresource = act.resource.partition("/")[2]
    named = _lists(resources, act.resource) or (bool(subresource) and f"*/{subresource}" in resources)
    return named and _lists(rule.get("apiGroups"), act.group)


def _lists(values: Sequence[str] | None, wanted: str) -> bool:
    return bool(values) and ("*" in values or wanted in values)  # type: ignore[operator]


def _path_fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _stored(cluster: Cluster, plural: str, namespace: str = "") -> list[JsonObject]:
    return cluster.store.items(f"{RBAC}/{plural}", namespace)


def _binds(binding: JsonObject, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        match subject.get("kind"):
            case "User" if subject["name"] == user.name:
                return True
            case "Group" if subject["name"] in user.groups:
                return True
            case "ServiceAccount":
                where = subject.get("namespace") or namespace
                if user.name == f"system:serviceaccount:{where}:{subject['name']}":
                    return True
    return False


def _role_rules(cluster: Cluster, reference: JsonObject, namespace: str) -> Iterator[JsonObject]:
    of_cluster = reference["kind"] == "ClusterRole"
    plural = "clusterroles" if of_cluster else "roles"
    role = cluster.store.get(Key(f"{RBAC}/{plural}", "" if of_cluster else namespace, reference["name"]))
    if role is None:
        return
    yield from role.get("rules") or ()
    for selector in lookup(role, "aggregationRule", "clusterRoleSelectors") or ():
        labels = ",".join(f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items())
        matches = predicate(labels, "", frozenset())
        for other in _stored(cluster, "clusterroles"):
            if labels and matches is not None and matches(other):
                yield from other.get("rules") or ()


def _refusal(user: User, act: Act) -> StatusError:
    if act.path:
        return forbidden(f'User "{user.name}" cannot {act.verb} path "{act.path}"')
    where = f'in the namespace "{act.namespace}"' if act.namespace else "at the cluster scope"
    qualified = f"{act.resource.partition('/')[0]}.{act.group}" if act.group else act.resource.partition("/")[0]
    named = f' "{act.name}"' if act.name else ""
    details: dict[str, Any] = {"group": act.group, "kind": act.resource.partition("/")[0], "name": act.name}
    message = (
        f'{qualified}{named} is forbidden: User "{user.name}" cannot {act.verb} resource "{act.resource}" '
        f'in API group "{act.group}" {where}'
    )
    return forbidden(message, {key: value for key, value in details.items() if value})
