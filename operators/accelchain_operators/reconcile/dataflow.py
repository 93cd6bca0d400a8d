# SPDX-License-Identifier: Apache-2.0
"""What a DataFlow needs next. Pure: a snapshot in, actions out; the same snapshot gives the same actions.

A flow passes three stretches. Until its plan exists (a ConfigMap), the spec is validated again and again and may be
changed. From then on the plan is what runs: chain, types and spec may change without effect. After its end nothing
is touched any more, so that logs and the individual layer can be read until the DataFlow is deleted.
"""

from __future__ import annotations

from pydantic import ValidationError

from accelchain.api import ComputeResource, ConnectionType, DataFlow, FunctionChain, FunctionType, SchedulingStrategy
from accelchain.api.data_flow import FunctionPlacement
from accelchain.chain.resolve import ChainError, check_devices, resolve_flow
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Action, Actions, CreateOnce, Delete, Event, JsonObject, ObjectRef
from accelchain_operators.reconcile.document import WorkerDocument, merged, parse_document
from accelchain_operators.reconcile.individual import individual_layer, individual_statuses
from accelchain_operators.reconcile.models import parse, parse_valid, problems_of
from accelchain_operators.reconcile.plan_document import build_plan, plan_config_map, plan_of, token_digest
from accelchain_operators.reconcile.pod import PodEnd, pod_end, pod_problem, token_secret, worker_pod, worker_watch
from accelchain_operators.reconcile.snapshot import FlowSnapshot

PROGRESS_PERIOD = 10.0
"""Seconds between two writes of a running flow's figures."""
DEADLINE_GRACE = 15.0
"""Seconds that a worker gets to notice its deadline by itself, before its Pod is deleted."""


def is_finished(flow: JsonObject) -> bool:
    """Tell whether a flow has come to its end."""
    return states.is_true(flow, "Succeeded") or states.is_true(flow, "Failed")


def needs_worker(flow: JsonObject) -> bool:
    """Tell whether a snapshot of this flow needs the worker's token."""
    return states.is_true(flow, "Scheduled") and not is_finished(flow) and "deletionTimestamp" not in flow["metadata"]


def reconcile(snapshot: FlowSnapshot) -> Actions:
    """Return what the flow needs next."""
    flow = snapshot.flow
    if "deletionTimestamp" in flow["metadata"]:
        return Actions()  # owner references do the rest
    if is_finished(flow):
        return _after_the_end(snapshot)
    plan = plan_of(snapshot.config_maps)
    return _before_the_plan(snapshot) if plan is None else _with_plan(snapshot, plan)


def _before_the_plan(snapshot: FlowSnapshot) -> Actions:
    flow = snapshot.flow
    result = _validate(snapshot)
    if not isinstance(result, ResolvedFlow):
        status = states.refused(flow, result)
        new = status["conditions"][0]
        old = states.condition_of(flow, "Accepted")
        event = Event(flow, new["reason"], new["message"], warning=True)
        known = (old.get("status"), old.get("message")) == ("False", new["message"])
        return Actions(((states.apply_status(flow, status),), () if known else (event,)))
    placement = _placement(flow, result)
    if placement is None:
        return Actions(((states.apply_status(flow, states.accepted(flow, result)),),))
    nodes = sorted({entry.node for entry in placement})
    if len(nodes) > 1:
        message = f"the placement spans nodes {', '.join(nodes)}; edges between nodes are not supported by this version"
        return Actions(((states.apply_status(flow, states.not_running(flow, "NotSupported", message)),),))
    resources = parse_valid(ComputeResource, snapshot.resources)
    plan = build_plan(parse(DataFlow, flow), result, placement, resources, snapshot.token)
    start = (
        (*_layer(flow, plan), CreateOnce(token_secret(flow, nodes[0], snapshot.token))),
        (CreateOnce(plan_config_map(flow, plan)),),
        (CreateOnce(worker_pod(flow, nodes[0], snapshot.worker_image)),),
    )
    return Actions((*_conflict(snapshot), *start))


