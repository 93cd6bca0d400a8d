# SPDX-License-Identifier: Apache-2.0
"""A chain that was written for a cluster, on this machine: wishes for what is not here count for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

JsonObject = dict[str, Any]


def placed_here(spec: JsonObject, resources: Sequence[JsonObject]) -> tuple[JsonObject, list[str]]:
    """Return a flow's spec with the placement that this machine can give, and what it can't, in sentences.

    A pod's GPU or node selector counts for nothing in ``kfp.local`` either.

    Args:
        spec: of a DataFlow; it stays as it is.
        resources: ComputeResources of this machine's cluster.
    """
    nodes = {resource["spec"]["nodeName"] for resource in resources}
    devices = [
        (resource["spec"]["nodeName"], device)
        for resource in resources
        for device in resource["spec"].get("devices") or ()
    ]
    known = {
        "nodes": nodes,
        "devices": {n for node, device in devices for n in (device["name"], f"{node}/{device['name']}")},
        "deviceTypes": {device["type"] for _, device in devices},
    }
    rules, notes = [], []
    for rule in (spec.get("placement") or {}).get("rules") or ():
        kept = dict(rule)
        for wish, there in known.items():
            if wish in rule and not there.intersection(rule[wish]):
                del kept[wish]
                notes.append(f"{_whose(rule)} asks for {_listed(rule[wish])}, which this machine has not: left out.")
        if set(kept) - {"function"}:
            rules.append(kept)
    if not notes:
        return spec, []
    placement = {key: value for key, value in spec["placement"].items() if key != "rules"}
    if rules:
        placement["rules"] = rules
    rest = {key: value for key, value in spec.items() if key != "placement"}
    return rest | ({"placement": placement} if placement else {}), notes


def _whose(rule: Mapping[str, Any]) -> str:
    return f"function {rule['function']}" if "function" in rule else "the chain"


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)
