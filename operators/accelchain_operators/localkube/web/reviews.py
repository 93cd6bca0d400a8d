# SPDX-License-Identifier: Apache-2.0
"""Reviews of access and identity: whoever holds the token may do everything."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.errors import bad_request
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.discovery import REVIEWS
from accelchain_operators.localkube.web.request_info import RequestInfo

USER = "localkube:admin"
GROUPS = ["system:masters", "system:authenticated"]


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


def review(kind: str, body: Any) -> JsonObject:
    """Return the answered review. Raises StatusError 400."""
    if not isinstance(body, dict):
        raise bad_request(f"the body must be a {kind}")
    match kind:
        case "SelfSubjectReview":
            status: JsonObject = {"userInfo": {"username": USER, "groups": GROUPS}}
        case "SelfSubjectRulesReview":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
            status = {"resourceRules": [everything], "nonResourceRules": [paths], "incomplete": False}
        case _:
            status = {"allowed": True, "reason": "the holder of the token may do everything"}
    return {**body, "kind": kind, "status": status}