def _validate(snapshot: FlowSnapshot) -> ResolvedFlow | tuple[Problem, ...]:
    """Return the flow with everything resolved, or why it can't be run."""
    try:
        flow = parse(DataFlow, snapshot.flow)
        resolved = resolve_flow(
            flow,
            chains={c.metadata.name: c for c in parse_valid(FunctionChain, snapshot.chains)},
            types=parse_valid(FunctionType, snapshot.types),
            connection_types={c.metadata.name: c for c in parse_valid(ConnectionType, snapshot.connection_types)},
            strategies={s.metadata.name: s for s in parse_valid(SchedulingStrategy, snapshot.strategies)},
        )
    except ValidationError as error:
        return (Problem("InvalidParameter", "spec", problems_of(error)),)
    except ChainError as error:
        return error.problems
    inventory = parse_valid(ComputeResource, snapshot.resources)
    # A flow that has its place keeps it: a node that is away for a moment does not refuse it.
    if inventory and not states.is_true(snapshot.flow, "Scheduled") and (found := check_devices(resolved, inventory)):
        return found
    return resolved


def _placement(flow: JsonObject, resolved: ResolvedFlow) -> list[FunctionPlacement] | None:
    """Return the scheduler's placement if it is one for this generation of the spec and these functions."""
    scheduled = states.condition_of(flow, "Scheduled")
    if not states.is_true(flow, "Accepted") or scheduled.get("status") != "True":
        return None
    generation = flow["metadata"]["generation"]
    if not states.accepted_generation(flow) == scheduled.get("observedGeneration", generation) == generation:
        return None
    placement = [FunctionPlacement.model_validate(p) for p in (flow.get("status") or {}).get("placement") or ()]
    return placement if {p.function for p in placement} == {f.name for f in resolved.functions} else None


def _layer(flow: JsonObject, plan: JsonObject) -> tuple[Action, ...]:
    return individual_layer(flow, plan, (flow.get("status") or {}).get("placement") or ())


def _conflict(snapshot: FlowSnapshot) -> tuple[tuple[Action, ...], ...]:
    """Say why the worker does not begin, where a name that it needs is taken."""
    if not snapshot.conflict:
        return ()
    status = states.not_running(snapshot.flow, "NameTaken", snapshot.conflict)
    return ((states.apply_status(snapshot.flow, status),),)


def _with_plan(snapshot: FlowSnapshot, plan: JsonObject) -> Actions:
    flow = snapshot.flow
    pod = next(iter(snapshot.pods), None)
    if pod is None:
        return _without_pod(snapshot, plan)
    document = _document(snapshot.documents.get(pod["metadata"]["uid"]), plan)
    if end := pod_end(pod):
        return _ended(snapshot, plan, pod, end, document)
    deadline = _deadline(plan, pod)
    if deadline is not None and snapshot.now >= deadline:
        message = f"the flow ran longer than {plan['deadlineSeconds']:g} s (spec.activeDeadlineSeconds)"
        return _finish(snapshot, plan, document, "DeadlineExceeded", message, states.rfc3339(snapshot.now))
    stages: list[tuple[Action, ...]] = [_layer(flow, plan)]
    requeue = None if deadline is None else deadline - snapshot.now
    if document is not None and document.phase != "Starting":
        layer = (*snapshot.functions, *snapshot.connections)
        stages.append(individual_statuses(flow, plan, layer, "Running", document))
        begins = not states.is_true(flow, "Running")
        due = begins or snapshot.progress_due
        status = states.running(flow, pod, document) if due else states.own_status(flow)
        requeue = PROGRESS_PERIOD if requeue is None else min(requeue, PROGRESS_PERIOD)
    elif states.is_true(flow, "Running"):
        status = states.own_status(flow)  # the operators began anew and have not heard of the worker yet
    else:
        status = states.not_running(flow, *(pod_problem(pod) or ("", "")))
    states.note_changed_spec(flow, status)
    stages.append((states.apply_status(flow, status),))
    return Actions(tuple(stages), requeue, worker_watch(pod, snapshot.token))


