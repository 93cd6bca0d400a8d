# SPDX-License-Identifier: Apache-2.0
"""The status of a DataFlow, as far as it is the dataflow operator's: everything but Scheduled and placement."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from accelchain.api import DataFlow
from accelchain.api.data_flow_status import outputs_from
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain_operators.reconcile.actions import ApplyStatus, JsonObject
from accelchain_operators.reconcile.document import WorkerDocument
from accelchain_operators.reconcile.pod import status_address

LONGEST_MESSAGE = 4096
SCHEDULERS = ("Scheduled",)
"""Conditions of the scheduler's field manager."""
SCHEDULERS_FIELDS = ("placement", "deviceNames", "placedAttempt")
HISTORY = ("attempt", "failedAttempts", "failures", "position", "startTime")
"""What a flow keeps from attempt to attempt, whatever it waits for."""
OF_AN_ATTEMPT = ("workers", "progress", "edges", "warnings", "plan")
"""What is true of one attempt only."""

Sentence = tuple[str, str, str]
"""Status, reason and message of a condition."""
NOT_STARTED: Sentence = ("Unknown", "NotStarted", "the worker has not begun")
VALID = "chain, types and parameters fit"


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
    for field in SCHEDULERS_FIELDS:
        status.pop(field, None)
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] not in SCHEDULERS]
    for condition in status["conditions"]:
        condition.pop("lastTransitionTime", None)
    status["observedGeneration"] = flow["metadata"]["generation"]
    return status


def set_condition(status: JsonObject, type: str, sentence: Sentence, generation: int | None = None) -> None:
    """Set a condition of a status; it speaks of the generation that was accepted where none is given."""
    value, reason, message = sentence
    conditions = status["conditions"]
    if generation is None:
        accepted: JsonObject = next((c for c in conditions if c["type"] == "Accepted"), {})
        generation = int(accepted.get("observedGeneration") or status["observedGeneration"])
    condition = {
        "type": type,
        "status": value,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
    }
    for index, old in enumerate(conditions):
        if old["type"] == type:
            conditions[index] = condition
            return
    conditions.append(condition)


