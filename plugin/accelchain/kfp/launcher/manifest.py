# SPDX-License-Identifier: Apache-2.0
"""A DataFlow that an author wrote, as a payload."""

from __future__ import annotations

import argparse
import json
from typing import Any

from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.errors import WRONG_INPUT, LaunchError

JsonObject = dict[str, Any]

_MAPPED = {"parameters", "inputs", "outputs", "results", "types", "pages"}


def payload_of(given: argparse.Namespace) -> Payload:
    """Return what ``--manifest`` or ``--chain``, ``--parameters``, ``--inputs``, ``--outputs`` and ``--map`` say.

    Raises:
        LaunchError: one of them is no JSON object, or they say nothing.
    """
    if given.manifest:
        document = _object("--manifest", given.manifest)
        spec, name = document, given.name
        if "spec" in document:
            if document.get("kind", "DataFlow") != "DataFlow":
                raise LaunchError(f"--manifest is a {document['kind']}: give a DataFlow.", WRONG_INPUT)
            spec = document["spec"]
            name = name or str((document.get("metadata") or {}).get("name") or "")
        if not isinstance(spec, dict):
            raise LaunchError("--manifest: spec is no object.", WRONG_INPUT)
        spec = _whole(spec)
    elif given.chain:
        spec, name = {"chainRef": {"name": given.chain}}, given.name or given.chain
    else:
        raise LaunchError("give --payload, --manifest or --chain.", WRONG_INPUT)
    if values := _object("--parameters", given.parameters):
        spec["parameters"] = {**(spec.get("parameters") or {}), **_whole(values)}
    for side in ("inputs", "outputs"):
        if addresses := _object(f"--{side}", getattr(given, side)):
            made = {key: value if isinstance(value, dict) else {"uri": str(value)} for key, value in addresses.items()}
            spec[side] = {**(spec.get(side) or {}), **made}
    mapped = _object("--map", given.map)
    if unknown := sorted(set(mapped) - _MAPPED):
        raise LaunchError(f"--map: {unknown[0]} is not known; there are {', '.join(sorted(_MAPPED))}.", WRONG_INPUT)
    return Payload(name=name or "dataflow", spec=spec, **mapped)


def _object(option: str, text: str) -> JsonObject:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LaunchError(f"{option} is no JSON ({error}).", WRONG_INPUT) from None
    if not isinstance(value, dict):
        raise LaunchError(f"{option} is no JSON object.", WRONG_INPUT)
    return value


def _whole(value: Any) -> Any:
    """Return values with whole numbers as such: KFP makes doubles of all numbers in a structure."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
