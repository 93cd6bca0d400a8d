# SPDX-License-Identifier: Apache-2.0
"""A flow whose current attempt has a plan: its worker is made, followed, allowed to publish, and its end is read."""

from __future__ import annotations

from accelchain.api import DataFlow
from accelchain.chain.resolved import Problem
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Action, Actions, CreateOnce, Grant, JsonObject, removal
from accelchain_operators.reconcile.attempts import Attempt, is_lost, look_again_at
from accelchain_operators.reconcile.deadline import DEADLINE_GRACE, deadline_of, finish_late
from accelchain_operators.reconcile.document import WorkerDocument
from accelchain_operators.reconcile.ending import fail, fail_reported, fail_without_result, finish_success
from accelchain_operators.reconcile.individual import individual_statuses, left_over
from accelchain_operators.reconcile.models import parse
from accelchain_operators.reconcile.names import owner_reference
from accelchain_operators.reconcile.plan_document import token_digest
from accelchain_operators.reconcile.pod import pod_problem, running_since, token_secret, worker_pod, worker_watch
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.stopping import change_of_spec, reason_to_stop, stop, told_to_stop
from accelchain_operators.reconcile.times import rfc3339
from accelchain_operators.reconcile.waiting import conflict, layer_of

PROGRESS_PERIOD = 10.0
"""Seconds between two writes of a running flow's figures."""
END_GRACE = 30.0
"""Seconds that a worker which has reported its result gets to end, before its Pod is deleted."""
PUBLISH_GRACE = 120.0
"""Seconds that a worker gets to publish once it may."""
GRANT_SECONDS = 6.0
"""Seconds after which a worker begins no publication on a grant's word: 5 by its own clock (its fence), and the way."""
SILENCE = 60.0
"""Seconds after the start of a worker's container within which it is heard of."""


def success(snapshot: FlowSnapshot, attempt: Attempt) -> Actions | None:
    """Return the end of a flow whose worker has ended and published, or None.

    A Stream worker that was told to stop has published what it had, which is not the end of the flow.
    """
    final, end = attempt.final, attempt.end
    if final is None or not final.done or not attempt.over:
        return None
    code = end.exit_code if end is not None else None
    warnings = [f"the worker ended with exit code {code} after its work"] if code else []
    completion = end.finished_at if end is not None else ""
    return finish_success(snapshot, attempt, final, completion or rfc3339(snapshot.now), warnings)


def let_publish(snapshot: FlowSnapshot, attempt: Attempt) -> Actions | None:
    """Return what to do before an attempt is ended whose worker may be publishing at this moment; None: it is not.

    It was told that it may, and takes that for GRANT_SECONDS. It is told no more: either its end tells that it has
    published, and that counts, or it never will.
    """
    pod, document = attempt.pod, attempt.document
    if pod is None or attempt.over or document is None or document.phase != "Publishing":
        return None
    told = snapshot.granted_at.get(pod["metadata"]["uid"])
    if told is None or (left := told + GRANT_SECONDS - snapshot.now) <= 0:
        return None
    return Actions(requeue_after=left, watch_workers=worker_watch(pod, snapshot.token))


