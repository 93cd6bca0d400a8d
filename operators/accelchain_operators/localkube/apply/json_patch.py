# SPDX-License-Identifier: Apache-2.0
"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.objects import clone, same


class PatchError(ValueError):
    """The patch doesn't fit the document; ``test_failed`` tells a failed ``test`` from the rest."""

    def __init__(self, message: str, *, test_failed: bool = False) -> None:
        super().__init__(message)
        self.test_failed = test_failed


def merge_patch(target: Any, patch: Any) -> Any:
    """Return ``target`` merged with ``patch``: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: Any) -> Any:
    """Return ``document`` after the operations; the original is left alone. Raises PatchError."""
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    result = clone(document)
    for index, operation in enumerate(operations):
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchError(f"operation {index} needs op and path")
        try:
            result = _apply(result, operation)
        except PatchError as error:
            raise PatchError(f"operation {index}: {error}", test_failed=error.test_failed) from None
    return result


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    op, path = operation.get("op"), _pointer(operation["path"])
    match op:
        case "add" | "replace" | "test":
            if "value" not in operation:
                raise PatchError(f"{op} needs a value")
            value = operation["value"]
            if op == "test":
                if not same(_get(document, path), value):
                    raise PatchError(f"testing value {operation['path']} failed", test_failed=True)
                return document
            if op == "replace":
                _get(document, path)
                return _put(document, path, clone(value), replace=True)
            return _put(document, path, clone(value))
        case "remove":
            return _remove(document, path)
        case "move" | "copy":
            source = _pointer(str(operation.get("from", "")))
            value = clone(_get(document, source))
            if op == "move":
                if path[: len(source)] == source and len(path) > len(source):
                    raise PatchError("a value can't be moved into itself")
                document = _remove(document, source)
            return _put(document, path, value)
    raise PatchError(f"unknown op {op!r}")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise PatchError(f"{text!r} is no JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")]


def _index(items: list[Any], step: str, *, end: bool) -> int:
    if end and step == "-":
        return len(items)
    if not step.isdigit() or (len(step) > 1 and step[0] == "0"):
        raise PatchError(f"{step!r} is no index of a list")
    index = int(step)
    if index > len(items) - (0 if end else 1):
        raise PatchError(f"index {index} is outside of the list")
    return index


def _get(value: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(value, list):
            value = value[_index(value, step, end=False)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            raise PatchError(f"path /{'/'.join(path)} doesn't exist")
    return value


def _put(document: Any, path: list[str], value: Any, *, replace: bool = False) -> Any:
    if not path:
        return value
    parent, step = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        if replace:
            parent[_index(parent, step, end=False)] = value
        else:
            parent.insert(_index(parent, step, end=True), value)
    elif isinstance(parent, dict):
        parent[step] = value
    else:
        raise PatchError(f"path /{'/'.join(path)} leads through a scalar")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise PatchError("the whole document can't be removed")
    _get(document, path)
    parent, step = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(parent, step, end=False)]
    else:
        del parent[step]
    return document
