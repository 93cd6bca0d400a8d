# SPDX-License-Identifier: Apache-2.0
"""Strategic merge patch, for built-in kinds: lists with keys are merged, as their schema says.

The schema's ``x-kubernetes-list-map-keys`` stand in for the patch merge keys of Kubernetes' Go types. They are the same
for the lists that are listed, but for the ports of containers, which a patch knows by ``containerPort`` alone.
"""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.apply.json_patch import PatchError
from accelchain_operators.localkube.objects import JsonObject, clone
from accelchain_operators.localkube.schema.structural import Schema

_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"


def strategic_merge(live: JsonObject, patch: JsonObject, schema: Schema | None) -> Any:
    """Return ``live`` after the patch. Raises PatchError for a directive that is not known."""
    directive = patch.get("$patch")
    if directive == "replace":
        return clone({key: value for key, value in patch.items() if key != "$patch"})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown $patch directive {directive!r}")
    merged = dict(live)
    if isinstance(retained := patch.get(_RETAIN), list):
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            name = key.removeprefix(_DELETE_PRIMITIVES)
            merged[name] = [item for item in merged.get(name) or [] if item not in value]
        elif not key.startswith("$"):
            _merge_field(merged, key, value, schema.child(key) if schema else None)
    for key, order in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            part = schema.child(name) if schema else None
            if part is not None and isinstance(merged.get(name), list):
                merged[name] = _ordered(merged[name], order, part)
    return merged


def _merge_field(target: JsonObject, key: str, value: Any, schema: Schema | None) -> None:
    live = target.get(key)
    if value is None:
        target.pop(key, None)
    elif isinstance(value, dict):
        target[key] = strategic_merge(live if isinstance(live, dict) else {}, value, schema)
    elif isinstance(value, list) and isinstance(live, list) and schema is not None and schema.list_type != "atomic":
        target[key] = _merge_list(live, value, schema)
    else:
        target[key] = [_plain(item) for item in value if not _deletes(item)] if isinstance(value, list) else value


def _deletes(item: Any) -> bool:
    return isinstance(item, dict) and item.get("$patch") == "delete"


def _plain(item: Any) -> Any:
    return strategic_merge({}, item, None) if isinstance(item, dict) else clone(item)


def _merge_list(live: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if schema.list_type == "set":
        return live + [clone(item) for item in patch if item not in live]
    if {"$patch": "replace"} in patch:
        return [_plain(item) for item in patch if item != {"$patch": "replace"}]
    key = schema.list_keys[0]
    merged = list(live)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchError(f"an item of a merged list needs its key {key!r}")
        at = next((i for i, old in enumerate(merged) if old.get(key) == item[key]), None)
        if _deletes(item):
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(_plain(item))
        else:
            merged[at] = strategic_merge(merged[at], item, schema.items)
    return merged


def _ordered(items: list[Any], order: list[Any], schema: Schema) -> list[Any]:
    """Order as the patch says; an item that it doesn't name stays behind the one that it followed."""

    def identity(item: Any) -> Any:
        return item.get(schema.list_keys[0]) if schema.list_type == "map" and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    followers: dict[Any, list[Any]] = {None: []}
    known: dict[Any, Any] = {}
    anchor: Any = None
    for item in items:
        name = identity(item)
        if name in wanted:
            known[name], anchor = item, name
            followers.setdefault(name, [])
        else:
            followers[anchor].append(item)
    result = list(followers[None])
    for name in wanted:
        if name in known:
            result += [known.pop(name), *followers[name]]
    return result