def go_on(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """Return what a flow with a plan needs next; one that ``success`` has no answer for."""
    pod, end, final = attempt.pod, attempt.end, attempt.final
    deadline = deadline_of(snapshot.flow, pod)
    late = None if deadline is None else deadline + DEADLINE_GRACE
    if late is not None and snapshot.now >= late and end is None:
        return let_publish(snapshot, attempt) or finish_late(snapshot, attempt)
    if reason := told_to_stop(snapshot.flow):
        return stop(snapshot, attempt, reason)
    if attempt.over and final is not None and final.reason != "Stopped":
        return fail_reported(snapshot, attempt, final, end.finished_at if end is not None else "")
    change = change_of_spec(snapshot, attempt)
    if reason := reason_to_stop(snapshot, attempt, change):
        # Its Pod stays: one that is deleted as it publishes may be gone before anybody saw its result.
        return let_publish(snapshot, attempt) or stop(snapshot, attempt, reason)
    if pod is None or (attempt.gone and not _was_seen(snapshot, attempt)):
        return _without_pod(snapshot, attempt)
    if attempt.over or is_lost(snapshot, pod):
        return fail_without_result(snapshot, attempt)
    return _follow(snapshot, attempt, pod, change, [] if late is None else [late])


def _follow(
    snapshot: FlowSnapshot,
    attempt: Attempt,
    pod: JsonObject,
    change: tuple[Problem, ...] | bool,
    times: list[float],
) -> Actions:
    """Keep a worker's flow and individual layer up to date, as long as it is there."""
    flow, document, plan = snapshot.flow, attempt.document, attempt.plan
    assert plan is not None, "what is followed was planned"
    since = snapshot.phase_since.get(pod["metadata"]["uid"], snapshot.now)
    if document is not None and document.final:
        if snapshot.now >= since + END_GRACE:
            return _end_without_pod(snapshot, attempt, document, rfc3339(since))
        times.append(since + END_GRACE)
    publishing = document is not None and document.phase == "Publishing" and not attempt.stopping
    if publishing:
        if snapshot.now >= since + PUBLISH_GRACE:
            message = (
                f"the worker {pod['metadata']['name']} did not publish within {PUBLISH_GRACE:g} s of being told to"
            )
            return let_publish(snapshot, attempt) or fail(snapshot, attempt, "WorkerLost", message)
        times.append(since + PUBLISH_GRACE)
    if attempt.stopping:
        times.append(look_again_at(snapshot, pod))
    layer = (*snapshot.functions, *snapshot.connections)
    stages: list[tuple[Action, ...]] = [
        (*_adopted(snapshot, attempt), *layer_of(flow, plan), *left_over(flow, plan, layer))
    ]
    if document is not None and document.phase != "Starting":
        stages.append(individual_statuses(flow, plan, layer, "Running", document))
        due = snapshot.progress_due or not states.is_true(flow, "Running")
        status = states.running(flow, pod, document) if due else states.own_status(flow)
        times.append(snapshot.now + PROGRESS_PERIOD)
    elif states.is_true(flow, "Running"):
        status = states.own_status(flow)  # the operators began anew and have not heard of the worker yet
    else:
        status = states.not_running(flow, _why_not_running(snapshot, pod, times))
    if isinstance(change, tuple):
        states.refuse_change(flow, status, change)
    else:
        states.accept_generation(flow, status)
    stages.append((states.apply_status(flow, status),))
    watches = worker_watch(pod, snapshot.token)
    grants = tuple(Grant(watch, attempt.number) for watch in watches if publishing)
    requeue = max(min(times) - snapshot.now, 0.0) if times else None
    return Actions(tuple(stages), requeue, watches, grants)


def _end_without_pod(snapshot: FlowSnapshot, attempt: Attempt, final: WorkerDocument, completion: str) -> Actions:
    """Take a worker at its word that has reported its end, and whose Pod does not end."""
    if final.done:
        warning = f"the worker did not end within {END_GRACE:g} s of its result: its Pod is deleted"
        return finish_success(snapshot, attempt, final, completion, [warning])
    if final.reason == "Stopped":
        return fail_without_result(snapshot, attempt)
    return fail_reported(snapshot, attempt, final, completion)


def _was_seen(snapshot: FlowSnapshot, attempt: Attempt) -> bool:
    """Tell whether the attempt's worker was ever heard of."""
    return bool((snapshot.flow.get("status") or {}).get("workers")) or attempt.document is not None


def _without_pod(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """A Pod that never reported is made (again); one whose worker was seen to run is a loss."""
    flow, plan, config_map = snapshot.flow, attempt.plan, attempt.config_map
    assert plan is not None and config_map is not None, "a Pod is made for a plan"
    if _was_seen(snapshot, attempt):
        return fail_without_result(snapshot, attempt)
    if plan["tokenSha256"] != token_digest(snapshot.token):
        # The Secret was deleted, and its token is lost: this plan opens to nobody. Make both anew.
        return Actions((removal([config_map]),))
    secret = CreateOnce(token_secret(flow, plan["node"], attempt.number, snapshot.token))
    pod = CreateOnce(worker_pod(parse(DataFlow, flow), flow, plan, snapshot.worker))
    return Actions((*conflict(snapshot), (*layer_of(flow, plan), secret), (pod,)))


def _adopted(snapshot: FlowSnapshot, attempt: Attempt) -> tuple[CreateOnce, ...]:
    """Return those of the attempt's objects that lost their owner, with it: the applier gives it back."""
    flow, plan = snapshot.flow, attempt.plan
    assert plan is not None, "what is adopted was planned"
    orphans = [
        obj
        for obj in (attempt.config_map, attempt.pod)
        if obj is not None and not any(o.get("controller") for o in obj["metadata"].get("ownerReferences") or ())
    ]
    return tuple(
        CreateOnce({**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner_reference(flow)]}})
        for obj in orphans
    )


def _why_not_running(snapshot: FlowSnapshot, pod: JsonObject, times: list[float]) -> states.Sentence:
    if problem := pod_problem(pod):
        return ("False", *problem)
    since = running_since(pod)
    if since is None or pod["metadata"]["uid"] in snapshot.documents:
        return states.NOT_STARTED
    if snapshot.now < since + SILENCE:
        times.append(since + SILENCE)
        return states.NOT_STARTED
    address = (pod.get("status") or {}).get("podIP", "")
    message = (
        f"the worker has run for {SILENCE:g} s and the operators have not heard of it: can they reach {address}:9090 "
        f"(NetworkPolicy)? Its log: kubectl logs {pod['metadata']['name']}"
    )
    return ("Unknown", "WorkerSilent", message)
