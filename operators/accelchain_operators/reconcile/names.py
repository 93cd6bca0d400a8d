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


def function_name(flow: JsonObject, function: str) -> str:
    """Return the name of a function's WBFunction: ``<flow>.<function>``."""
    return _subdomain(flow["metadata"]["name"], function)


def connection_name(flow: JsonObject, connection: JsonObject) -> str:
    """Return the name of the WBConnection of an edge of the plan: ``<flow>.<from>.<port>.<to>.<port>``."""
    source, target = connection["from"], connection["to"]
    parts = source["function"], source["port"], target["function"], target["port"]
    return _subdomain(flow["metadata"]["name"], *parts)


def worker_name(flow: JsonObject, node: str) -> str:
    """Return the name of the worker's Pod, its ConfigMap and its Secret: ``<flow>-<node>-<5 hex digits>``.

    A DNS label, since a Pod's name becomes its host name. Flow and node may both have dashes, so only the digest of
    the two tells whose it is.
    """
    name = flow["metadata"]["name"]
    head = re.sub(r"[^a-z0-9-]", "-", f"{name}-{node}".lower())[: LONGEST_LABEL - 6].rstrip("-")
    return f"{head}-{_digest(name, node, digits=5)}"


def label_value(text: str) -> str:
    """Return the text as a label's value: cut, and told apart by a hash, where it is too long."""
    return text if len(text) <= LONGEST_LABEL else _with_hash(text, LONGEST_LABEL, text)


def _subdomain(*parts: str) -> str:
    """Return a DNS subdomain made of parts. Only a flow's name has dots, so no two lists of parts make the same one.

    Ports may have capitals and underscores: where a name had to be changed or cut, a hash keeps it apart.
    """
    joined = ".".join(parts)
    name = re.sub(r"-+(?=\.|$)", "", re.sub(r"[^a-z0-9.-]", "-", joined.lower()))
    return name if name == joined and len(name) <= LONGEST_NAME else _with_hash(name, LONGEST_NAME, *parts)


def _with_hash(head: str, longest: int, *parts: str) -> str:
    return f"{head[: longest - 9].rstrip('-.')}-{_digest(*parts, digits=8)}"


def _digest(*parts: str, digits: int) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]


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
