# SPDX-License-Identifier: Apache-2.0
"""Create, update, patch, apply: one pipeline from what a client sent to what is stored.

Everything up to the store happens in the version that the client speaks; ``Endpoint.read`` makes the stored form of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from accelchain_operators.localkube.api import deletion, identity, side_effects
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import WriteOptions
from accelchain_operators.localkube.apply import server_side
from accelchain_operators.localkube.apply.field_set import Path
from accelchain_operators.localkube.apply.server_side import Manager
from accelchain_operators.localkube.errors import (
    Cause,
    already_exists,
    bad_request,
    conflict,
    forbidden_field,
    invalid,
    invalid_value,
    not_found,
    required_field,
)
from accelchain_operators.localkube.objects import JsonObject, clone, lookup, same, timestamp
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.schema.prune import prune, set_defaults
from accelchain_operators.localkube.schema.structural import MISSING
from accelchain_operators.localkube.schema.validate import validate
from accelchain_operators.localkube.store.store import Key

_SET_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def create(
    cluster: Cluster,
    endpoint: Endpoint,
    namespace: str,
    obj: JsonObject,
    options: WriteOptions,
    *,
    keep_status: bool = False,
) -> JsonObject:
    """Store a new object and return it. Raises StatusError 400, 403, 404, 409, 422."""
    obj = clone(obj)
    meta = identity.identify(endpoint, namespace, obj, None)
    if meta.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    return _insert(cluster, endpoint, obj, options, applied=False, keep_status=keep_status)


def update(
    cluster: Cluster,
    endpoint: Endpoint,
    namespace: str,
    name: str,
    obj: JsonObject,
    options: WriteOptions,
    *,
    subresource: str = "",
    is_put: bool = True,
) -> JsonObject:
    """Replace an object (or its status) and return it. Raises StatusError 400, 404, 409, 422."""
    old = endpoint.show(cluster.get(endpoint, namespace, name))
    obj = clone(obj)
    meta = identity.identify(endpoint, namespace, obj, name)
    if is_put and endpoint.custom and not meta.get("resourceVersion"):
        cause = invalid_value("metadata.resourceVersion", "0x0", "must be specified for an update")
        raise invalid(endpoint.group, endpoint.kind, name, [cause])
    identity.check_preconditions(endpoint, meta, old)
    return _replace(cluster, endpoint, old, obj, options, subresource=subresource, applied=False)


def apply(
    cluster: Cluster,
    endpoint: Endpoint,
    namespace: str,
    name: str,
    config: JsonObject,
    options: WriteOptions,
    *,
    subresource: str = "",
) -> tuple[JsonObject, bool]:
    """Server-side apply; returns the object and whether it is new. Raises StatusError 400, 403, 404, 409, 422."""
    config = _without_nulls(clone(config))
    meta = identity.identify(endpoint, namespace, config, name)
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    _prune(endpoint, config, options)
    stored = cluster.store.get(Key(endpoint.storage, namespace, name))
    live = endpoint.show(stored) if stored is not None else None
    if live is None and (subresource or meta.get("uid") or meta.get("resourceVersion")):
        if subresource:
            raise not_found(endpoint.group, endpoint.plural, name)
        raise conflict(endpoint.group, endpoint.plural, name, "the object to be patched does not exist")
    if live is not None:
        identity.check_preconditions(endpoint, meta, live)
    for field in ("resourceVersion", *_SET_BY_SERVER, "generation"):
        meta.pop(field, None)
    manager = Manager(options.manager, "Apply", endpoint.api_version, subresource)
    new = server_side.apply(
        live, config, endpoint.schema, manager, force=options.force, now=timestamp(),
        reset=_reset_fields(endpoint, subresource, config),
    )  # fmt: skip
    if live is None:
        return _insert(cluster, endpoint, new, options, applied=True), True
    return _replace(cluster, endpoint, live, new, options, subresource=subresource, applied=True), False


def _insert(
    cluster: Cluster,
    endpoint: Endpoint,
    obj: JsonObject,
    options: WriteOptions,
    *,
    applied: bool,
    keep_status: bool = False,
) -> JsonObject:
    meta = obj["metadata"]
    identity.check_namespace(cluster, endpoint, meta)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = identity.generate_name(cluster, endpoint, meta)
    for field in (*_SET_BY_SERVER, "resourceVersion", "generation"):
        meta.pop(field, None)
    if not applied:
        meta.pop("managedFields", None)
        _prune(endpoint, obj, options)
    identity.tidy(meta)
    set_defaults(obj, endpoint.schema)
    status = obj.get("status")
    if endpoint.has_status and not endpoint.strategy.keeps_status:
        obj.pop("status", None)
    _refuse(endpoint, meta.get("name", ""), identity.name_causes(endpoint, meta))
    if cluster.store.get(Key(endpoint.storage, meta.get("namespace", ""), meta["name"])) is not None:
        raise already_exists(endpoint.group, endpoint.plural, meta["name"])
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = timestamp()
    if endpoint.tracks_generation:
        meta["generation"] = 1
    endpoint.strategy.prepare_create(obj)
    if keep_status and status is not None:
        obj["status"] = status
    if not applied:
        manager = Manager(options.manager, "Update", endpoint.api_version)
        reset = _reset_fields(endpoint, "", obj)
        server_side.track(None, obj, endpoint.schema, manager, now=meta["creationTimestamp"], reset=reset)
    _validate(endpoint, obj, None)
    if options.dry_run:
        return obj
    stored = cluster.store.write(endpoint.storage, endpoint.read(obj))
    side_effects.after_write(cluster, endpoint, stored, None)
    return endpoint.show(stored)


def _replace(
    cluster: Cluster,
    endpoint: Endpoint,
    old: JsonObject,
    obj: JsonObject,
    options: WriteOptions,
    *,
    subresource: str,
    applied: bool,
) -> JsonObject:
    if not applied:
        _prune(endpoint, obj, options)
    obj = _isolate(endpoint, old, obj, subresource)
    meta, before = obj["metadata"], old["metadata"]
    for field in ("name", "namespace", "generateName", "resourceVersion", "generation", *_SET_BY_SERVER):
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)
    identity.tidy(meta)
    set_defaults(obj, endpoint.schema)
    endpoint.strategy.prepare_update(obj, old, subresource)
    if endpoint.tracks_generation and _spec_changed(endpoint, old, obj):
        meta["generation"] = before.get("generation", 1) + 1
    if not applied:
        manager = Manager(options.manager, "Update", endpoint.api_version, subresource)
        reset = _reset_fields(endpoint, subresource, obj)
        server_side.track(old, obj, endpoint.schema, manager, now=timestamp(), reset=reset)
    _validate(endpoint, obj, old)
    ready = deletion.is_ready(obj)
    if options.dry_run or (same(obj, old) and not ready):
        return obj
    stored = cluster.store.write(endpoint.storage, endpoint.read(obj))
    side_effects.after_write(cluster, endpoint, stored, old)
    if ready:
        deletion.finish(cluster, Key(endpoint.storage, meta.get("namespace", ""), meta["name"]))
    return endpoint.show(stored)


def _isolate(endpoint: Endpoint, old: JsonObject, obj: JsonObject, subresource: str) -> JsonObject:
    """Return the new object with what this endpoint can't change put back."""
    if subresource == "status":
        managed = obj["metadata"].get("managedFields")
        new = {**clone(old), **({"status": obj["status"]} if "status" in obj else {})}
        if "status" not in obj:
            new.pop("status", None)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        return new
    if endpoint.has_status and not subresource:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = clone(old["status"])
    return obj


