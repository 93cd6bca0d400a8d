# SPDX-License-Identifier: Apache-2.0
"""What a request asks for, read from its method, path and query as Kubernetes does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "HEAD": "get", "DELETE": "delete"}


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """Return a boolean of the query as Kubernetes reads it: None if absent, else false for ``false`` and ``0`` only."""
    value = query.get(name)
    return None if value is None else value.lower() not in ("false", "0")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The attributes that authorization, records and faults go by. ``resource`` is empty for other paths."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    selected: str = ""
    """The one name that a list's field selector lets through: authorization and records take it for the name."""


def request_info(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Read a request.

    Args:
        method: of HTTP.
        raw_path: still escaped, without the query.
        query: of the URL.
    """
    verb = _VERBS.get(method, method.lower())
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(verb, raw_path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = [*rest, "", ""][:3]
    if len(rest) > 3:
        return RequestInfo(verb, raw_path, group, version)
    if not name:
        if verb == "get":
            verb = "watch" if flag(query, "watch") else "list"
        elif verb == "delete":
            verb = "deletecollection"
    elif verb == "get" and flag(query, "watch") and not subresource:
        verb = "watch"
    selected = "" if name else _selected_name(query.get("fieldSelector", ""))
    return RequestInfo(verb, raw_path, group, version, namespace, resource, name, subresource, selected)


def _selected_name(field_selector: str) -> str:
    found = (re.fullmatch(r"\s*metadata\.name\s*==?\s*([^\s/]+)\s*", term) for term in field_selector.split(","))
    return next((match[1] for match in found if match), "")
