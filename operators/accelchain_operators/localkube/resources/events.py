# SPDX-License-Identifier: Apache-2.0
"""Events have two faces, ``v1`` and ``events.k8s.io/v1``, over one store. They are stored as ``v1``."""

from __future__ import annotations

from accelchain_operators.localkube.objects import JsonObject

_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in _NAMES.items()}
_OBJECT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

EVENT_FIELDS = frozenset(
    [*(f"involvedObject.{name}" for name in _OBJECT), "reason", "reportingComponent", "source", "type"]
)
EVENT_V1_FIELDS = frozenset(
    [*(f"regarding.{name}" for name in _OBJECT), "reason", "reportingController", "source", "type"]
)


def to_v1(obj: JsonObject) -> JsonObject:
    """Return a stored Event as events.k8s.io/v1."""
    return {**{_NAMES.get(key, key): value for key, value in obj.items()}, "apiVersion": "events.k8s.io/v1"}


def from_v1(obj: JsonObject) -> JsonObject:
    """Return an events.k8s.io/v1 Event as it is stored."""
    return {**{_BACK.get(key, key): value for key, value in obj.items()}, "apiVersion": "v1"}
