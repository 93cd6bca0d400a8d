# SPDX-License-Identifier: Apache-2.0
"""Templates and calls that have no form: Argo refuses them, and they are left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

JsonObject = dict[str, Any]
_VALUES: Final = ("parameters", "artifacts")
_MAPPINGS: Final = ("metadata", "inputs", "outputs", "container", "script", "nodeSelector")
_PLACES: Final = ("s3", "http", "archive")


def fault_of_template(template: JsonObject) -> str:
    """Return the field of a template that has no form; empty where all have."""
    for field in _MAPPINGS:
        if template.get(field) is not None and not isinstance(template[field], dict):
            return field
    metadata = template.get("metadata") or {}
    for field in ("annotations", "labels"):
        if metadata.get(field) is not None and not isinstance(metadata[field], dict):
            return f"metadata.{field}"
    for side in ("inputs", "outputs"):
        if fault := _listed(template.get(side) or {}, side):
            return fault
    for kind in ("container", "script"):
        env = (template.get(kind) or {}).get("env")
        if env is not None and not isinstance(env, list):
            return f"{kind}.env"
    return ""


def fault_of_call(call: JsonObject) -> str:
    """Return the field of a task or a step that has no form; empty where all have."""
    arguments = call.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        return "arguments"
    if call.get("depends") is not None and not isinstance(call["depends"], str):
        return "depends"
    return _listed(arguments or {}, "arguments")


def _listed(holder: Mapping[str, Any], path: str) -> str:
    for kind in _VALUES:
        listed = holder.get(kind)
        if listed is None:
            continue
        if not isinstance(listed, list):
            return f"{path}.{kind}"
        names = [item.get("name") if isinstance(item, dict) else None for item in listed]
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
            return f"{path}.{kind}"
        for item in listed:
            for field in ("valueFrom", *_PLACES):
                if item.get(field) is not None and not isinstance(item[field], dict):
                    return f"{path}.{kind}.{field}"
    return ""
