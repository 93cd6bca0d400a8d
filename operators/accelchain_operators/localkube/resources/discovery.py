# SPDX-License-Identifier: Apache-2.0
"""Discovery documents: which groups, versions and resources there are, in the old form and aggregated."""

from __future__ import annotations

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.endpoint import Endpoint, Registry

_SUB_VERBS = {"status": ["get", "patch", "update"], "log": ["get"], "binding": ["create"], "finalize": ["update"],
              "eviction": ["create"], "portforward": ["create", "get"], "token": ["create"]}  # fmt: skip
_SUB_KINDS = {"binding": "Binding", "eviction": "Eviction", "portforward": "PodPortForwardOptions",
              "token": "TokenRequest"}  # fmt: skip
REVIEWS = (
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    ("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False),
    ("authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", True),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False),
    ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False),
)
"""Kinds that can only be created, and are answered instead of stored: group, version, plural, kind, namespaced."""


def groups(registry: Registry) -> dict[str, list[str]]:
    """Return the versions of every group, reviews included."""
    found = registry.groups()
    for group, version, *_ in REVIEWS:
        found.setdefault(group, [version])
    return found


def api_versions(address: str) -> JsonObject:
    """Return the document at ``/api``."""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def api_group(group: str, versions: list[str]) -> JsonObject:
    """Return the document of one group."""
    rows = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": rows, "preferredVersion": rows[0]}


def api_group_list(registry: Registry) -> JsonObject:
    """Return the document at ``/apis``."""
    rows = [api_group(group, versions) for group, versions in groups(registry).items() if group]
    for row in rows:
        del row["kind"], row["apiVersion"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": rows}


def _of(registry: Registry, group: str, version: str) -> list[Endpoint]:
    return [e for e in registry if (e.group, e.version) == (group, version)]


def _subresources(endpoint: Endpoint) -> list[str]:
    return [*(["status"] if endpoint.has_status else []), *endpoint.subresources]


def api_resource_list(registry: Registry, group: str, version: str) -> JsonObject | None:
    """Return the document of one version, None where there is none."""
    rows: list[JsonObject] = []
    for endpoint in _of(registry, group, version):
        row: JsonObject = {
            "name": endpoint.plural,
            "singularName": endpoint.singular,
            "namespaced": endpoint.namespaced,
            "kind": endpoint.kind,
            "verbs": list(endpoint.verbs),
        }
        if endpoint.short_names:
            row["shortNames"] = list(endpoint.short_names)
        if endpoint.categories:
            row["categories"] = list(endpoint.categories)
        rows.append(row)
        for sub in _subresources(endpoint):
            kind = _SUB_KINDS.get(sub, endpoint.kind)
            rows.append(
                {"name": f"{endpoint.plural}/{sub}", "singularName": "", "namespaced": endpoint.namespaced,
                 "kind": kind, "verbs": _SUB_VERBS[sub]}
            )  # fmt: skip
    for of_group, of_version, plural, kind, namespaced in REVIEWS:
        if (of_group, of_version) == (group, version):
            rows.append({"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                         "verbs": ["create"]})  # fmt: skip
    if not rows:
        return None
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": rows}


def aggregated(registry: Registry, *, core: bool) -> JsonObject:
    """Return the APIGroupDiscoveryList of ``/api`` (core) or ``/apis``."""
    items = []
    for group, versions in groups(registry).items():
        if (group == "") != core:
            continue
        rows = [
            {"version": version, "freshness": "Current", "resources": _aggregated_resources(registry, group, version)}
            for version in versions
        ]
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": rows})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resources(registry: Registry, group: str, version: str) -> list[JsonObject]:
    rows: list[JsonObject] = []
    for endpoint in _of(registry, group, version):
        gvk = {"group": group, "version": version, "kind": endpoint.kind}
        row: JsonObject = {
            "resource": endpoint.plural,
            "responseKind": gvk,
            "scope": "Namespaced" if endpoint.namespaced else "Cluster",
            "singularResource": endpoint.singular,
            "verbs": list(endpoint.verbs),
        }
        if endpoint.short_names:
            row["shortNames"] = list(endpoint.short_names)
        if endpoint.categories:
            row["categories"] = list(endpoint.categories)
        if subs := _subresources(endpoint):
            row["subresources"] = [
                {"subresource": sub, "responseKind": {**gvk, "kind": _SUB_KINDS.get(sub, endpoint.kind)},
                 "verbs": _SUB_VERBS[sub]}
                for sub in subs
            ]  # fmt: skip
        rows.append(row)
    for of_group, of_version, plural, kind, namespaced in REVIEWS:
        if (of_group, of_version) == (group, version):
            rows.append(
                {"resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
                 "scope": "Namespaced" if namespaced else "Cluster", "singularResource": kind.lower(),
                 "verbs": ["create"]}
            )  # fmt: skip
    return rows
