# SPDX-License-Identifier: Apache-2.0
"""Why a running attempt is given up though it did not fail: suspended, placed elsewhere, or changed.

The reason stands in the condition Running from when the worker is told to stop until it has ended. So an attempt that
was told to stop is given up even if the spec is changed back meanwhile, and its end is not taken for a failure.
"""

from __future__ import annotations

from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, JsonObject, removal
from accelchain_operators.reconcile.attempts import Attempt, is_lost, look_again_at
from accelchain_operators.reconcile.ending import give_up
from accelchain_operators.reconcile.plan_document import SOURCE_ANNOTATION, does_the_same, source_digest
from accelchain_operators.reconcile.pod import worker_watch
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.waiting import plan_for, validate

WHY = {
    "Suspending": "the flow is suspended (spec.suspend)",
    "PlacementChanged": "the flow has lost its place, or was placed elsewhere",
    "SpecChanged": "the spec was changed, and the flow is planned anew",
}
"""What Running says of an attempt that is given up, and why."""


def change_of_spec(snapshot: FlowSnapshot, attempt: Attempt) -> tuple[Problem, ...] | bool:
    """Tell whether the spec asks for another plan than the one that runs.

    Returns:
        True: it does. False: what runs is what it says. Problems: it does, and can't be run.
    """
    assert attempt.config_map is not None and attempt.plan is not None, "only what runs can be changed"
    made_from = (attempt.config_map["metadata"].get("annotations") or {}).get(SOURCE_ANNOTATION)
    if made_from is None or made_from == source_digest(snapshot.flow):
        return False  # chain and types may have changed since: what runs, runs by its plan
    resolved = validate(snapshot)
    if not isinstance(resolved, ResolvedFlow):
        return resolved
    placement = [FunctionPlacement.model_validate(p) for p in (snapshot.flow["status"].get("placement") or ())]
    if {entry.function for entry in placement} != {function.name for function in resolved.functions}:
        return True
    return not does_the_same(plan_for(snapshot, attempt, resolved, placement), attempt.plan)


def told_to_stop(flow: JsonObject) -> str:
    """Return the reason for which the attempt was told to stop before, or an empty string."""
    running = states.condition_of(flow, "Running")
    return str(running["reason"]) if running.get("status") == "False" and running["reason"] in WHY else ""


def reason_to_stop(snapshot: FlowSnapshot, attempt: Attempt, change: tuple[Problem, ...] | bool) -> str:
    """Return the reason for which the attempt is to be given up, or an empty string: it goes on."""
    if snapshot.flow["spec"].get("suspend"):
        return "Suspending"
    assert attempt.plan is not None, "only what is planned can be stopped"
    if not _is_placed_so(snapshot.flow, attempt.plan):
        return "PlacementChanged"
    return "SpecChanged" if change is True else ""


def stop(snapshot: FlowSnapshot, attempt: Attempt, reason: str) -> Actions:
    """Have the attempt's worker stopped; when it has ended, give the attempt up."""
    pod = attempt.pod
    if pod is None or attempt.over or is_lost(snapshot, pod):
        return give_up(snapshot, attempt, reason, WHY[reason])
    message = f"{WHY[reason]}; waits until Pod {pod['metadata']['name']} has ended"
    status = states.apply_status(snapshot.flow, states.stopping(snapshot.flow, reason, message))
    # Its stream is followed to the last: it tells how much a Stream flow published.
    watch = worker_watch(pod, snapshot.token)
    return Actions(((status,), removal([pod])), look_again_at(snapshot, pod) - snapshot.now, watch)


def _is_placed_so(flow: JsonObject, plan: JsonObject) -> bool:
    """Tell whether the placement is still the one that the plan was made from."""
    planned = {f["name"]: (plan["node"], f["device"], f["implementation"]) for f in plan["functions"]}
    placement = (flow.get("status") or {}).get("placement") or ()
    return planned == {p["function"]: (p["node"], p["device"], p["implementation"]) for p in placement}
