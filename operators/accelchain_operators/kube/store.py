# SPDX-License-Identifier: Apache-2.0
"""Our own cache of every watched kind, which forgets what was deleted while nobody looked.

Three sources feed it: watch events, whole lists, and the answers to our own writes. They arrive in any order, so
an object is replaced only by a newer resourceVersion, and the uid of a deleted object never comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from accelchain_operators.kube.client import JsonObject, ResourceType

OnChange = Callable[[ResourceType, JsonObject | None, JsonObject | None], None]
"""Kind, the object before, the object after; None where there was or is none."""
Key = tuple[str | None, str]
"""Namespace (None for the cluster's own kinds) and name."""

REMEMBERED_DELETIONS = 10_000


def key_of(obj: JsonObject) -> Key:
    """Return an object's namespace and name."""
    meta = obj["metadata"]
    return meta.get("namespace"), meta["name"]


def controller_uid(obj: JsonObject) -> str:
    """Return the uid of the object's controlling owner, or an empty string."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return ""


class Store:
    """Objects by kind, namespace and name, and by owner.

    Args:
        on_change: Called after each change, with the object before and after.
    """

    def __init__(self, on_change: OnChange) -> None:
        self._on_change = on_change
        self._objects: dict[ResourceType, dict[Key, JsonObject]] = {}
        self._owned: dict[tuple[ResourceType, str], dict[Key, JsonObject]] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def get(self, type: ResourceType, namespace: str | None, name: str) -> JsonObject | None:
        """Return an object, or None."""
        return self._objects.get(type, {}).get((namespace, name))

    def all(self, type: ResourceType, namespace: str | None = None) -> tuple[JsonObject, ...]:
        """Return all objects of a kind (of one namespace where it is given), in order of their names."""
        found = self._objects.get(type, {})
        return tuple(found[key] for key in sorted(found, key=_order) if namespace is None or key[0] == namespace)

    def owned(self, type: ResourceType, uid: str) -> tuple[JsonObject, ...]:
        """Return the objects of a kind whose controller has that uid, in order of their names."""
        found = self._owned.get((type, uid), {})
        return tuple(found[key] for key in sorted(found, key=_order))

    def put(self, type: ResourceType, obj: JsonObject) -> None:
        """Take in an object as the API told it, unless something newer is known."""
        key, uid = key_of(obj), obj["metadata"]["uid"]
        before = self._objects.get(type, {}).get(key)
        if uid in self._deleted or (before is not None and not _newer(obj, before)):
            return
        self._unlink(type, key)
        self._objects.setdefault(type, {})[key] = obj
        if owner := controller_uid(obj):
            self._owned.setdefault((type, owner), {})[key] = obj
        self._on_change(type, before, obj)

    def remove(self, type: ResourceType, obj: JsonObject) -> None:
        """Take in that an object was deleted."""
        uid = obj["metadata"]["uid"]
        self._deleted[uid] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        key = key_of(obj)
        before = self._objects.get(type, {}).get(key)
        # A new object of the same name may be known already: its own deletion will be told apart by uid.
        if before is not None and before["metadata"]["uid"] == uid:
            self._unlink(type, key)
            self._on_change(type, before, None)

    def replace(self, type: ResourceType, objects: Iterable[JsonObject], resource_version: str) -> None:
        """Take in a whole list: what it lacks is deleted, except what is newer than the list."""
        listed: dict[Key, JsonObject] = {key_of(obj): obj for obj in objects}
        for key, known in list(self._objects.get(type, {}).items()):
            there = listed.get(key)
            same = there is not None and there["metadata"]["uid"] == known["metadata"]["uid"]
            if not same and _version(known["metadata"].get("resourceVersion")) <= _version(resource_version):
                self.remove(type, known)
        for obj in listed.values():
            self.put(type, obj)

    def _unlink(self, type: ResourceType, key: Key) -> None:
        before = self._objects.get(type, {}).pop(key, None)
        if before is None:
            return
        owned = self._owned.get((type, controller_uid(before)))
        if owned is not None:
            owned.pop(key, None)
            if not owned:
                del self._owned[type, controller_uid(before)]


def _order(key: Key) -> tuple[str, str]:
    return key[0] or "", key[1]


def _newer(obj: JsonObject, than: JsonObject) -> bool:
    return _version(obj["metadata"].get("resourceVersion")) > _version(than["metadata"].get("resourceVersion"))


def _version(text: str | None) -> int:
    """Resource versions are integers that grow (Kubernetes says so since KEP-5504)."""
    return int(text or 0)
