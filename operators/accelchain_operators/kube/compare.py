# SPDX-License-Identifier: Apache-2.0
"""Would a server-side apply change anything? Answered from the live object, so that a no-op costs no call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from accelchain_operators.kube.client import JsonObject

SHARED_LISTS: Mapping[str, tuple[str, ...]] = {"conditions": ("type",), "ownerReferences": ("uid",)}
"""Lists of which each field manager owns some elements, with the elements' keys. Other lists are one manager's."""


def would_change(intent: JsonObject, live: JsonObject, manager: str, subresource: str = "") -> bool:
    """Tell whether applying ``intent`` as ``manager`` would change ``live``.

    It would where a value differs, and where the manager owns a field that the intent no longer has.
    """
    if not _covers(live, intent):
        return True
    return any(
        _gives_up(entry.get("fieldsV1") or {}, intent)
        for entry in live["metadata"].get("managedFields") or ()
        if entry.get("manager") == manager
        and entry.get("operation") == "Apply"
        and (entry.get("subresource") or "") == subresource
    )


def _covers(live: Any, intent: Any, name: str = "") -> bool:
    """Tell whether everything in the intent is in the live value; what defaults added there does not matter."""
    if isinstance(intent, dict):
        return isinstance(live, dict) and all(k in live and _covers(live[k], v, k) for k, v in intent.items())
    if isinstance(intent, list):
        if not isinstance(live, list):
            return False
        keys = SHARED_LISTS.get(name)
        if keys:
            return all(any(_same_keys(old, new, keys) and _covers(old, new) for old in live) for new in intent)
        return len(live) == len(intent) and all(_covers(a, b) for a, b in zip(live, intent, strict=True))
    # True == 1 in Python, but not in JSON.
    return bool(live == intent) and isinstance(live, bool) == isinstance(intent, bool)


def _same_keys(a: Any, b: Any, keys: Sequence[str]) -> bool:
    return all(a.get(key) == b.get(key) for key in keys)


def _gives_up(fields: JsonObject, intent: Any) -> bool:
    """Tell whether a set of owned fields (fieldsV1) holds one that the intent lacks."""
    for key, below in fields.items():
        if key == ".":
            continue
        kind, _, name = key.partition(":")
        found: Any
        match kind:
            case "f":
                found = intent.get(name, _MISSING) if isinstance(intent, dict) else _MISSING
            case "k":
                wanted = json.loads(name)
                elements = intent if isinstance(intent, list) else []
                found = next((e for e in elements if _same_keys(e, wanted, list(wanted))), _MISSING)
            case "v":
                value = json.loads(name)
                found = value if isinstance(intent, list) and value in intent else _MISSING
            case _:
                return True  # an index, or a form that we do not know: let the server decide
        if found is _MISSING or (below and _gives_up(below, found)):
            return True
    return False


_MISSING = object()
