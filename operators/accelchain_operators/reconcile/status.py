# SPDX-License-Identifier: Apache-2.0
"""The status of a DataFlow, as far as it is the dataflow operator's: everything but Scheduled and placement."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, datetime

from accelchain.api import DataFlow
from accelchain.api.data_flow_status import outputs_from
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain_operators.reconcile.actions import ApplyStatus, JsonObject
from accelchain_operators.reconcile.document import WorkerDocument
from accelchain_operators.reconcile.pod import status_address

LONGEST_MESSAGE = 4096
SCHEDULERS = ("Scheduled",)
"""Conditions of the scheduler's field manager."""
NOT_STARTED = ("Unknown", "NotStarted", "the worker has not begun")


def rfc3339(seconds: float) -> str:
    """Return a time (seconds since 1970) as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(time: str) -> float:
    """Return a time of Kubernetes as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def condition_of(flow: JsonObject, type: str) -> JsonObject:
    """Return a condition of the flow, or an empty object."""
    conditions = (flow.get("status") or {}).get("conditions") or ()
    found: JsonObject = next((c for c in conditions if c["type"] == type), {})
    return found


def is_true(flow: JsonObject, type: str) -> bool:
    """Tell whether a condition of the flow is True."""
    return condition_of(flow, type).get("status") == "True"


def own_status(flow: JsonObject) -> JsonObject:
    """Return a copy of what we wrote before: server-side apply wants the whole intent each time."""
    status: JsonObject = copy.deepcopy(flow.get("status") or {})
    status.pop("placement", None)
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] not in SCHEDULERS]
    for condition in status["conditions"]:
        condition.pop("lastTransitionTime", None)
    status["observedGeneration"] = flow["metadata"]["generation"]
    return status


def set_condition(status: JsonObject, type: str, value: str, reason: str, message: str, generation: int) -> None:
    """Set a condition of a status."""
    condition = {
        "type": type,
        "status": value,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
    }
    conditions = status["conditions"]
    for index, old in enumerate(conditions):
        if old["type"] == type:
            conditions[index] = condition
            return
    conditions.append(condition)


def apply_status(flow: JsonObject, status: JsonObject) -> ApplyStatus:
    """Return the action that writes the status."""
    meta = flow["metadata"]
    return ApplyStatus(
        {
            "apiVersion": flow["apiVersion"],
            "kind": flow["kind"],
            # With its uid: a new flow of the same name must not be told the end of the old one.
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": status,
        }
    )


def refused(flow: JsonObject, problems: Sequence[Problem]) -> JsonObject:
    """Return the status of a flow that can't be run as it is written."""
    generation = flow["metadata"]["generation"]
    status: JsonObject = {"observedGeneration": generation, "phase": "Refused", "conditions": []}
    message = "; ".join(str(problem) for problem in problems)
    set_condition(status, "Accepted", "False", problems[0].reason, message, generation)
    return status


def accepted(flow: JsonObject, resolved: ResolvedFlow) -> JsonObject:
    """Return the status of a flow that waits for a place."""
    generation = flow["metadata"]["generation"]
    status: JsonObject = {
        "observedGeneration": generation,
        "phase": "Pending",
        "conditions": [],
        "chain": {
            "name": resolved.chain_name,
            "generation": resolved.chain_generation,
            "functions": [{"name": f.name, "type": f.type, "version": f.version} for f in resolved.functions],
        },
    }
    set_condition(status, "Accepted", "True", "Valid", "chain, types and parameters fit", generation)
    set_condition(status, "Running", *NOT_STARTED, generation)
    set_condition(status, "Succeeded", "Unknown", "NotFinished", "", generation)
    set_condition(status, "Failed", "Unknown", "NotFinished", "", generation)
    return status


