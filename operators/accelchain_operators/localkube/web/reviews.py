# SPDX-License-Identifier: Apache-2.0
"""Reviews of access and identity: who is that, and may he do this?"""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import bad_request
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.discovery import REVIEWS
from accelchain_operators.localkube.users import User, Users
from accelchain_operators.localkube.web.authorization import Act, allowed, rules
from accelchain_operators.localkube.web.request_info import RequestInfo


def review_kind(info: RequestInfo) -> str | None:
    """Return the kind of review that a request asks for, None where it is none."""
    return next(
        (
            kind
            for group, version, plural, kind, _ in REVIEWS
            if (group, version, plural) == (info.group, info.version, info.resource)
        ),
        None,
    )


def review(kind: str, body: Any, cluster: Cluster, users: Users, user: User) -> JsonObject:
    """Return the answered review.

    Args:
        kind: which review.
        body: the request's body.
        cluster: where Roles are.
        users: who is known by which token.
        user: who asks.

    Raises:
        StatusError: 400, the body is no such review.
    """
    spec = body.get("spec") or {} if isinstance(body, dict) else None
    if not isinstance(spec, dict):
        raise bad_request(f"the body must be a {kind}")
    match kind:
        case "SelfSubjectReview":
            status: JsonObject = {"userInfo": _shown(user)}
        case "SelfSubjectRulesReview":
            status = _rules(cluster, user, str(spec.get("namespace") or ""))
        case "TokenReview":
            found = users.find(str(spec.get("token", "")))
            status = {"authenticated": found is not None, **({"user": _shown(found)} if found else {})}
        case "SelfSubjectAccessReview":
            status = _access(cluster, user, spec)
        case _:
            status = _access(cluster, User(str(spec.get("user", "")), tuple(spec.get("groups") or ())), spec)
    return {**body, "kind": kind, "status": status}


def _shown(user: User) -> JsonObject:
    return {"username": user.name, "groups": list(user.groups)}


def _access(cluster: Cluster, user: User, spec: JsonObject) -> JsonObject:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None:
        sub = f"/{resource['subresource']}" if resource.get("subresource") else ""
        act = Act(
            str(resource.get("verb", "")),
            str(resource.get("group", "")),
            f"{resource.get('resource', '')}{sub}",
            str(resource.get("namespace", "")),
            str(resource.get("name", "")),
        )
    elif path is not None:
        act = Act(str(path.get("verb", "")), path=str(path.get("path", "")))
    else:
        raise bad_request("spec needs resourceAttributes or nonResourceAttributes")
    if user.is_master:
        return {"allowed": True, "reason": "a member of system:masters may do everything"}
    return {"allowed": allowed(cluster, user, act)}


def _rules(cluster: Cluster, user: User, namespace: str) -> JsonObject:
    if user.is_master:
        found = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    else:
        found = list(rules(cluster, user, namespace))
    return {
        "resourceRules": [rule for rule in found if "resources" in rule],
        "nonResourceRules": [rule for rule in found if "nonResourceURLs" in rule],
        "incomplete": False,
    }
