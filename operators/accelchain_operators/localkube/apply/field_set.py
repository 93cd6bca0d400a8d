# SPDX-License-Identifier: Apache-2.0
"""Sets of fields as ``managedFields`` names them: which fields an object has, and which differ between two objects.

A path is a tuple of steps in the spelling of FieldsV1: ``f:name`` a field, ``k:{"name":"x"}`` an item of a map list,
``v:"x"`` an item of a set. Where there is no schema, maps are taken apart and lists are one value, as in Kubernetes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from accelchain_operators.localkube.objects import JsonObject, same
from accelchain_operators.localkube.schema.structural import Schema
from accelchain_operators.localkube.schema.validate import item_key

Path = tuple[str, ...]
Paths = frozenset[Path]

_SERVER_FIELDS = frozenset(
    f"f:{name}"
    for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
                 "resourceVersion")
)  # fmt: skip


def owned(paths: Iterable[Path]) -> Paths:
    """Return the paths that managers can own: not the identity of the object, nor what the server sets."""
    return frozenset(
        path
        for path in paths
        if path
        and path[0] not in ("f:apiVersion", "f:kind")
        and path != ("f:metadata",)
        and not (path[0] == "f:metadata" and len(path) > 1 and path[1] in _SERVER_FIELDS)
    )


def to_fields_v1(paths: Iterable[Path]) -> JsonObject:
    """Return the FieldsV1 tree of a set of paths."""
    tree: JsonObject = {}
    members = set(paths)
    for path in sorted(members):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    _drop_leaf_dots(tree)
    return tree


def _drop_leaf_dots(node: JsonObject) -> None:
    for child in node.values():
        if len(child) == 1 and "." in child:
            child.clear()
        else:
            _drop_leaf_dots(child)


def from_fields_v1(tree: JsonObject) -> Paths:
    """Return the set of paths of a FieldsV1 tree."""
    return frozenset(_members(tree, ()))


def _members(node: JsonObject, path: Path) -> Iterator[Path]:
    for step, child in node.items():
        if step == ".":
            yield path
        elif not child:
            yield (*path, step)
        else:
            yield from _members(child, (*path, step))


def prefixes(paths: Iterable[Path]) -> set[Path]:
    """Return every path and everything above it."""
    found: set[Path] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path[:-1]
    return found


def path_text(path: Path) -> str:
    """Return a path as messages show it: ``.spec.list[name="x"].value``."""
    text = ""
    for step in path:
        kind, _, name = step.partition(":")
        if kind == "f":
            text += f".{name}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name).items()) + "]"
        else:
            text += f"[={name}]"
    return text


def list_steps(items: list[Any], schema: Schema) -> list[str]:
    """Return the step of every item of a map list or set (items without their keys are told apart by their index)."""
    steps: list[str] = []
    for index, item in enumerate(items):
        if schema.list_type == "set":
            steps.append("v:" + json.dumps(item, separators=(",", ":"), sort_keys=True))
        elif (key := item_key(item, schema)) is not None:
            pairs = dict(sorted(zip(schema.list_keys, key, strict=True)))
            steps.append("k:" + json.dumps(pairs, separators=(",", ":")))
        else:
            steps.append(f"i:{index}")
    return steps


def _is_whole(value: Any, schema: Schema | None) -> bool:
    if isinstance(value, dict):
        return schema is not None and schema.atomic_map
    if isinstance(value, list):
        return schema is None or schema.list_type == "atomic"
    return True


def is_leaf(value: Any, schema: Schema | None) -> bool:
    """Whether a value is owned as a whole: scalars, atomic maps and lists, and empty ones."""
    return _is_whole(value, schema) or not value


def children(value: Any, schema: Schema | None) -> Iterator[tuple[str, Any, Schema | None, bool]]:
    """Yield (step, value, schema, whether the child is owned itself) for a value that is no leaf."""
    if isinstance(value, dict):
        for key, item in value.items():
            part = schema.child(key) if schema else None
            yield f"f:{key}", item, part, schema is None or key not in schema.properties
    elif schema is not None:
        for step, item in zip(list_steps(value, schema), value, strict=True):
            yield step, item, schema.items, True


def field_set(value: Any, schema: Schema | None, path: Path = ()) -> Iterator[Path]:
    """Yield the fields that an applied configuration has an opinion on."""
    if is_leaf(value, schema):
        yield path
        return
    for step, item, part, itself in children(value, schema):
        below = (*path, step)
        if itself and not is_leaf(item, part):
            yield below
        yield from field_set(item, part, below)


def _everything(value: Any, schema: Schema | None, path: Path) -> Iterator[Path]:
    yield path
    if not is_leaf(value, schema):
        for step, item, part, _ in children(value, schema):
            yield from _everything(item, part, (*path, step))


@dataclass(slots=True)
class Difference:
    """How a new object differs from an old one."""

    changed: set[Path] = field(default_factory=set)
    """Added or modified."""
    removed: set[Path] = field(default_factory=set)


def compare(old: Any, new: Any, schema: Schema | None) -> Difference:
    """Return the difference between two objects, field by field."""
    difference = Difference()
    _compare(old, new, schema, (), difference)
    return difference


def _compare(old: Any, new: Any, schema: Schema | None, path: Path, found: Difference) -> None:
    if same(old, new):
        return
    if type(old) is not type(new) or _is_whole(old, schema):
        found.removed.update(step for step in _everything(old, schema, path) if step != path)
        found.changed.update(_everything(new, schema, path))
        return
    before = {step: (item, part) for step, item, part, _ in children(old, schema)}
    after = {step: (item, part) for step, item, part, _ in children(new, schema)}
    for step, (item, part) in after.items():
        if step in before:
            _compare(before[step][0], item, part, (*path, step), found)
        else:
            found.changed.update(_everything(item, part, (*path, step)))
    for step, (item, part) in before.items():
        if step not in after:
            found.removed.update(_everything(item, part, (*path, step)))
