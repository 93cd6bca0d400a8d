# SPDX-License-Identifier: Apache-2.0
"""A flow whose current attempt has no plan yet: it is checked, it waits, and then its plan is made."""

from __future__ import annotations

from collections.abc import Collection

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.mounts import check_mounts
from accelchain.chain.resolve import check_devices
from accelchain.chain.resolved import ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import (
    Action,
    Actions,
    CreateOnce,
    Delete,
    Event,
    JsonObject,
    ObjectRef,
    removal,
)
from accelchain_operators.reconcile.attempts import Attempt, is_lost, look_again_at, next_attempt_at
from accelchain_operators.reconcile.catalog import Catalog, Resolution
from accelchain_operators.reconcile.deadline import deadline_of, finish_late
from accelchain_operators.reconcile.ending import forced, give_up
from accelchain_operators.reconcile.individual import individual_layer, left_over
from accelchain_operators.reconcile.models import parse, parse_valid
from accelchain_operators.reconcile.mounts import SecretGrant, secret_grants
from accelchain_operators.reconcile.names import attempt_label, worker_name
from accelchain_operators.reconcile.plan_document import AttemptTerms, build_plan, plan_config_map
from accelchain_operators.reconcile.pod import pod_end, token_secret, worker_pod
from accelchain_operators.reconcile.snapshot import FlowSnapshot

SECRET_PERIOD = 10.0
"""Seconds between two looks for a Secret that is missing: Secrets are not watched."""


