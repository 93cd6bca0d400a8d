# SPDX-License-Identifier: Apache-2.0
"""The plan: the JSON document by which a worker learns its task. Its schema is the runtime's plan.schema.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolved import PortId, ResolvedFlow
from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.mounts import Grant, grants, volume_variable
from accelchain_operators.reconcile.names import child_metadata, worker_name
from accelchain_operators.reconcile.worker_options import WorkerOptions

PLAN_VERSION = "plan.accelchain.io/v1"
PLAN_KEY = "plan.json"
SOURCE_ANNOTATION = "accelchain.io/source"
"""On a plan's ConfigMap: the digest of the fields of the spec that it was made from."""


def token_digest(token: str) -> str:
    """Return what the plan holds of the token that opens the worker's status."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AttemptTerms:
    """What differs from one attempt at a flow to the next."""

    number: int = 1
    start_frame: int = 0
    """Frames that earlier attempts published."""
    seconds_left: float | None = None
    """Until the flow's deadline; None: it has none."""
    token: str = ""
    """Opens the worker's status; its digest goes into the plan."""


def build_plan(
    flow: DataFlow,
    resolved: ResolvedFlow,
    placement: Sequence[FunctionPlacement],
    resources: Sequence[ComputeResource],
    options: WorkerOptions,
    terms: AttemptTerms,
) -> JsonObject:
    """Return the plan of the flow's worker.

    Args:
        flow: The flow.
        resolved: The flow after validation.
        placement: One entry for every function, all on one node.
        resources: The inventory, for the identities of devices.
        options: How workers are run: what they may reach.
        terms: What is this attempt's own.
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
        "attempt": {"number": terms.number, "startFrame": terms.start_frame},
        "fenced": True,
        "volumes": [
            {"mountPath": volume.mount_path, "readOnly": volume.read_only, "environment": volume_variable(index)}
            for index, volume in enumerate(flow.spec.volumes)
        ],
        "confined": options.confined,
        "credentials": [{"uri": uri, **_access(grant)} for grant in grants(flow.spec) for uri in grant.uris],
        "allow": list(options.allow),
        "deadlineSeconds": terms.seconds_left,
        "tokenSha256": token_digest(terms.token),
    }


def plan_config_map(flow: JsonObject, plan: JsonObject) -> JsonObject:
    """Return the immutable ConfigMap that carries the plan."""
    attempt = plan["attempt"]["number"]
    metadata = child_metadata(flow, worker_name(flow, plan["node"], attempt), "plan", attempt=attempt)
    metadata["annotations"][SOURCE_ANNOTATION] = source_digest(flow)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {PLAN_KEY: json.dumps(plan, sort_keys=True, separators=(",", ":"))},
    }


def plan_in(config_map: JsonObject) -> JsonObject | None:
    """Return the plan in a ConfigMap; None where it holds none, or is being deleted."""
    text = (config_map.get("data") or {}).get(PLAN_KEY)
    if text is None or config_map["metadata"].get("deletionTimestamp"):
        return None
    plan: JsonObject = json.loads(text)
    plan.setdefault("attempt", {"number": 1, "startFrame": 0})  # of operators that knew no attempts
    return plan


def source_digest(flow: JsonObject) -> str:
    """Return a digest of those fields of the spec that a running flow is planned anew for when they change."""
    source = {field: flow["spec"].get(field) or None for field in ("chain", "parameters", "functionParameters")}
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def does_the_same(one: JsonObject, other: JsonObject) -> bool:
    """Tell whether two plans of one flow make its workers do the same."""
    return _work(one) == _work(other)


def _work(plan: JsonObject) -> JsonObject:
    functions = [{key: value for key, value in f.items() if key != "origins"} for f in plan["functions"]]
    return {"functions": functions, "connections": plan["connections"]}


def _access(grant: Grant) -> JsonObject:
    """Return how addresses are opened; what is not said is left out, for workers that know no more than a folder."""
    said: JsonObject = {"folder": grant.variable} if grant.variable else {}
    if grant.s3 is None:
        return said
    place = {"endpoint": grant.s3.endpoint, "region": grant.s3.region, "insecure": grant.s3.insecure}
    return said | {"s3": {key: value for key, value in place.items() if value}}


def _port(port: PortId) -> JsonObject:
    return {"function": port.function, "port": port.port}
