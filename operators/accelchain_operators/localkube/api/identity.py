# SPDX-License-Identifier: Apache-2.0
"""Names, namespaces and preconditions: what an object is called, where it belongs, which state of it is meant."""

from __future__ import annotations

import secrets
import string

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import (
    Cause,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_value,
    not_found,
    required_field,
)
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.builtin import NAMESPACES
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.store.store import Key

_ALPHABET = "".join(set(string.ascii_lowercase + string.digits) - set("aeiou013l"))


def identify(endpoint: Endpoint, namespace: str, obj: JsonObject, name: str | None) -> JsonObject:
    """Check the object's type, name and namespace against the address; returns its metadata, completed."""
    if not isinstance(obj, dict):
        raise bad_request("the body must be an object")
    if (version := obj.setdefault("apiVersion", endpoint.api_version)) != endpoint.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({endpoint.api_version})"
        )
    if (kind := obj.setdefault("kind", endpoint.kind)) != endpoint.kind:
        if not endpoint.custom:
            raise bad_request(f"the kind in the data ({kind}) does not match the expected kind ({endpoint.kind})")
        called = (obj.get("metadata") or {}).get("name", "")
        raise invalid(endpoint.group, str(kind), called, [invalid_value("kind", kind, f"must be {endpoint.kind}")])
    meta = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    if not isinstance(meta, dict):
        raise bad_request("metadata must be an object")
    if name is not None and meta.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if not endpoint.namespaced:
        meta.pop("namespace", None)
    elif (meta.get("namespace") or namespace) != namespace:
        raise bad_request(
            f"the namespace of the provided object ({meta['namespace']}) does not match the namespace sent on the "
            f"request ({namespace})"
        )
    else:
        meta["namespace"] = namespace
    return meta


def tidy(meta: JsonObject) -> None:
    """Leave out what is empty, as Kubernetes' own encoding of metadata does."""
    for field in [
        name for name, value in meta.items() if value in (None, {}, "") or (value == [] and name != "managedFields")
    ]:
        del meta[field]


def check_namespace(cluster: Cluster, endpoint: Endpoint, meta: JsonObject) -> None:
    """Refuse a new object whose namespace is missing or going. Raises StatusError 403, 404."""
    if not endpoint.namespaced:
        return
    namespace = cluster.store.get(Key(NAMESPACES, "", meta["namespace"]))
    if namespace is None:
        raise not_found("", "namespaces", meta["namespace"])
    if namespace["metadata"].get("deletionTimestamp"):
        name = meta.get("name") or meta.get("generateName", "")
        message = f"unable to create new content in namespace {meta['namespace']} because it is being terminated"
        causes = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
        details = {"name": name, "kind": endpoint.plural, "causes": causes}
        raise forbidden(f'{endpoint.plural} "{name}" is forbidden: {message}', details)


def generate_name(cluster: Cluster, endpoint: Endpoint, meta: JsonObject) -> str:
    """Return a free name that begins with ``generateName``."""
    prefix = str(meta["generateName"])[:58]
    while True:
        name = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(5))
        if cluster.store.get(Key(endpoint.storage, meta.get("namespace", ""), name)) is None:
            return name


def name_causes(endpoint: Endpoint, meta: JsonObject) -> list[Cause]:
    """Return what is wrong with an object's name."""
    if not meta.get("name"):
        return [required_field("metadata.name", "Required value: name or generateName is required")]
    return list(endpoint.strategy.check_name(meta["name"]))


def check_preconditions(endpoint: Endpoint, meta: JsonObject, old: JsonObject) -> None:
    """Refuse a write that means another object, or another state of it. Raises StatusError 409."""
    name = old["metadata"]["name"]
    if (uid := meta.get("uid")) and uid != old["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        raise conflict(endpoint.group, endpoint.plural, name, why)
    if (revision := meta.get("resourceVersion")) and revision != old["metadata"]["resourceVersion"]:
        raise conflict(endpoint.group, endpoint.plural, name)