def _prune(endpoint: Endpoint, obj: JsonObject, options: WriteOptions) -> None:
    unknown = prune(obj, endpoint.schema, root=True)
    if not unknown or options.field_validation == "Ignore":
        return
    texts = [f'unknown field "{path}"' for path in sorted(unknown)]
    if options.field_validation == "Strict":
        message = "strict decoding error: " + ", ".join(texts)
        raise bad_request(
            f'{endpoint.kind} in version "{endpoint.version}" cannot be handled as a {endpoint.kind}: {message}'
        )
    options.warnings += texts


def _without_nulls(value: object) -> JsonObject:
    def strip(item: object) -> object:
        if isinstance(item, dict):
            return {key: strip(part) for key, part in item.items() if part is not None}
        return [strip(part) for part in item] if isinstance(item, list) else item

    if not isinstance(value, dict):
        raise bad_request("the body of an apply must be an object")
    for field in ("apiVersion", "kind"):
        if not value.get(field):
            raise bad_request(f"{field} must be set")
    stripped = strip(value)
    assert isinstance(stripped, dict)
    return stripped


def _reset_fields(endpoint: Endpoint, subresource: str, obj: JsonObject) -> Sequence[Path]:
    """Return the fields that can't be set, and so not owned, through this address."""
    if subresource == "status":
        return [(f"f:{key}",) for key in obj if key != "status"]
    return [("f:status",)] if endpoint.has_status and not endpoint.strategy.keeps_status else []


def _spec_changed(endpoint: Endpoint, old: JsonObject, new: JsonObject) -> bool:
    ignored = {"metadata", "status"} if endpoint.has_status else {"metadata"}
    keys = (old.keys() | new.keys()) - ignored
    return any(not same(old.get(key), new.get(key)) for key in keys)


def _validate(endpoint: Endpoint, obj: JsonObject, old: JsonObject | None) -> None:
    causes = validate(obj, endpoint.schema, MISSING if old is None else old)
    if not endpoint.custom and any(cause.reason == "FieldValueTypeInvalid" for cause in causes):
        # A real server can't even read such an object: its built-in kinds are Go structs.
        text = "; ".join(cause.text() for cause in causes)
        raise bad_request(
            f'{endpoint.kind} in version "{endpoint.version}" cannot be handled as a {endpoint.kind}: {text}'
        )
    if not causes:
        causes = list(endpoint.strategy.check(obj, old))
    if old is not None and old["metadata"].get("deletionTimestamp"):
        added = set(obj["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added:
            message = (
                f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
            )
            causes.append(forbidden_field("metadata.finalizers", message))
    for index, owner in enumerate(lookup(obj, "metadata", "ownerReferences") or []):
        causes += [
            required_field(f"metadata.ownerReferences[{index}].{field}", f"Required value: {field} must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    _refuse(endpoint, obj["metadata"]["name"], causes)


def _refuse(endpoint: Endpoint, name: str, causes: Sequence[Cause]) -> None:
    if causes:
        raise invalid(endpoint.group, endpoint.kind, name, causes)
