# SPDX-License-Identifier: Apache-2.0
"""The individual layer: a WBFunction for every function of a plan, a WBConnection for every edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelchain.api.common import API_VERSION
from accelchain_operators.reconcile.actions import Apply, ApplyStatus, Delete, JsonObject, removal
from accelchain_operators.reconcile.document import WorkerDocument
from accelchain_operators.reconcile.names import child_metadata, connection_name, function_name


def individual_layer(flow: JsonObject, plan: JsonObject, placement: Sequence[JsonObject]) -> tuple[Apply, ...]:
    """Return the intent for every object of the layer.

    Made from the plan, not from chain and types: those may change while the flow runs, the plan does not.

    Args:
        flow: The owner.
        plan: What runs.
        placement: Where: the scheduler's answer that the plan was made from, an entry for every function.
    """
    where = {entry["function"]: entry for entry in placement}
    return (
        *(Apply(_function(flow, plan, function, where[function["name"]])) for function in plan["functions"]),
        *(Apply(_connection(flow, plan, connection)) for connection in plan["connections"]),
    )


def left_over(flow: JsonObject, plan: JsonObject, existing: Sequence[JsonObject]) -> tuple[Delete, ...]:
    """Return the removal of what an earlier plan had and this one has not."""
    names = {("WBFunction", function_name(flow, function["name"])) for function in plan["functions"]}
    names |= {("WBConnection", connection_name(flow, connection)) for connection in plan["connections"]}
    return removal([obj for obj in existing if (obj["kind"], obj["metadata"]["name"]) not in names])


def _function(flow: JsonObject, plan: JsonObject, function: JsonObject, entry: JsonObject) -> JsonObject:
    name = function["name"]
    devices = {device["name"]: device for device in plan["devices"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "WBFunction",
        "metadata": child_metadata(flow, function_name(flow, name), "function", name),
        "spec": {
            "dataFlowRef": {"name": flow["metadata"]["name"]},
            "function": name,
            "type": function["type"],
            "version": function["version"],
            "implementation": function["implementation"],
            "nodeName": plan["node"],
            "device": function["device"],
            "deviceType": entry["deviceType"],
            "api": devices[function["device"]]["api"],
            "load": entry["load"],
            "parameters": function["parameters"],
        },
    }


def _connection(flow: JsonObject, plan: JsonObject, connection: JsonObject) -> JsonObject:
    devices = {function["name"]: function["device"] for function in plan["functions"]}

    def end(port: JsonObject) -> JsonObject:
        return {**port, "nodeName": plan["node"], "device": devices[port["function"]]}

    return {
        "apiVersion": API_VERSION,
        "kind": "WBConnection",
        "metadata": child_metadata(flow, connection_name(flow, connection), "connection"),
        "spec": {
            "dataFlowRef": {"name": flow["metadata"]["name"]},
            "from": end(connection["from"]),
            "to": end(connection["to"]),
            "mechanisms": connection["mechanisms"],
            "parameters": {
                "slots": connection["slots"],
                "latencyMicroseconds": connection["latencyMicroseconds"],
            },
        },
    }


def individual_statuses(
    flow: JsonObject,
    plan: JsonObject,
    existing: Sequence[JsonObject],
    phase: str,
    document: WorkerDocument | None,
) -> tuple[ApplyStatus, ...]:
    """Return the statuses of the layer's objects that are not in this phase yet.

    Figures change all the time, so they are written with a phase and not again: twice in an attempt.
    """
    functions = {report.name: report for report in document.functions} if document else {}
    edges = {(report.source, report.target): report for report in document.edges} if document else {}
    statuses: dict[tuple[str, str], JsonObject] = {}
    for function in plan["functions"]:
        status: JsonObject = {"phase": phase}
        if report := functions.get(function["name"]):
            status |= {
                "frames": report.frames,
                "framesPerSecond": report.frames_per_second,
                "microseconds": report.microseconds,
            }
        statuses["WBFunction", function_name(flow, function["name"])] = status
    for connection in plan["connections"]:
        status = {"phase": phase}
        ends = tuple(f"{connection[end]['function']}.{connection[end]['port']}" for end in ("from", "to"))
        if edge := edges.get((ends[0], ends[1])):
            status |= {
                "mechanism": edge.mechanism,
                "copies": edge.copies,
                "microseconds": edge.microseconds,
                "gigabytesPerSecond": edge.gigabytes_per_second,
            }
        statuses["WBConnection", connection_name(flow, connection)] = status
    return tuple(
        ApplyStatus(_status(obj, statuses[obj["kind"], obj["metadata"]["name"]]))
        for obj in existing
        if (obj["kind"], obj["metadata"]["name"]) in statuses and (obj.get("status") or {}).get("phase") != phase
    )


def _status(obj: JsonObject, status: Mapping[str, object]) -> JsonObject:
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "status": {"observedGeneration": meta.get("generation", 0), **status},
    }
