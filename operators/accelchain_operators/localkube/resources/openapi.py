# SPDX-License-Identifier: Apache-2.0
"""OpenAPI documents: enough for kubectl's ``explain``, ``apply`` and ``--dry-run=server``."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.discovery import groups
from accelchain_operators.localkube.resources.endpoint import Endpoint, Registry

_QUERY = ("dryRun", "fieldManager", "fieldValidation")


def root(registry: Registry) -> JsonObject:
    """Return the document at ``/openapi/v3``; the hash tells clients when to read a part again."""
    paths = {}
    for group, versions in groups(registry).items():
        for version in versions:
            part = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[part] = {"serverRelativeURL": f"/openapi/v3/{part}?hash={registry.generation}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> JsonObject | None:
    """Return the OpenAPI v3 document of one version, None where nothing is served."""
    endpoints = [e for e in registry if (e.group, e.version) == (group, version)]
    if not endpoints:
        return None
    paths: JsonObject = {}
    schemas: JsonObject = {}
    for endpoint in endpoints:
        name = _schema_name(endpoint)
        gvk = _gvk(endpoint)
        schemas[name] = {**_plain(endpoint.raw_schema), "x-kubernetes-group-version-kind": [gvk]}
        base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        if endpoint.namespaced:
            base += "/namespaces/{namespace}"
        paths[f"{base}/{endpoint.plural}"] = {
            "get": _operation(gvk, "list", name, ()),
            "post": _operation(gvk, "post", name, _QUERY),
        }
        paths[f"{base}/{endpoint.plural}/{{name}}"] = {
            "get": _operation(gvk, "get", name, ()),
            "put": _operation(gvk, "put", name, _QUERY),
            "patch": _operation(gvk, "patch", name, (*_QUERY, "force")),
            "delete": _operation(gvk, "delete", name, ("dryRun",)),
        }
    info = {"title": "Kubernetes", "version": "unversioned"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def swagger() -> JsonObject:
    """Return the document at ``/openapi/v2``: clients that still ask for it learn that there is nothing to check."""
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": {}, "definitions": {}}


def _gvk(endpoint: Endpoint) -> JsonObject:
    return {"group": endpoint.group, "version": endpoint.version, "kind": endpoint.kind}


def _schema_name(endpoint: Endpoint) -> str:
    reverse = ".".join(reversed(endpoint.group.split("."))) if endpoint.group else "io.k8s.api.core"
    return f"{reverse}.{endpoint.version}.{endpoint.kind}"


def _operation(gvk: JsonObject, action: str, schema: str, query: tuple[str, ...]) -> JsonObject:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    answer = {"description": "OK", "content": {"application/json": {"schema": reference}}}
    return {
        "operationId": f"{action}{gvk['group'].replace('.', '')}{gvk['version']}{gvk['kind']}",
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query],
        "responses": {"200": answer},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }


def _plain(schema: Any) -> Any:
    """Return a schema without what OpenAPI v3 readers stumble over: the text of CEL rules."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "x-kubernetes-validations"}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema
