# SPDX-License-Identifier: Apache-2.0
"""Pruning of unknown fields and setting of defaults, along a structural schema. Both change the object in place."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.objects import JsonObject, clone
from accelchain_operators.localkube.schema.structural import MISSING, Schema

_OBJECT_FIELDS = ("apiVersion", "kind", "metadata")


def prune(value: Any, schema: Schema, path: str = "", *, root: bool = False) -> list[str]:
    """Remove fields that the schema doesn't know; returns their paths (``spec.foo``, ``spec.list[0].bar``)."""
    found: list[str] = []
    if isinstance(value, dict):
        for key in list(value):
            if key in _OBJECT_FIELDS and (schema.embedded or (root and key != "metadata")):
                continue
            below = f"{path}.{key}" if path else key
            part = schema.child(key)
            if part is not None:
                found += prune(value[key], part, below)
            elif not schema.open:
                del value[key]
                found.append(below)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            found += prune(item, schema.items, f"{path}[{index}]")
    return found


def set_defaults(value: Any, schema: Schema) -> None:
    """Set defaults for missing fields, and for nulls where null is not allowed (they are dropped without a default)."""
    if isinstance(value, dict):
        _drop_nulls(value, schema)
        if not schema.has_defaults:
            _each(value, schema)
            return
        for key, part in schema.properties.items():
            if part.default is not MISSING and key not in value:
                value[key] = clone(part.default)
        _each(value, schema)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            set_defaults(item, schema.items)


def _each(value: JsonObject, schema: Schema) -> None:
    for key, item in value.items():
        if isinstance(item, dict | list) and (part := schema.child(key)) is not None:
            set_defaults(item, part)


def _drop_nulls(value: JsonObject, schema: Schema) -> None:
    for key in [key for key, item in value.items() if item is None]:
        part = schema.properties.get(key)
        if part is not None and not part.nullable and not part.open:
            del value[key]
