# SPDX-License-Identifier: Apache-2.0
"""The flow's deadline: it is counted from when the first worker began, over all attempts."""

from __future__ import annotations

from accelchain_operators.reconcile.actions import Actions, JsonObject
from accelchain_operators.reconcile.attempts import Attempt
from accelchain_operators.reconcile.ending import finish_failure
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.times import seconds_of

DEADLINE_GRACE = 15.0
"""Seconds that a worker gets to notice its deadline by itself, before its Pod is deleted."""


def deadline_of(flow: JsonObject, pod: JsonObject | None = None) -> float | None:
    """Return the flow's deadline (seconds since 1970); None: it has none, or no worker has begun.

    Args:
        flow: The flow.
        pod: The worker's Pod, for a flow whose status does not say yet when it began.
    """
    seconds = flow["spec"].get("activeDeadlineSeconds")
    started = (flow.get("status") or {}).get("startTime") or ((pod or {}).get("status") or {}).get("startTime")
    return float(seconds_of(started) + seconds) if seconds and started else None


def finish_late(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """End a flow that has not come to its end in time."""
    seconds = snapshot.flow["spec"]["activeDeadlineSeconds"]
    attempts = f" in {attempt.number} attempts" if attempt.number > 1 else ""
    message = f"the flow ran longer than {seconds} s{attempts} (spec.activeDeadlineSeconds)"
    return finish_failure(snapshot, attempt, "DeadlineExceeded", message)
