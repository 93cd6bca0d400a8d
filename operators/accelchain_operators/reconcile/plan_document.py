# SPDX-License-Identifier: Apache-2.0
"""The plan: the JSON document by which a worker learns its task. Its schema is the runtime's plan.schema.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolved import PortId, ResolvedFlow
from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.names import child_metadata, worker_name

PLAN_VERSION = "plan.accelchain.io/v1"
PLAN_KEY = "plan.json"


def token_digest(token: str) -> str:
    """Return what the plan holds of the token that opens the worker's status."""
    return hashlib.sha256(token.encode()).hexdigest()


def build_plan(
    flow: DataFlow,
    resolved: ResolvedFlow,
    placement: Sequence[FunctionPlacement],
    resources: Sequence[ComputeResource],
    token: str,
) -> JsonObject:
    """Return the plan of the flow's worker.

    Args:
        flow: The flow.
        resolved: The flow after validation.
        placement: One entry for every function, all on one node.
        resources: The inventory, for the identities of devices.
        token: The token whose digest goes into the plan.
    """
    where = {entry.function: entry for entry in placement}
    node = placement[0].node
    identities = {d.name: d.id for r in resources if r.spec.node_name == node for d in r.spec.devices}
    devices = {entry.device: entry.api for entry in placement}
    return {
        "apiVersion": PLAN_VERSION,
        "flow": {
            "namespace": flow.metadata.namespace or "default",
            "name": flow.metadata.name,
            "uid": flow.metadata.uid,
        },
        "node": node,
        "mode": flow.spec.mode,
        "devices": [
            {"name": name, "api": api, "deviceId": identities.get(name, "")} for name, api in sorted(devices.items())
        ],
        "functions": [
            {
                "name": function.name,
                "type": function.type,
                "version": function.version,
                "implementation": where[function.name].implementation,
                "device": where[function.name].device,
                "parameters": dict(function.parameters),
                "origins": dict(function.origins),
            }
            for function in resolved.functions
        ],
        "connections": [
            {
                "from": _port(connection.source),
                "to": _port(connection.target),
                "mechanisms": list(connection.mechanisms),
                "slots": connection.slots,
                "latencyMicroseconds": connection.latency_microseconds,
            }
            for connection in resolved.connections
        ],
        "deadlineSeconds": flow.spec.active_deadline_seconds,
        "tokenSha256": token_digest(token),
    }


def plan_config_map(flow: JsonObject, plan: JsonObject) -> JsonObject:
    """Return the immutable ConfigMap that carries the plan."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(flow, worker_name(flow, plan["node"]), "plan"),
        "immutable": True,
        "data": {PLAN_KEY: json.dumps(plan, sort_keys=True, separators=(",", ":"))},
    }


def plan_of(config_maps: Sequence[JsonObject]) -> JsonObject | None:
    """Return the plan that a flow was started with, or None: it was not started yet."""
    for config_map in config_maps:
        text = (config_map.get("data") or {}).get(PLAN_KEY)
        if text is not None and not config_map["metadata"].get("deletionTimestamp"):
            plan: JsonObject = json.loads(text)
            return plan
    return None


def _port(port: PortId) -> JsonObject:
    return {"function": port.function, "port": port.port}
