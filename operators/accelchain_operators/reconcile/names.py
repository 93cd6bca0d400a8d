# SPDX-License-Identifier: Apache-2.0
"""Names and labels of what a DataFlow owns: deterministic, so that creating twice is harmless."""

from __future__ import annotations

import hashlib
import re

from accelchain_operators.reconcile.actions import JsonObject

LONGEST = 63
FLOW_LABEL = "accelchain.io/dataflow"
FUNCTION_LABEL = "accelchain.io/function"


def child_name(*parts: str) -> str:
    """Return a DNS label made of parts: ``flow-function``. Where it had to be changed or cut, a hash keeps it apart."""
    joined = "-".join(parts)
    label = re.sub(r"[^a-z0-9-]", "-", joined.lower())
    return label if label == joined and len(label) <= LONGEST else _with_hash(label, parts)


def label_value(text: str) -> str:
    """Return the text as a label's value: cut, and told apart by a hash, where it is too long."""
    return text if len(text) <= LONGEST else _with_hash(text, (text,))


def _with_hash(head: str, parts: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    return f"{head[: LONGEST - 9].rstrip('-.')}-{digest}"


def worker_name(flow: JsonObject, node: str) -> str:
    """Return the name of the worker's Pod, its ConfigMap and its Secret."""
    return child_name(flow["metadata"]["name"], node)


def child_metadata(flow: JsonObject, name: str, component: str, function: str = "") -> JsonObject:
    """Return the metadata of an object that is deleted with the flow."""
    meta = flow["metadata"]
    labels = {
        FLOW_LABEL: label_value(meta["name"]),
        "app.kubernetes.io/name": "accelchain",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "accelchain-operator",
    }
    if function:
        labels[FUNCTION_LABEL] = function
    return {
        "name": name,
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": flow["apiVersion"],
                "kind": flow["kind"],
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
