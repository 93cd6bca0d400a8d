# SPDX-License-Identifier: Apache-2.0
"""Merging an applied configuration into a live object, and taking out what a manager no longer applies."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.apply.field_set import Path, children, is_leaf, list_steps, prefixes
from accelchain_operators.localkube.objects import clone
from accelchain_operators.localkube.schema.structural import Schema


def merge(live: Any, config: Any, schema: Schema | None) -> Any:
    """Return ``live`` with everything that ``config`` says; map lists are merged by their keys, sets are united."""
    if isinstance(live, dict) and isinstance(config, dict) and not (schema is not None and schema.atomic_map):
        merged = dict(live)
        for key, value in config.items():
            part = schema.child(key) if schema else None
            merged[key] = merge(live[key], value, part) if key in live else clone(value)
        return merged
    if isinstance(live, list) and isinstance(config, list) and schema is not None and schema.list_type != "atomic":
        return _merge_lists(live, config, schema)
    return clone(config)


def _merge_lists(live: list[Any], config: list[Any], schema: Schema) -> list[Any]:
    """Order as in ``config``; an item that only ``live`` has stays behind the item that it followed."""
    live_steps, config_steps = list_steps(live, schema), list_steps(config, schema)
    known, wanted = dict(zip(live_steps, live, strict=True)), set(config_steps)
    followers: dict[str, list[Any]] = {}
    anchor = ""
    for step, item in zip(live_steps, live, strict=True):
        if step in wanted:
            anchor = step
        else:
            followers.setdefault(anchor, []).append(clone(item))
    merged = followers.get("", [])
    for step, item in zip(config_steps, config, strict=True):
        merged.append(merge(known[step], item, schema.items) if step in known else clone(item))
        merged += followers.pop(step, []) if step else []
    return merged


def remove(value: Any, schema: Schema | None, gone: frozenset[Path], kept: frozenset[Path]) -> Any:
    """Return ``value`` without the fields ``gone``, unless one of ``kept`` is such a field or lies below it.

    A map or list that is left empty goes too if nobody keeps it.
    """
    return _remove(value, schema, (), gone, prefixes(gone), prefixes(kept))


def _remove(
    value: Any, schema: Schema | None, path: Path, gone: frozenset[Path], touched: set[Path], kept: set[Path]
) -> Any:
    if is_leaf(value, schema):
        return value
    left: list[tuple[str, Any]] = []
    for step, item, part, _ in children(value, schema):
        below = (*path, step)
        if below in touched:
            if below in gone and below not in kept:
                continue
            remaining = _remove(item, part, below, gone, touched, kept)
            if remaining in ({}, []) and item not in ({}, []) and below not in kept:
                continue
            item = remaining
        left.append((step, item))
    if isinstance(value, dict):
        return {step[2:]: item for step, item in left}
    return [item for _, item in left]
