# SPDX-License-Identifier: Apache-2.0
"""Names and labels of what a DataFlow owns: deterministic, so that creating twice is harmless."""

from __future__ import annotations

import hashlib
import re

from accelchain_operators.reconcile.actions import JsonObject

LONGEST_LABEL = 63
LONGEST_NAME = 253
FLOW_LABEL = "accelchain.io/dataflow"
FUNCTION_LABEL = "accelchain.io/function"
ATTEMPT_LABEL = "accelchain.io/attempt"
UID_ANNOTATION = "accelchain.io/dataflow-uid"
"""The flow that an object was made for: it tells a child that lost its owner from one of an earlier flow."""
PAUSED_ANNOTATION = "accelchain.io/paused"

_HASHED = re.compile(r"-[0-9a-f]{8}$")


def function_name(flow: JsonObject, function: str) -> str:
    """Return the name of a function's WBFunction: ``<flow>.<function>``."""
    return _subdomain(flow["metadata"]["name"], function)


def connection_name(flow: JsonObject, connection: JsonObject) -> str:
    """Return the name of the WBConnection of an edge of the plan: ``<flow>.<from>.<port>.<to>.<port>``."""
    source, target = connection["from"], connection["to"]
    parts = source["function"], source["port"], target["function"], target["port"]
    return _subdomain(flow["metadata"]["name"], *parts)


def worker_name(flow: JsonObject, node: str, attempt: int = 1) -> str:
    """Return the name of an attempt's Pod, its ConfigMap and its Secret: ``<flow>-<node>-<5 hex digits>``.

    A DNS label, since a Pod's name becomes its host name. Flow and node may both have dashes, so only the digest of
    the three tells whose it is. Where flow and node do not fit, many names may begin alike: 16 digits then.
    """
    name = flow["metadata"]["name"]
    joined = f"{name}-{node}"
    head = re.sub(r"[^a-z0-9-]", "-", joined.lower())
    digits = 5 if head == joined and len(head) <= LONGEST_LABEL - 6 else 16
    return f"{head[: LONGEST_LABEL - 1 - digits].rstrip('-')}-{_digest(name, str(attempt - 1), node, digits=digits)}"


def label_value(text: str) -> str:
    """Return the text as a label's value: cut, and told apart by a hash, where it is too long.

    One that looks as if it had been cut gets a hash as well, or it could be taken for another one's.
    """
    if len(text) < LONGEST_LABEL or (len(text) == LONGEST_LABEL and not _HASHED.search(text)):
        return text
    return f"{text[: LONGEST_LABEL - 9]}-{_digest(text, digits=8)}"


def is_paused(obj: JsonObject) -> bool:
    """Tell whether people have asked the operators to leave an object alone."""
    return (obj["metadata"].get("annotations") or {}).get(PAUSED_ANNOTATION) == "true"


def attempt_label(obj: JsonObject) -> int:
    """Return the attempt that a Pod, a ConfigMap or a Secret was made for."""
    text = (obj["metadata"].get("labels") or {}).get(ATTEMPT_LABEL, "1")
    return int(text) if text.isdecimal() else 1


def _subdomain(*parts: str) -> str:
    """Return a DNS subdomain made of parts. Only a flow's name has dots, so no two lists of parts make the same one.

    Ports may have capitals and underscores: where a name had to be changed or cut, a hash keeps it apart; so it does
    where a name ends as if it had one.
    """
    joined = ".".join(parts)
    name = re.sub(r"-+(?=\.|$)", "", re.sub(r"[^a-z0-9.-]", "-", joined.lower()))
    plain = name == joined and len(name) <= LONGEST_NAME and not _HASHED.search(name)
    return name if plain else f"{name[: LONGEST_NAME - 9].rstrip('-.')}-{_digest(*parts, digits=8)}"


def _digest(*parts: str, digits: int) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]


def owner_reference(flow: JsonObject) -> JsonObject:
    """Return the reference that makes an object the flow's: deleted with it."""
    meta = flow["metadata"]
    return {
        "apiVersion": flow["apiVersion"],
        "kind": flow["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child_metadata(flow: JsonObject, name: str, component: str, function: str = "", attempt: int = 0) -> JsonObject:
    """Return the metadata of an object that is deleted with the flow.

    Args:
        flow: The owner.
        name: The object's name.
        component: What it is, for ``app.kubernetes.io/component``.
        function: The function that it stands for, if it does.
        attempt: The attempt that it belongs to; 0: it outlives attempts.
    """
    meta = flow["metadata"]
    labels = {
        FLOW_LABEL: label_value(meta["name"]),
        "app.kubernetes.io/name": "accelchain",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "accelchain-operator",
    }
    if function:
        labels[FUNCTION_LABEL] = function
    if attempt:
        labels[ATTEMPT_LABEL] = str(attempt)
    return {
        "name": name,
        "namespace": meta["namespace"],
        "labels": labels,
        "annotations": {UID_ANNOTATION: meta["uid"]},
        "ownerReferences": [owner_reference(flow)],
    }