def _without_pod(snapshot: FlowSnapshot, plan: JsonObject) -> Actions:
    """A Pod that never reported is made (again); one whose worker was seen to run is a loss."""
    flow = snapshot.flow
    if (flow.get("status") or {}).get("workers"):
        message = "the worker's Pod was deleted before the flow ended"
        return _finish(snapshot, plan, None, "WorkerLost", message, states.rfc3339(snapshot.now))
    if plan["tokenSha256"] != token_digest(snapshot.token):
        # The Secret was deleted, and its token is lost: this plan opens to nobody. Make both anew.
        config_map = snapshot.config_maps[0]
        return Actions(((Delete(ObjectRef.of(config_map), config_map["metadata"]["uid"]),),))
    secret = CreateOnce(token_secret(flow, plan["node"], snapshot.token))
    pod = CreateOnce(worker_pod(flow, plan["node"], snapshot.worker_image))
    return Actions((*_conflict(snapshot), (*_layer(flow, plan), secret), (pod,)))


def _deadline(plan: JsonObject, pod: JsonObject) -> float | None:
    """Return when the Pod is deleted for being late (seconds since 1970), or None."""
    started = (pod.get("status") or {}).get("startTime")
    if not plan.get("deadlineSeconds") or not started:
        return None
    return float(states.seconds_of(started) + plan["deadlineSeconds"] + DEADLINE_GRACE)


def _ended(
    snapshot: FlowSnapshot, plan: JsonObject, pod: JsonObject, end: PodEnd, last: WorkerDocument | None
) -> Actions:
    """Read the end from the termination message; a stream that was cut loses nothing."""
    completion = end.finished_at or states.rfc3339(snapshot.now)
    final = _document(end.message, plan)
    if final is None or not final.final:
        final = last if last is not None and last.final else None
    if final is None:
        code = f" with exit code {end.exit_code}" if end.exit_code is not None else ""
        why = f" ({end.explanation})" if end.explanation else ""
        message = f"the worker ended{code} without a result{why}; see: kubectl logs {pod['metadata']['name']}"
        return _finish(snapshot, plan, last, "WorkerLost", message, completion)
    final = merged(final, last)
    if final.phase == "Succeeded":
        warnings = [] if not end.exit_code else [f"the worker ended with exit code {end.exit_code} after its work"]
        return _finish(snapshot, plan, final, "", "", completion, warnings)
    message = final.message or "the worker gave no message"
    if final.parameter and not message.startswith(final.parameter):
        message = f"{final.parameter}: {message}"
    return _finish(snapshot, plan, final, final.reason or "FunctionFailed", message, completion)


def _finish(
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


def _document(value: JsonObject | str | None, plan: JsonObject) -> WorkerDocument | None:
    """Return a worker's document without edges that the plan does not have: the API would refuse the whole status."""
    document = parse_document(value)
    if document is None:
        return None
    known = {
        (f"{c['from']['function']}.{c['from']['port']}", f"{c['to']['function']}.{c['to']['port']}")
        for c in plan["connections"]
    }
    return document.model_copy(update={"edges": tuple(e for e in document.edges if (e.source, e.target) in known)})


def _after_the_end(snapshot: FlowSnapshot) -> Actions:
    """Only a worker that overran its deadline is stopped; everything else stays for people to read."""
    if states.condition_of(snapshot.flow, "Failed").get("reason") != "DeadlineExceeded":
        return Actions()
    late = [p for p in snapshot.pods if pod_end(p) is None and "deletionTimestamp" not in p["metadata"]]
    return Actions((tuple(Delete(ObjectRef.of(p), p["metadata"]["uid"]) for p in late),)) if late else Actions()
