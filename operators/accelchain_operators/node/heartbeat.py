# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of a node agent: a Lease that is renewed. Pure: the objects only."""

from __future__ import annotations

import hashlib

from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.events import micro_time
from accelchain_operators.kube.heartbeats import STALE_AFTER
from accelchain_operators.kube.kinds import LEASE

PREFIX = "accelchain-node-"
LONGEST_NAME = 253
_DIGITS = 8


def lease_name(node: str) -> str:
    """Return the name of a node's Lease: ``accelchain-node-<node>``, cut and told apart by a hash where too long."""
    name = PREFIX + node
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(node.encode()).hexdigest()[:_DIGITS]
    return f"{name[: LONGEST_NAME - _DIGITS - 1].rstrip('-.')}-{digest}"


def lease(node: str, namespace: str, now: float, owner: JsonObject | None) -> JsonObject:
    """Return a node's Lease, renewed.

    Args:
        node: the node, the Lease's holder: its whole name, whatever the Lease is called.
        namespace: the agent's.
        now: seconds since 1970.
        owner: an owner reference: the Lease goes when its owner goes.
    """
    meta: JsonObject = {
        "name": lease_name(node),
        "namespace": namespace,
        "labels": {"app.kubernetes.io/name": "accelchain", "app.kubernetes.io/component": "node"},
    }
    if owner:
        meta["ownerReferences"] = [owner]
    spec = {"holderIdentity": node, "leaseDurationSeconds": int(STALE_AFTER), "renewTime": micro_time(now)}
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}


def owner_of(node: JsonObject) -> JsonObject:
    """Return the reference to a Node as an owner; not as a controller: it makes nothing of what it owns."""
    meta = node["metadata"]
    return {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}
