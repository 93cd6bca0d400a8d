# SPDX-License-Identifier: Apache-2.0
"""The API in memory, which answers at once: for thousands of interleavings."""

from __future__ import annotations

import copy
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.store import Store


class MemoryKube:
    """Objects, versions, and what the watches have not brought yet.

    Args:
        clock: seconds since 1970, as text.
    """

    def __init__(self, clock: Callable[[], str]) -> None:
        self._clock = clock
        self._objects: dict[tuple[str, str], JsonObject] = {}
        self._numbers = itertools.count(1)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.created: Counter[str] = Counter()
        """DataFlows by name."""
        self.before_write: Callable[[ResourceType, Any], Awaitable[None]] = _nothing
        """Called with kind and patch before each patch."""
        self.pending: deque[tuple[ResourceType, JsonObject, bool]] = deque()
        """Events on their way to the operator: kind, object, whether it was deleted."""

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        self.calls["get", type.plural] += 1
        return copy.deepcopy(self._find(type, name))

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        self.calls["create", type.plural] += 1
        if type.plural == "subjectaccessreviews":
            return {**obj, "status": {"allowed": True}}
        meta = obj["metadata"]
        if (type.plural, meta["name"]) in self._objects:
            raise ApiError(409, "AlreadyExists", f"{type.plural} {meta['name']} already exists")
        made = copy.deepcopy(obj)
        made["metadata"] |= {"uid": f"uid-{next(self._numbers)}", "creationTimestamp": self._clock()}
        if type == kinds.DATA_FLOW:
            self.created[meta["name"]] += 1
        return self._put(type, made)

    async def patch(
        self, type: ResourceType, name: str, namespace: str | None, patch: Any, *, subresource: str = ""
    ) -> JsonObject:
        self.calls["patch", type.plural] += 1
        await self.before_write(type, patch)
        live = self._find(type, name)
        new = copy.deepcopy(live)
        if isinstance(patch, list):
            for step in patch:
                *path, last = step["path"].strip("/").split("/")
                target = new
                for key in path:
                    target = target[key]
                target[last] = copy.deepcopy(step["value"])
        else:
            new = merged(new, patch)
        for field in ("resourceVersion", "uid"):
            if new["metadata"][field] != live["metadata"][field]:
                raise ApiError(409, "Conflict", f"{field} of {name} is another one")
        if type == kinds.TASK_SET or type == kinds.DATA_FLOW:
            kept = "spec" if subresource == "status" else "status"
            new = {key: value for key, value in new.items() if key != kept} | (
                {kept: live[kept]} if kept in live else {}
            )
        return copy.deepcopy(live) if new == live else self._put(type, new)

    async def delete(
        self, type: ResourceType, name: str, namespace: str | None = None, *, uid: str | None = None, **_: Any
    ) -> None:
        self.calls["delete", type.plural] += 1
        live = self._find(type, name)
        if uid not in (None, live["metadata"]["uid"]):
            raise ApiError(409, "Conflict", "another uid")
        del self._objects[type.plural, name]
        self._event(type, live, True)

    def all(self, type: ResourceType) -> list[JsonObject]:
        return [copy.deepcopy(obj) for (plural, _), obj in self._objects.items() if plural == type.plural]

    def deliver(self, store: Store, count: int) -> None:
        """Bring so many events to the operator."""
        for _ in range(min(count, len(self.pending))):
            type, obj, deleted = self.pending.popleft()
            (store.remove if deleted else store.put)(type, obj)

    def _find(self, type: ResourceType, name: str) -> JsonObject:
        found = self._objects.get((type.plural, name))
        if found is None:
            raise ApiError(404, "NotFound", f"{type.plural} {name!r} not found")
        return found

    def _put(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        obj["metadata"]["resourceVersion"] = str(next(self._numbers))
        self._objects[type.plural, obj["metadata"]["name"]] = obj
        self._event(type, obj, False)
        return copy.deepcopy(obj)

    def _event(self, type: ResourceType, obj: JsonObject, deleted: bool) -> None:
        if type in (kinds.TASK_SET, kinds.DATA_FLOW):
            self.pending.append((type, copy.deepcopy(obj), deleted))


async def _nothing(_type: ResourceType, _patch: Any) -> None:
    pass


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
