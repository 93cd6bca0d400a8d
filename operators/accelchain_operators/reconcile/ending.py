# SPDX-License-Identifier: Apache-2.0
"""How a flow ends: the worker's result is read, and the last statuses are written."""

from __future__ import annotations

from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, Event, JsonObject
from accelchain_operators.reconcile.document import WorkerDocument, merged, parse_document
from accelchain_operators.reconcile.individual import individual_statuses
from accelchain_operators.reconcile.pod import PodEnd
from accelchain_operators.reconcile.snapshot import FlowSnapshot


def has_result(pod: JsonObject | None, end: PodEnd | None, last: WorkerDocument | None, plan: JsonObject) -> bool:
    """Tell whether a worker did its work, or failed by itself; one that is being stopped has not."""
    if pod is None or end is None or "deletionTimestamp" in pod["metadata"]:
        return False
    return _final(end, last, plan) is not None


def _final(end: PodEnd, last: WorkerDocument | None, plan: JsonObject) -> WorkerDocument | None:
    """Return the result: from the termination message, so that a stream that was cut loses nothing, or the stream."""
    final = document_of(end.message, plan)
    if final is not None and final.final:
        return merged(final, last)
    return last if last is not None and last.final else None


def ended(
    snapshot: FlowSnapshot, plan: JsonObject, pod: JsonObject, end: PodEnd, last: WorkerDocument | None
) -> Actions:
    """Write the end of a flow whose Pod has ended.

    Args:
        snapshot: The flow.
        plan: What ran.
        pod: The worker's Pod.
        end: How it ended.
        last: The last document of the worker's stream.
    """
    completion = end.finished_at or states.rfc3339(snapshot.now)
    final = _final(end, last, plan)
    if final is None:
        code = f" with exit code {end.exit_code}" if end.exit_code is not None else ""
        why = f" ({end.explanation})" if end.explanation else ""
        message = f"the worker ended{code} without a result{why}; see: kubectl logs {pod['metadata']['name']}"
        return finish(snapshot, plan, last, "WorkerLost", message, completion)
    warnings = [] if not end.exit_code else [f"the worker ended with exit code {end.exit_code} after its work"]
    return finish_reported(snapshot, plan, final, completion, warnings)


def finish_reported(
    snapshot: FlowSnapshot, plan: JsonObject, final: WorkerDocument, completion: str, warnings: list[str]
) -> Actions:
    """Write the end that the worker reported."""
    if final.phase == "Succeeded":
        return finish(snapshot, plan, final, "", "", completion, warnings)
    message = final.message or "the worker gave no message"
    if final.parameter and not message.startswith(final.parameter):
        message = f"{final.parameter}: {message}"
    return finish(snapshot, plan, final, final.reason or "FunctionFailed", message, completion)


def finish(
    snapshot: FlowSnapshot,
    plan: JsonObject,
    document: WorkerDocument | None,
    reason: str,
    message: str,
    completion: str,
    warnings: list[str] | None = None,
) -> Actions:
    """Write the end: first of the individual layer, then of the flow, since a finished flow is not looked at again."""
    flow = snapshot.flow
    if reason or document is None:
        status = states.failed(flow, completion, document, reason, message)
        event = Event(flow, reason, message, warning=True)
    else:
        status = states.succeeded(flow, completion, document, warnings or [])
        event = Event(flow, "Succeeded", f"{document.frames} frames")
    states.note_changed_spec(flow, status)
    layer = (*snapshot.functions, *snapshot.connections)
    last = individual_statuses(flow, plan, layer, status["phase"], document)
    return Actions((last, (states.apply_status(flow, status),), (event,)))


def document_of(value: JsonObject | str | None, plan: JsonObject) -> WorkerDocument | None:
    """Return a worker's document without edges that the plan does not have: the API would refuse the whole status."""
    document = parse_document(value)
    if document is None:
        return None
    known = {
        (f"{c['from']['function']}.{c['from']['port']}", f"{c['to']['function']}.{c['to']['port']}")
        for c in plan["connections"]
    }
    return document.model_copy(update={"edges": tuple(e for e in document.edges if (e.source, e.target) in known)})
