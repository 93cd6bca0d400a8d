# SPDX-License-Identifier: Apache-2.0
"""How attempts end: the flow's result is written, or the next attempt is announced."""

from __future__ import annotations

import math
from collections.abc import Sequence

from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import (
    Action,
    Actions,
    ApplyStatus,
    Delete,
    Event,
    JsonObject,
    ObjectRef,
    removal,
)
from accelchain_operators.reconcile.attempts import REMEMBERED, Attempt, class_of, is_lost, next_attempt_at
from accelchain_operators.reconcile.document import WorkerDocument
from accelchain_operators.reconcile.individual import individual_statuses
from accelchain_operators.reconcile.loss import why_lost
from accelchain_operators.reconcile.pod import pod_end
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.times import rfc3339, seconds_of

_EVENTS = {"Suspending": "Suspended"}
"""What an Event says has happened, where Running says what is under way."""
NOT_ATTEMPTS = ("Cancelled", "OwnerEnded", "HeartbeatLost", "DeadlineExceeded")
"""Ends of the flow that say nothing of an attempt."""


def finish_success(
    snapshot: FlowSnapshot, attempt: Attempt, final: WorkerDocument, completion: str, warnings: Sequence[str] = ()
) -> Actions:
    """Write that the flow has done its work."""
    status = states.succeeded(snapshot.flow, completion, final, warnings)
    event = Event(snapshot.flow, "Succeeded", f"{status['progress']['frames']} frames")
    return _end(snapshot, attempt, final, status, event)


def finish_failure(
    snapshot: FlowSnapshot, attempt: Attempt, reason: str, message: str, completion: str = ""
) -> Actions:
    """Write that the flow has failed for good."""
    completion = completion or rfc3339(snapshot.now)
    status = states.failed(snapshot.flow, completion, attempt.final or attempt.document, reason, message)
    if reason not in NOT_ATTEMPTS:
        _note_failure(snapshot, attempt, status, reason, message)
    event = Event(snapshot.flow, reason, message, warning=True)
    return _end(snapshot, attempt, attempt.final or attempt.document, status, event)


def fail(snapshot: FlowSnapshot, attempt: Attempt, reason: str, message: str, completion: str = "") -> Actions:
    """End an attempt that failed: announce the next one, or end the flow where no retry is left or none would help."""
    flow = snapshot.flow
    limit = (flow["spec"].get("retries") or {}).get("limit", 0)
    failed_before = (flow.get("status") or {}).get("failedAttempts", 0)
    if class_of(reason) == "user" or failed_before >= limit:
        if failed_before and class_of(reason) != "user":
            message = f"{message} ({failed_before + 1} attempts failed, spec.retries.limit is {limit})"
        return finish_failure(snapshot, attempt, reason, message, completion)
    number = attempt.number + 1
    position = attempt.position_after((flow.get("status") or {}).get("position", 0))
    status = states.next_attempt(flow, number, position, states.NOT_STARTED)
    _note_failure(snapshot, attempt, status, reason, message)
    due = next_attempt_at(status)
    total = number + limit - failed_before - 1
    what = f"attempt {number} of {total} in {due - snapshot.now:.0f} s: {reason}: {message}"
    states.set_condition(status, "Running", ("False", "BackOff", what))
    return _over(snapshot, attempt, status, Event(flow, reason, what, warning=True))


def give_up(snapshot: FlowSnapshot, attempt: Attempt, reason: str, message: str) -> Actions:
    """End an attempt that did not fail: the flow is planned anew, now or when it is resumed."""
    number = attempt.number + 1
    before = (snapshot.flow.get("status") or {}).get("position", 0)
    position = attempt.position_after(before)
    if position > before:
        message = f"{message}; {position} frames are published, attempt {number} goes on there"
    status = states.next_attempt(snapshot.flow, number, position, ("Unknown", "NotStarted", message))
    return _over(snapshot, attempt, status, Event(snapshot.flow, _EVENTS.get(reason, reason), message))


def fail_without_result(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """End an attempt whose worker was lost."""
    completion = attempt.end.finished_at if attempt.end is not None else ""
    return fail(snapshot, attempt, "WorkerLost", why_lost(snapshot, attempt), completion)


def fail_reported(snapshot: FlowSnapshot, attempt: Attempt, final: WorkerDocument, completion: str = "") -> Actions:
    """End an attempt that failed as its worker reported."""
    message = final.message or "the worker gave no message"
    if final.parameter and not message.startswith(final.parameter):
        message = f"{final.parameter}: {message}"
    return fail(snapshot, attempt, final.reason or "FunctionFailed", message, completion)


def after_the_end(snapshot: FlowSnapshot) -> Actions:
    """Stop what still runs; delete the flow when its time has come. Everything else stays for people to read."""
    flow = snapshot.flow
    left = [pod for pod in snapshot.pods if pod_end(pod) is None]
    deletes: list[Action] = [*removal(left), *forced(snapshot, left)]
    requeue = None
    ttl = flow["spec"].get("ttlSecondsAfterFinished")
    completion = (flow.get("status") or {}).get("completionTime")
    if ttl is not None and completion:
        requeue = seconds_of(completion) + ttl - snapshot.now
        if requeue <= 0:
            return Actions(((Delete(ObjectRef.of(flow), flow["metadata"]["uid"]),),))
    return Actions((tuple(deletes),) if deletes else (), requeue)


def forced(snapshot: FlowSnapshot, pods: Sequence[JsonObject]) -> tuple[Delete, ...]:
    """Return the deletion at once of Pods that are lost with their nodes: no kubelet will confirm it."""
    return tuple(
        Delete(ObjectRef.of(pod), pod["metadata"]["uid"], grace_seconds=0) for pod in pods if is_lost(snapshot, pod)
    )


def _note_failure(snapshot: FlowSnapshot, attempt: Attempt, status: JsonObject, reason: str, message: str) -> None:
    entry = {
        "attempt": attempt.number,
        "reason": reason,
        "message": message[:1024],
        "time": rfc3339(math.ceil(snapshot.now)),  # never a pause that is shorter than it should be
    }
    status["failures"] = [*(status.get("failures") or ()), entry][-REMEMBERED:]
    status["failedAttempts"] = status.get("failedAttempts", 0) + 1


def _over(snapshot: FlowSnapshot, attempt: Attempt, status: JsonObject, event: Event) -> Actions:
    """Write that an attempt is over. Its objects go when the next look finds them to be another attempt's."""
    layer: tuple[ApplyStatus, ...] = ()
    if attempt.plan is not None:
        existing = (*snapshot.functions, *snapshot.connections)
        layer = individual_statuses(snapshot.flow, attempt.plan, existing, "Pending", None)
    return Actions((layer, (states.apply_status(snapshot.flow, status),), (event,)))


def _end(
    snapshot: FlowSnapshot,
    attempt: Attempt,
    document: WorkerDocument | None,
    status: JsonObject,
    event: Event,
) -> Actions:
    """Write the end: first of the individual layer, then of the flow, since a finished flow is not looked at again."""
    flow = snapshot.flow
    last: tuple[ApplyStatus, ...] = ()
    if attempt.plan is not None:
        layer = (*snapshot.functions, *snapshot.connections)
        last = individual_statuses(flow, attempt.plan, layer, status["phase"], document)
    return Actions((last, (states.apply_status(flow, status),), (event,)))
