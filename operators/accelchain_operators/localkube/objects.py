# SPDX-License-Identifier: Apache-2.0
"""Small helpers for JSON objects. Stored objects are never changed in place: clone first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]


def clone(value: Any) -> Any:
    """Return a deep copy of a JSON value (much faster than ``copy.deepcopy``, which keeps track of cycles)."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def lookup(obj: Any, *path: str, default: Any = None) -> Any:
    """Return the value at a path of keys, or ``default`` where a step is missing."""
    for step in path:
        if not isinstance(obj, dict) or step not in obj:
            return default
        obj = obj[step]
    return obj


def metadata(obj: JsonObject) -> JsonObject:
    """Return the object's metadata, created where it lacks."""
    meta: JsonObject = obj.setdefault("metadata", {})
    return meta


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike ``==``, ``true`` is not ``1``."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def timestamp(at: datetime | None = None) -> str:
    """Return RFC 3339 in whole seconds, as metav1.Time is written."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(at: datetime | None = None) -> str:
    """Return RFC 3339 with microseconds, as metav1.MicroTime is written."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> datetime:
    """Parse RFC 3339. Raises ValueError."""
    return datetime.fromisoformat(text)
