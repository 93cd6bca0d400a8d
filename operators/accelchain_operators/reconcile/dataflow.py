# SPDX-License-Identifier: Apache-2.0
"""What a DataFlow needs next. Pure: a snapshot in, actions out; the same snapshot gives the same actions.

A flow is run in attempts, each with a plan (a ConfigMap) and a Pod of its own. While the current attempt has no plan,
the spec is validated again and again and may be changed (``waiting``). From then on the plan is what runs
(``running``), until it succeeds, fails (``ending``), or is given up since the flow is suspended, was placed elsewhere
or was changed (``stopping``). After the flow's end nothing is touched any more, so that logs and the individual layer
can be read until the DataFlow is deleted.
"""

from __future__ import annotations

from dataclasses import replace

from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, ApplyStatus, Event, JsonObject
from accelchain_operators.reconcile.attempts import Attempt, current_attempt
from accelchain_operators.reconcile.ending import after_the_end, finish_failure
from accelchain_operators.reconcile.heartbeat import finish_lost, is_stale, seconds_left
from accelchain_operators.reconcile.names import is_paused
from accelchain_operators.reconcile.running import go_on, let_publish, success
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.waiting import wait_or_start


def is_finished(flow: JsonObject) -> bool:
    """Tell whether a flow has come to its end."""
    return states.is_true(flow, "Succeeded") or states.is_true(flow, "Failed")


def is_active(flow: JsonObject) -> bool:
    """Tell whether there is anything to decide about a flow."""
    return not is_finished(flow) and "deletionTimestamp" not in flow["metadata"]


def refuses(flow: JsonObject, actions: Actions) -> bool:
    """Tell whether actions refuse a flow that was not refused before."""
    if states.condition_of(flow, "Accepted").get("status") == "False":
        return False
    return any(
        isinstance(action, ApplyStatus) and states.condition_of(action.obj, "Accepted").get("status") == "False"
        for stage in actions.stages
        for action in stage
    )


def reconcile(snapshot: FlowSnapshot) -> Actions:
    """Return what the flow needs next."""
    flow = snapshot.flow
    if "deletionTimestamp" in flow["metadata"] or is_paused(flow):
        return Actions()  # owner references do the rest; people do it
    if is_finished(flow):
        return after_the_end(snapshot)
    attempt = current_attempt(snapshot)
    if (done := success(snapshot, attempt)) is not None:
        return done
    # What is published counts, though its Pod has not ended yet.
    published = attempt.final is not None and attempt.final.done
    if not published and (ended := _ended_by_others(snapshot, attempt)) is not None:
        return let_publish(snapshot, attempt) or ended
    actions = wait_or_start(snapshot, attempt) if attempt.plan is None else go_on(snapshot, attempt)
    if (left := seconds_left(snapshot)) is not None and not published:
        again = actions.requeue_after
        actions = replace(actions, requeue_after=left if again is None else min(left, again))
    if not snapshot.owner_problem:
        return actions
    told = Event(flow, "OwnerNotWatched", snapshot.owner_problem, warning=True)
    return replace(actions, stages=(*actions.stages, (told,)))


def _ended_by_others(snapshot: FlowSnapshot, attempt: Attempt) -> Actions | None:
    """Return the end of a flow that nobody wants any more, or None."""
    if snapshot.flow["spec"].get("cancel"):
        return finish_failure(snapshot, attempt, "Cancelled", "cancelled by spec.cancel")
    if snapshot.owner_ended:
        return finish_failure(snapshot, attempt, "OwnerEnded", f"cancelled: {snapshot.owner_ended}")
    return finish_lost(snapshot, attempt) if is_stale(snapshot) else None