def wait_or_start(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """Return what a flow without a plan needs next."""
    flow, now = snapshot.flow, snapshot.now
    deadline = deadline_of(flow)
    if deadline is not None and now >= deadline:
        return finish_late(snapshot, attempt)
    if attempt.pod is not None and not attempt.gone:
        return give_up(snapshot, attempt, "PlanLost", "the ConfigMap with the plan was deleted")
    busy = [pod for pod in attempt.others if pod_end(pod) is None and not is_lost(snapshot, pod)]
    tidy = _leftovers(snapshot, attempt, busy)
    result = validate(snapshot)
    if not isinstance(result, ResolvedFlow):
        status = states.refused(flow, result)
        new, old = status["conditions"][0], states.condition_of(flow, "Accepted")
        event = Event(flow, new["reason"], new["message"], warning=True)
        known = (old.get("status"), old.get("message")) == ("False", new["message"])
        return Actions((tidy, (states.apply_status(flow, status),), () if known else (event,)))
    if flow["spec"].get("suspend"):
        layer = removal((*snapshot.functions, *snapshot.connections))
        return Actions(((*tidy, *layer), (states.apply_status(flow, states.suspended(flow, result)),)))
    times = [look_again_at(snapshot, pod) for pod in busy]
    if deadline is not None:
        times.append(deadline)
    due = next_attempt_at(flow.get("status") or {})
    placement = _placement(flow, result, attempt)
    if busy:
        names = ", ".join(pod["metadata"]["name"] for pod in busy)
        message = f"attempt {attempt.number} waits until Pod {names} of the attempt before has ended"
        return _wait(snapshot, result, tidy, ("False", "WaitsForOldWorker", message), times)
    if now < due:
        old = states.condition_of(flow, "Running")
        message = old["message"] if old.get("reason") == "BackOff" else f"attempt {attempt.number} in {due - now:.0f} s"
        return _wait(snapshot, result, tidy, ("False", "BackOff", message), [*times, due])
    if placement is None:
        return _wait(snapshot, result, tidy, states.NOT_STARTED, times)
    return _start(snapshot, attempt, result, placement, tidy, times)


def validate(snapshot: FlowSnapshot) -> Resolution:
    """Return the flow with everything resolved, or why it can't be run."""
    catalog = Catalog(snapshot.chains, snapshot.types, snapshot.connection_types, snapshot.strategies)
    resolved = catalog.resolve(snapshot.flow)
    if not isinstance(resolved, ResolvedFlow):
        return resolved
    if found := check_mounts(parse(DataFlow, snapshot.flow).spec, resolved, confined=snapshot.worker.confined):
        return found
    # A flow that has its place keeps it: a node that is away for a moment does not refuse it.
    if not states.is_true(snapshot.flow, "Scheduled"):
        inventory = parse_valid(ComputeResource, snapshot.resources)
        if inventory and (found := check_devices(resolved, inventory)):
            return found
    return resolved


def plan_for(
    snapshot: FlowSnapshot, attempt: Attempt, resolved: ResolvedFlow, placement: list[FunctionPlacement]
) -> JsonObject:
    """Return the plan of the current attempt."""
    flow = parse(DataFlow, snapshot.flow)
    deadline = deadline_of(snapshot.flow)
    terms = AttemptTerms(
        number=attempt.number,
        start_frame=(snapshot.flow.get("status") or {}).get("position", 0),
        seconds_left=flow.spec.active_deadline_seconds if deadline is None else deadline - snapshot.now,
        token=snapshot.token,
    )
    resources = parse_valid(ComputeResource, snapshot.resources)
    return build_plan(flow, resolved, placement, resources, snapshot.worker, terms)


def layer_of(flow: JsonObject, plan: JsonObject) -> tuple[Action, ...]:
    """Return the individual layer of a plan."""
    return individual_layer(flow, plan, (flow.get("status") or {}).get("placement") or ())


def conflict(snapshot: FlowSnapshot) -> tuple[tuple[Action, ...], ...]:
    """Say why the worker does not begin, where a name that it needs is taken."""
    if not snapshot.conflict:
        return ()
    status = states.not_running(snapshot.flow, ("False", "NameTaken", snapshot.conflict))
    return ((states.apply_status(snapshot.flow, status),),)


def _start(
    snapshot: FlowSnapshot,
    attempt: Attempt,
    resolved: ResolvedFlow,
    placement: list[FunctionPlacement],
    tidy: tuple[Action, ...],
    times: list[float],
) -> Actions:
    flow = snapshot.flow
    nodes = sorted({entry.node for entry in placement})
    if len(nodes) > 1:
        message = f"the placement spans nodes {', '.join(nodes)}; edges between nodes are not supported by this version"
        return _wait(snapshot, resolved, tidy, ("False", "NotSupported", message), times)
    model = parse(DataFlow, flow)
    plan = plan_for(snapshot, attempt, resolved, placement)
    if model.spec.dry_run:
        return Actions((tidy, (states.apply_status(flow, states.planned(flow, resolved, plan)),)))
    lacking = [told for grant in secret_grants(model.spec) if (told := _lacking(grant, snapshot.missing_secrets))]
    if lacking:
        message = f"{'; '.join(lacking)}: create it, and the worker begins within {SECRET_PERIOD:.0f} s"
        sentence = ("False", "SecretNotFound", message)
        return _wait(snapshot, resolved, tidy, sentence, [*times, snapshot.now + SECRET_PERIOD])
    name = worker_name(flow, nodes[0], attempt.number)
    taken = [pod for pod in attempt.others if pod["metadata"]["name"] == name]
    if taken:  # five digits of two attempts' digests can be the same
        return Actions(((*tidy, *removal(taken)),))
    return Actions(
        (
            *conflict(snapshot),
            (*tidy, *left_over(flow, plan, (*snapshot.functions, *snapshot.connections))),
            (*layer_of(flow, plan), CreateOnce(token_secret(flow, nodes[0], attempt.number, snapshot.token))),
            (CreateOnce(plan_config_map(flow, plan)),),
            (CreateOnce(worker_pod(model, flow, plan, snapshot.worker)),),
        )
    )


def _lacking(grant: SecretGrant, missing: Collection[str]) -> str:
    """Return what a user must know of a Secret that is missing, or lacks a key; empty where nothing does."""
    if grant.secret in missing:
        return f"{grant.field}: there is no Secret {grant.secret} in this namespace"
    if grant.lack in missing:
        return f"{grant.field}: Secret {grant.secret} has no key {grant.key}"
    return ""


def _wait(
    snapshot: FlowSnapshot,
    resolved: ResolvedFlow,
    tidy: tuple[Action, ...],
    running: states.Sentence,
    times: list[float],
) -> Actions:
    status = states.apply_status(snapshot.flow, states.accepted(snapshot.flow, resolved, running))
    return Actions((tidy, (status,)), min(times) - snapshot.now if times else None)


def _leftovers(snapshot: FlowSnapshot, attempt: Attempt, busy: list[JsonObject]) -> tuple[Action, ...]:
    """Return the removal of what earlier attempts left: all but the log of the last one.

    Nothing that a Pod needs goes before that Pod has ended.
    """
    ended = sorted((pod for pod in attempt.others if pod_end(pod) is not None), key=attempt_label)
    in_use = {attempt_label(pod) for pod in busy}
    old = [
        obj
        for obj in snapshot.config_maps
        if attempt_label(obj) != attempt.number
        and attempt_label(obj) not in in_use
        and "deletionTimestamp" not in obj["metadata"]
    ]
    secrets = (ObjectRef("v1", "Secret", obj["metadata"]["name"], obj["metadata"]["namespace"]) for obj in old)
    return (
        *removal([*busy, *ended[:-1]]),
        *forced(snapshot, attempt.others),
        *removal(old),
        *(Delete(secret) for secret in secrets),
    )


def _placement(flow: JsonObject, resolved: ResolvedFlow, attempt: Attempt) -> list[FunctionPlacement] | None:
    """Return the scheduler's placement if it is one for this attempt, this generation and these functions."""
    scheduled = states.condition_of(flow, "Scheduled")
    if not states.is_true(flow, "Accepted") or scheduled.get("status") != "True":
        return None
    if states.placed_attempt(flow) != attempt.number:
        return None
    generation = flow["metadata"]["generation"]
    if not states.accepted_generation(flow) == scheduled.get("observedGeneration", generation) == generation:
        return None
    placement = [FunctionPlacement.model_validate(p) for p in (flow.get("status") or {}).get("placement") or ()]
    return placement if {p.function for p in placement} == {f.name for f in resolved.functions} else None