def running(flow: JsonObject, pod: JsonObject, document: WorkerDocument) -> JsonObject:
    """Return the status of a flow whose worker runs."""
    status = own_status(flow)
    status["phase"] = "Running"
    set_condition(status, "Running", "True", "WorkerRunning", "", accepted_generation(flow))
    status.setdefault("startTime", (pod.get("status") or {}).get("startTime") or pod["metadata"]["creationTimestamp"])
    _report(status, document)
    meta = pod["metadata"]
    status["workers"] = [
        {
            "pod": meta["name"],
            "node": (pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/hostname", ""),
            "address": status_address(pod),
            "secret": meta["name"],
            "live": list(document.live),
        }
    ]
    return status


def not_running(flow: JsonObject, reason: str, message: str) -> JsonObject:
    """Return the status of a flow whose worker does not begin, with the reason where there is one."""
    status = own_status(flow)
    condition = ("False", reason, message) if reason else NOT_STARTED
    set_condition(status, "Running", *condition, accepted_generation(flow))
    return status


def withdrawn(flow: JsonObject, message: str) -> JsonObject:
    """Return the status of a flow that gives up its plan, since it was placed anew or lost its place."""
    status = own_status(flow)
    for field in ("workers", "startTime", "progress", "edges", "warnings"):
        status.pop(field, None)
    status["phase"] = "Pending"
    set_condition(status, "Running", "False", "PlacementChanged", message, accepted_generation(flow))
    return status


def note_changed_spec(flow: JsonObject, status: JsonObject) -> None:
    """Say in Accepted that a spec which was changed after the start has no effect, as a Job's template has none."""
    before, now = accepted_generation(flow), flow["metadata"]["generation"]
    if before != now:
        message = (
            f"generation {before} of the spec runs; the change to generation {now} has no effect: "
            "delete the DataFlow and create it anew"
        )
        set_condition(status, "Accepted", "True", "SpecChangedAfterStart", message, before)


def succeeded(flow: JsonObject, completion: str, document: WorkerDocument, warnings: Sequence[str]) -> JsonObject:
    """Return the status of a flow that has done its work."""
    status = _ended(flow, completion, document)
    generation = accepted_generation(flow)
    status["phase"] = "Succeeded"
    set_condition(status, "Running", "False", "Completed", "", generation)
    set_condition(status, "Succeeded", "True", "Completed", f"{document.frames} frames", generation)
    set_condition(status, "Failed", "False", "Completed", "", generation)
    if warnings:
        status["warnings"] = [*status.get("warnings", ()), *warnings][-16:]
    artifacts = DataFlow.model_validate(flow).spec.outputs
    status["outputs"] = {
        "parameters": [o.to_dict() for o in outputs_from(document.outputs.parameters)],
        "artifacts": [{"name": name, "uri": address.uri} for name, address in sorted(artifacts.items())],
    }
    for parameter in status["outputs"]["parameters"]:
        parameter["value"] = parameter["value"][:1024]
    return status


def failed(flow: JsonObject, completion: str, document: WorkerDocument | None, reason: str, message: str) -> JsonObject:
    """Return the status of a flow that has failed."""
    status = _ended(flow, completion, document)
    generation = accepted_generation(flow)
    status["phase"] = "Failed"
    set_condition(status, "Running", "False", reason, "", generation)
    set_condition(status, "Succeeded", "False", reason, message, generation)
    set_condition(status, "Failed", "True", reason, message, generation)
    return status


def accepted_generation(flow: JsonObject) -> int:
    """Return the generation of the spec that was accepted."""
    return int(condition_of(flow, "Accepted").get("observedGeneration") or flow["metadata"]["generation"])


def _ended(flow: JsonObject, completion: str, document: WorkerDocument | None) -> JsonObject:
    status = own_status(flow)
    status["completionTime"] = completion
    status.setdefault("startTime", completion)
    if document is not None:
        _report(status, document)
    return status


def _report(status: JsonObject, document: WorkerDocument) -> None:
    """Take over a worker's figures."""
    progress: JsonObject = {"frames": document.frames, "framesPerSecond": round(document.frames_per_second, 2)}
    if document.total is not None:
        progress["total"] = document.total
    status["progress"] = progress
    if document.edges:
        status["edges"] = [edge.model_dump(by_alias=True, mode="json") for edge in document.edges]
    if document.warnings:
        status["warnings"] = list(document.warnings)
