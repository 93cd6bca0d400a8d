# SPDX-License-Identifier: Apache-2.0
"""Deletion: grace, finalizers, owners and dependents, namespaces with their contents, definitions with their objects.

Everything is done at once, in the call that makes it possible: nothing polls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import DeleteOptions
from accelchain_operators.localkube.errors import conflict, forbidden
from accelchain_operators.localkube.objects import JsonObject, clone, timestamp
from accelchain_operators.localkube.resources.builtin import CRD_STORAGE, NAMESPACES
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.store.store import Key

FOREGROUND = "foregroundDeletion"
_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_LASTING_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def is_ready(obj: JsonObject) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = obj["metadata"]
    waiting = (
        meta.get("finalizers") or meta.get("deletionGracePeriodSeconds", 0) or "kubernetes" in _spec_finalizers(obj)
    )
    return bool(meta.get("deletionTimestamp")) and not waiting


def _spec_finalizers(obj: JsonObject) -> list[str]:
    return (obj.get("spec") or {}).get("finalizers") or [] if obj.get("kind") == "Namespace" else []


def delete(
    cluster: Cluster, endpoint: Endpoint, namespace: str, name: str, options: DeleteOptions
) -> tuple[JsonObject, bool]:
    """Delete an object or begin to; returns its last state and whether it is gone. Raises StatusError 403, 404, 409."""
    obj = cluster.get(endpoint, namespace, name)
    _check(endpoint, obj, options)
    if endpoint.storage == NAMESPACES and name in _LASTING_NAMESPACES:
        raise forbidden(f'namespaces "{name}" is forbidden: this namespace may not be deleted')
    if options.dry_run:
        return obj, True
    key = Key(endpoint.storage, namespace, name)
    _mark(cluster, endpoint, key, obj, options)
    left = cluster.store.get(key)
    return (obj, True) if left is None or left["metadata"]["uid"] != obj["metadata"]["uid"] else (left, False)


def _check(endpoint: Endpoint, obj: JsonObject, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    for what, wanted, found in (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            raise conflict(endpoint.group, endpoint.plural, meta["name"], why)


def _mark(cluster: Cluster, endpoint: Endpoint, key: Key, obj: JsonObject, options: DeleteOptions) -> None:
    """Set what tells that the object is going, then let it go as far as it can."""
    meta = obj["metadata"]
    grace = endpoint.strategy.grace_seconds(obj, options.grace_seconds)
    finalizers = list(meta.get("finalizers") or [])
    if options.propagation == "Orphan":
        _release_dependents(cluster, meta["uid"])
    elif options.propagation == "Foreground" and FOREGROUND not in finalizers and cluster.store.dependents(meta["uid"]):
        finalizers.append(FOREGROUND)
    if key.storage == CRD_STORAGE and cluster.store.count(_storage_of(obj)) and _CLEANUP not in finalizers:
        finalizers.append(_CLEANUP)
    changed = clone(obj)
    new = changed["metadata"]
    earlier = meta.get("deletionTimestamp")
    if not earlier or grace < meta.get("deletionGracePeriodSeconds", 0):
        new["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
        new["deletionGracePeriodSeconds"] = grace
    if finalizers:
        new["finalizers"] = finalizers
    if not earlier and "generation" in new:
        new["generation"] += 1
    if key.storage == NAMESPACES:
        changed["status"] = {**(changed.get("status") or {}), "phase": "Terminating"}
    if is_ready(changed):
        finish(cluster, key)
        return
    if changed != obj:
        cluster.store.write(key.storage, changed)
    if FOREGROUND in finalizers:
        _delete_dependents_first(cluster, key)
    if key.storage == NAMESPACES:
        _empty_namespace(cluster, key.name)
    if _CLEANUP in finalizers:
        _delete_instances(cluster, _storage_of(obj))


def finish(cluster: Cluster, key: Key) -> None:
    """Remove an object for good, and whatever depended on its being there."""
    last = cluster.store.remove(key)
    if last is None:
        return
    if key.storage == CRD_STORAGE:
        cluster.registry.discard(last["spec"]["group"], last["spec"]["names"]["plural"])
        cluster.store.end(_storage_of(last))
    _collect(cluster, last["metadata"]["uid"])
    for owner in last["metadata"].get("ownerReferences") or []:
        if (owner_key := cluster.store.by_uid(owner["uid"])) is not None:
            _end_foreground(cluster, owner_key)
    if key.namespace:
        _end_namespace(cluster, key.namespace)
    _end_definition(cluster, key.storage)


def delete_key(cluster: Cluster, key: Key, propagation: str = "Background") -> None:
    """Delete by key: what the server itself deletes."""
    obj = cluster.store.get(key)
    endpoint = cluster.registry.of_storage(key.storage)
    if obj is not None and endpoint is not None and not obj["metadata"].get("deletionTimestamp"):
        _mark(cluster, endpoint, key, obj, DeleteOptions(propagation=propagation))


def collect_if_orphan(cluster: Cluster, key: Key, uid: str) -> None:
    """Delete an object whose owners are all gone already (it was created too late)."""
    obj = cluster.store.get(key)
    if obj is None or obj["metadata"]["uid"] != uid:
        return
    owners = obj["metadata"].get("ownerReferences") or []
    if owners and not any(_lives(cluster, owner["uid"], key.namespace) for owner in owners):
        delete_key(cluster, key)


def _lives(cluster: Cluster, uid: str, namespace: str) -> bool:
    owner = cluster.store.by_uid(uid)
    return owner is not None and owner.namespace in ("", namespace)


def _collect(cluster: Cluster, uid: str) -> None:
    """Delete the dependents of an owner that is gone; those with another owner only lose the reference."""
    for key in cluster.store.dependents(uid):
        obj = cluster.store.get(key)
        if obj is None:
            continue
        others = [r for r in obj["metadata"]["ownerReferences"] if r["uid"] != uid]
        if any(_lives(cluster, reference["uid"], key.namespace) for reference in others):
            _drop_owner(cluster, key, uid)
        else:
            delete_key(cluster, key)


def _release_dependents(cluster: Cluster, uid: str) -> None:
    for key in cluster.store.dependents(uid):
        _drop_owner(cluster, key, uid)


def _drop_owner(cluster: Cluster, key: Key, uid: str) -> None:
    obj = clone(cluster.store.get(key))
    left = [reference for reference in obj["metadata"]["ownerReferences"] if reference["uid"] != uid]
    if left:
        obj["metadata"]["ownerReferences"] = left
    else:
        del obj["metadata"]["ownerReferences"]
    cluster.store.write(key.storage, obj)


def _blocking(cluster: Cluster, uid: str) -> list[Key]:
    found = []
    for key in cluster.store.dependents(uid):
        obj = cluster.store.get(key)
        references = obj["metadata"].get("ownerReferences") or [] if obj else []
        if any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in references):
            found.append(key)
    return found


def _delete_dependents_first(cluster: Cluster, owner: Key) -> None:
    obj = cluster.store.get(owner)
    if obj is None:
        return
    for key in _blocking(cluster, obj["metadata"]["uid"]):
        delete_key(cluster, key, "Foreground")
    _end_foreground(cluster, owner)


def _end_foreground(cluster: Cluster, owner: Key) -> None:
    obj = cluster.store.get(owner)
    if obj is None or FOREGROUND not in (obj["metadata"].get("finalizers") or ()):
        return
    if not _blocking(cluster, obj["metadata"]["uid"]):
        _remove_finalizer(cluster, owner, obj, FOREGROUND)


def _remove_finalizer(cluster: Cluster, key: Key, obj: JsonObject, name: str) -> None:
    changed = clone(obj)
    changed["metadata"]["finalizers"] = [item for item in obj["metadata"]["finalizers"] if item != name]
    if not changed["metadata"]["finalizers"]:
        del changed["metadata"]["finalizers"]
    cluster.store.write(key.storage, changed)
    if is_ready(changed):
        finish(cluster, key)


def _empty_namespace(cluster: Cluster, namespace: str) -> None:
    for key in cluster.store.in_namespace(namespace):
        delete_key(cluster, key)
    _end_namespace(cluster, namespace)


def _end_namespace(cluster: Cluster, namespace: str) -> None:
    key = Key(NAMESPACES, "", namespace)
    obj = cluster.store.get(key)
    if obj is None or not obj["metadata"].get("deletionTimestamp") or any(cluster.store.in_namespace(namespace)):
        return
    changed = clone(obj)
    changed["spec"] = {"finalizers": [f for f in _spec_finalizers(obj) if f != "kubernetes"]}
    if is_ready(changed):
        finish(cluster, key)
    elif changed != obj:
        cluster.store.write(NAMESPACES, changed)


def _storage_of(crd: JsonObject) -> str:
    return f"{crd['spec']['group']}/{crd['spec']['names']['plural']}"


def _delete_instances(cluster: Cluster, storage: str) -> None:
    for obj in cluster.store.items(storage):
        delete_key(cluster, Key(storage, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
    _end_definition(cluster, storage)


def _end_definition(cluster: Cluster, storage: str) -> None:
    group, _, plural = storage.partition("/")
    key = Key(CRD_STORAGE, "", f"{plural}.{group}")
    crd = cluster.store.get(key)
    if crd is not None and _CLEANUP in (crd["metadata"].get("finalizers") or ()) and not cluster.store.count(storage):
        _remove_finalizer(cluster, key, crd, _CLEANUP)
