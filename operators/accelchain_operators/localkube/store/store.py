# SPDX-License-Identifier: Apache-2.0
"""The store: what etcd and the watch cache are to a real API server, in memory and in one thread.

Stored objects are shared with watchers and never changed in place: ``write`` takes an object that the caller gives up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from accelchain_operators.localkube.objects import JsonObject, metadata


class Key(NamedTuple):
    """Where an object is stored."""

    storage: str
    """``group/plural``: the same for all versions of a kind."""
    namespace: str
    """Empty for objects of the cluster."""
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what the object is now (or was last, for DELETED) and what it was before."""

    revision: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: JsonObject
    previous: JsonObject | None


Listener = Callable[[Change | None], None]
"""Called with every change of a kind; with None when the kind is no longer served."""


class RevisionGoneError(Exception):
    """Changes since that revision are no longer kept."""


@dataclass(slots=True)
class _Shelf:
    """All objects of one kind, by (namespace, name), and its last changes."""

    floor: int
    objects: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=deque)
    listeners: set[Listener] = field(default_factory=set)


class Store:
    """Objects by key; every write gets the next revision of the whole store."""

    def __init__(self, *, first_revision: int, window: int) -> None:
        self.revision = first_revision
        self._window = window
        self._first = first_revision
        self._shelves: dict[str, _Shelf] = {}
        self._uids: dict[str, Key] = {}
        self._dependents: dict[str, dict[Key, None]] = {}
        self._namespaces: dict[str, dict[Key, None]] = {}

    def get(self, key: Key) -> JsonObject | None:
        """Return the stored object; clone before changing it."""
        shelf = self._shelves.get(key.storage)
        return shelf.objects.get((key.namespace, key.name)) if shelf else None

    def items(self, storage: str, namespace: str = "") -> list[JsonObject]:
        """Return all objects of a kind (of one namespace if given), by namespace and name."""
        shelf = self._shelves.get(storage)
        if shelf is None:
            return []
        return [shelf.objects[at] for at in sorted(shelf.objects) if not namespace or at[0] == namespace]

    def write(self, storage: str, obj: JsonObject) -> JsonObject:
        """Store an object under its metadata's namespace and name, and tell the watchers."""
        meta = metadata(obj)
        key = Key(storage, meta.get("namespace", ""), meta["name"])
        shelf = self._shelf(storage)
        previous = shelf.objects.get((key.namespace, key.name))
        self.revision += 1
        meta["resourceVersion"] = str(self.revision)
        shelf.objects[key.namespace, key.name] = obj
        if previous is not None:
            self._unindex(key, previous)
        self._index(key, obj)
        self._tell(shelf, Change(self.revision, "ADDED" if previous is None else "MODIFIED", obj, previous))
        return obj

    def remove(self, key: Key) -> JsonObject | None:
        """Remove an object and tell the watchers; returns its last state with the revision of the removal."""
        shelf = self._shelf(key.storage)
        previous = shelf.objects.pop((key.namespace, key.name), None)
        if previous is None:
            return None
        self._unindex(key, previous)
        self.revision += 1
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.revision)}}
        self._tell(shelf, Change(self.revision, "DELETED", last, previous))
        return last

    def changes_since(self, storage: str, revision: int) -> list[Change]:
        """Return the changes after ``revision``, oldest first. Raises RevisionGoneError."""
        shelf = self._shelf(storage)
        if revision < shelf.floor:
            raise RevisionGoneError(shelf.floor)
        found: list[Change] = []
        for change in reversed(shelf.changes):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def listen(self, storage: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` at every change of a kind; returns the function that ends it."""
        listeners = self._shelf(storage).listeners
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def end(self, storage: str) -> None:
        """Tell the watchers of a kind that it is gone, and forget its changes: who comes back lists again."""
        shelf = self._shelf(storage)
        shelf.changes.clear()
        shelf.floor = self.revision
        for listener in tuple(shelf.listeners):
            listener(None)

    def count(self, storage: str) -> int:
        """Return how many objects of a kind there are."""
        shelf = self._shelves.get(storage)
        return len(shelf.objects) if shelf else 0

    def oldest(self, storage: str) -> JsonObject | None:
        """Return the object of a kind that was created first."""
        shelf = self._shelves.get(storage)
        return next(iter(shelf.objects.values()), None) if shelf else None

    def by_uid(self, uid: str) -> Key | None:
        """Return the key of the object with this uid."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Key]:
        """Return the keys of the objects that name this uid as an owner, in the order of their creation."""
        return list(self._dependents.get(uid, ()))

    def in_namespace(self, namespace: str) -> Iterator[Key]:
        """Yield the keys of all objects in a namespace (a snapshot: removing while iterating is fine)."""
        yield from list(self._namespaces.get(namespace, ()))

    def _shelf(self, storage: str) -> _Shelf:
        shelf = self._shelves.get(storage)
        if shelf is None:
            shelf = self._shelves[storage] = _Shelf(floor=self._first)
        return shelf

    def _tell(self, shelf: _Shelf, change: Change) -> None:
        shelf.changes.append(change)
        if len(shelf.changes) > self._window:
            shelf.floor = shelf.changes.popleft().revision
        for listener in tuple(shelf.listeners):
            listener(change)

    def _index(self, key: Key, obj: JsonObject) -> None:
        self._uids[obj["metadata"]["uid"]] = key
        for owner in _owners(obj):
            self._dependents.setdefault(owner, {})[key] = None
        if key.namespace:
            self._namespaces.setdefault(key.namespace, {})[key] = None

    def _unindex(self, key: Key, obj: JsonObject) -> None:
        self._uids.pop(obj["metadata"]["uid"], None)
        for index, entries in ((self._dependents, _owners(obj)), (self._namespaces, [key.namespace])):
            for entry in entries:
                keys = index.get(entry)
                if keys is not None:
                    keys.pop(key, None)
                    if not keys:
                        del index[entry]


def _owners(obj: JsonObject) -> list[str]:
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences") or []]