def apply_status(flow: JsonObject, status: JsonObject) -> ApplyStatus:
    """Return the action that writes the status, if the flow is still as it was looked at.

    Who looks at an old flow must not write: an attempt ends once, and an end is for good.
    """
    meta = flow["metadata"]
    # With its uid: a new flow of the same name must not be told the end of the old one.
    known = {name: meta[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in meta}
    return ApplyStatus({"apiVersion": flow["apiVersion"], "kind": flow["kind"], "metadata": known, "status": status})


def refused(flow: JsonObject, problems: Sequence[Problem]) -> JsonObject:
    """Return the status of a flow that can't be run as it is written."""
    status = _fresh(flow, "Refused")
    message = "; ".join(str(problem) for problem in problems)
    set_condition(status, "Accepted", ("False", problems[0].reason, message), flow["metadata"]["generation"])
    return status


def accepted(flow: JsonObject, resolved: ResolvedFlow, running: Sentence = NOT_STARTED) -> JsonObject:
    """Return the status of a flow that waits; ``running`` says for what."""
    status = _fresh(flow, "Pending")
    status.setdefault("attempt", 1)
    status["chain"] = {
        "name": resolved.chain_name,
        "generation": resolved.chain_generation,
        "functions": [{"name": f.name, "type": f.type, "version": f.version} for f in resolved.functions],
    }
    set_condition(status, "Accepted", ("True", "Valid", VALID), flow["metadata"]["generation"])
    set_condition(status, "Running", running)
    set_condition(status, "Succeeded", ("Unknown", "NotFinished", ""))
    set_condition(status, "Failed", ("Unknown", "NotFinished", ""))
    return status


def suspended(flow: JsonObject, resolved: ResolvedFlow) -> JsonObject:
    """Return the status of a flow that holds nothing until it is resumed."""
    message = "no worker runs and no device is held until spec.suspend is false"
    status = accepted(flow, resolved, ("False", "Suspended", message))
    status["phase"] = "Suspended"
    status.pop("startTime", None)  # as of a Job: the deadline is counted anew from when the flow goes on
    return status


def planned(flow: JsonObject, resolved: ResolvedFlow, plan: JsonObject) -> JsonObject:
    """Return the status of a dry run: the plan, without what opens a worker."""
    message = "planned and not run (spec.dryRun): status.plan is what a worker would get; nothing is reserved"
    status = accepted(flow, resolved, ("False", "DryRun", message))
    status["phase"] = "Planned"
    status["plan"] = {key: value for key, value in plan.items() if key != "tokenSha256"}
    return status


def _fresh(flow: JsonObject, phase: str) -> JsonObject:
    old = flow.get("status") or {}
    history = {field: copy.deepcopy(old[field]) for field in HISTORY if field in old}
    return {"observedGeneration": flow["metadata"]["generation"], "phase": phase, "conditions": [], **history}


def running(flow: JsonObject, pod: JsonObject, document: WorkerDocument) -> JsonObject:
    """Return the status of a flow whose worker runs."""
    status = own_status(flow)
    status["phase"] = "Running"
    set_condition(status, "Running", ("True", "WorkerRunning", ""))
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


def not_running(flow: JsonObject, sentence: Sentence = NOT_STARTED) -> JsonObject:
    """Return the status of a flow whose worker does not begin, with the reason where there is one."""
    status = own_status(flow)
    set_condition(status, "Running", sentence)
    return status


def stopping(flow: JsonObject, reason: str, message: str) -> JsonObject:
    """Return the status of a flow whose attempt is given up while its worker still ends."""
    status = own_status(flow)
    status["phase"] = "Pending"
    set_condition(status, "Running", ("False", reason, message))
    return status


def next_attempt(flow: JsonObject, number: int, position: int, running: Sentence) -> JsonObject:
    """Return the status of a flow whose attempt is over, and whose next one is not planned yet.

    Args:
        flow: The flow.
        number: The next attempt's number.
        position: Frames that all attempts up to now published.
        running: What the flow waits for.
    """
    status = own_status(flow)
    for field in OF_AN_ATTEMPT:
        status.pop(field, None)
    status["phase"] = "Pending"
    status["attempt"] = number
    if position:
        status["position"] = position
    set_condition(status, "Running", running)
    return status


def accept_generation(flow: JsonObject, status: JsonObject) -> None:
    """Say that the spec as it is now runs: nothing in it asks for another plan."""
    set_condition(status, "Accepted", ("True", "Valid", VALID), flow["metadata"]["generation"])


def refuse_change(flow: JsonObject, status: JsonObject, problems: Sequence[Problem]) -> None:
    """Say that the spec as it is now can't be run, and that what runs goes on."""
    before, now = accepted_generation(flow), flow["metadata"]["generation"]
    told = "; ".join(str(problem) for problem in problems)
    message = f"generation {before} of the spec goes on; generation {now} can't be run: {told}"
    set_condition(status, "Accepted", ("True", "InvalidChange", message), before)


def succeeded(flow: JsonObject, completion: str, document: WorkerDocument, warnings: Sequence[str]) -> JsonObject:
    """Return the status of a flow that has done its work."""
    status = _ended(flow, completion, document)
    status["phase"] = "Succeeded"
    frames = status["progress"]["frames"]
    set_condition(status, "Running", ("False", "Completed", ""))
    set_condition(status, "Succeeded", ("True", "Completed", f"{frames} frames"))
    set_condition(status, "Failed", ("False", "Completed", ""))
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
    status["phase"] = "Failed"
    set_condition(status, "Running", ("False", reason, ""))
    set_condition(status, "Succeeded", ("False", reason, message))
    set_condition(status, "Failed", ("True", reason, message))
    return status


def accepted_generation(flow: JsonObject) -> int:
    """Return the generation of the spec that was accepted."""
    return int(condition_of(flow, "Accepted").get("observedGeneration") or flow["metadata"]["generation"])


def placed_attempt(flow: JsonObject) -> int:
    """Return the attempt that the placement was made for."""
    return int((flow.get("status") or {}).get("placedAttempt") or 1)


def _ended(flow: JsonObject, completion: str, document: WorkerDocument | None) -> JsonObject:
    status = own_status(flow)
    status["completionTime"] = completion
    status.setdefault("startTime", completion)
    if document is not None:
        _report(status, document)
    return status


def _report(status: JsonObject, document: WorkerDocument) -> None:
    """Take over a worker's figures; frames that earlier attempts published count."""
    before = status.get("position", 0)
    progress: JsonObject = {"frames": before + document.frames, "framesPerSecond": round(document.frames_per_second, 2)}
    if document.total is not None:
        progress["total"] = before + document.total
    status["progress"] = progress
    if document.edges:
        status["edges"] = [edge.model_dump(by_alias=True, mode="json") for edge in document.edges]
    if document.warnings:
        status["warnings"] = list(document.warnings)
