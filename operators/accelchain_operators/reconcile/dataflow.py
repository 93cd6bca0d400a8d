# SPDX-License-Identifier: Apache-2.0
"""What a DataFlow needs next. Pure: a snapshot in, actions out; the same snapshot gives the same actions.

A flow passes three stretches. Until its plan exists (a ConfigMap), the spec is validated again and again and may be
changed. From then on the plan is what runs: chain, types and spec may change without effect; only a placement that
differs from the plan (a device vanished before the flow ran) sends the flow back to the first stretch. After its end
nothing is touched any more, so that logs and the individual layer can be read until the DataFlow is deleted.
"""

from __future__ import annotations

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolve import check_devices
from accelchain.chain.resolved import ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import (
    Action,
    Actions,
    ApplyStatus,
    CreateOnce,
    Delete,
    Event,
    JsonObject,
    ObjectRef,
)
from accelchain_operators.reconcile.catalog import Catalog, Resolution
from accelchain_operators.reconcile.ending import document_of, ended, finish, finish_reported, has_result
from accelchain_operators.reconcile.individual import individual_layer, individual_statuses
from accelchain_operators.reconcile.models import parse, parse_valid
from accelchain_operators.reconcile.plan_document import build_plan, plan_config_map, plan_of, token_digest
from accelchain_operators.reconcile.pod import pod_end, pod_problem, token_secret, worker_pod, worker_watch
from accelchain_operators.reconcile.snapshot import FlowSnapshot

PROGRESS_PERIOD = 10.0
"""Seconds between two writes of a running flow's figures."""
DEADLINE_GRACE = 15.0
"""Seconds that a worker gets to notice its deadline by itself, before its Pod is deleted."""
END_GRACE = 30.0
"""Seconds that a worker which has reported its result gets to end, before its Pod is deleted."""


def is_finished(flow: JsonObject) -> bool:
    """Tell whether a flow has come to its end."""
    return states.is_true(flow, "Succeeded") or states.is_true(flow, "Failed")


def needs_worker(flow: JsonObject) -> bool:
    """Tell whether a snapshot of this flow needs the worker's token."""
    return states.is_true(flow, "Scheduled") and not is_finished(flow) and "deletionTimestamp" not in flow["metadata"]


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


def _validate(snapshot: FlowSnapshot) -> Resolution:
    """Return the flow with everything resolved, or why it can't be run."""
    catalog = Catalog(snapshot.chains, snapshot.types, snapshot.connection_types, snapshot.strategies)
    resolved = catalog.resolve(snapshot.flow)
    # A flow that has its place keeps it: a node that is away for a moment does not refuse it.
    if isinstance(resolved, ResolvedFlow) and not states.is_true(snapshot.flow, "Scheduled"):
        inventory = parse_valid(ComputeResource, snapshot.resources)
        if inventory and (found := check_devices(resolved, inventory)):
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
    document = None if pod is None else document_of(snapshot.documents.get(pod["metadata"]["uid"]), plan)
    end = None if pod is None else pod_end(pod)
    if not _is_placed_so(flow, plan) and not has_result(pod, end, document, plan):
        return _start_anew(snapshot, plan)
    if pod is None:
        return _without_pod(snapshot, plan)
    if end is not None:
        return ended(snapshot, plan, pod, end, document)
    deadline = _deadline(plan, pod)
    if deadline is not None and snapshot.now >= deadline:
        message = f"the flow ran longer than {plan['deadlineSeconds']:g} s (spec.activeDeadlineSeconds)"
        return finish(snapshot, plan, document, "DeadlineExceeded", message, states.rfc3339(snapshot.now))
    times = [] if deadline is None else [deadline]
    if document is not None and document.final:
        reported = snapshot.phase_since.get(pod["metadata"]["uid"], snapshot.now)
        if snapshot.now >= reported + END_GRACE:
            warning = f"the worker did not end within {END_GRACE:g} s of its result: its Pod is deleted"
            return finish_reported(snapshot, plan, document, states.rfc3339(reported), [warning])
        times.append(reported + END_GRACE)
    stages: list[tuple[Action, ...]] = [_layer(flow, plan)]
    if document is not None and document.phase != "Starting":
        layer = (*snapshot.functions, *snapshot.connections)
        stages.append(individual_statuses(flow, plan, layer, "Running", document))
        begins = not states.is_true(flow, "Running")
        due = begins or snapshot.progress_due
        status = states.running(flow, pod, document) if due else states.own_status(flow)
        times.append(snapshot.now + PROGRESS_PERIOD)
    elif states.is_true(flow, "Running"):
        status = states.own_status(flow)  # the operators began anew and have not heard of the worker yet
    else:
        status = states.not_running(flow, *(pod_problem(pod) or ("", "")))
    states.note_changed_spec(flow, status)
    stages.append((states.apply_status(flow, status),))
    requeue = min(times) - snapshot.now if times else None
    return Actions(tuple(stages), requeue, worker_watch(pod, snapshot.token))


def _is_placed_so(flow: JsonObject, plan: JsonObject) -> bool:
    """Tell whether the placement is still the one that the plan was made from."""
    planned = {f["name"]: (plan["node"], f["device"], f["implementation"]) for f in plan["functions"]}
    placement = (flow.get("status") or {}).get("placement") or ()
    return planned == {p["function"]: (p["node"], p["device"], p["implementation"]) for p in placement}


def _start_anew(snapshot: FlowSnapshot, plan: JsonObject) -> Actions:
    """Give up the plan. Its Pods go first: nothing of the old place may run when the next plan is made."""
    flow = snapshot.flow
    if snapshot.pods:
        names = ", ".join(pod["metadata"]["name"] for pod in snapshot.pods)
        message = f"placed on {plan['node']} before, and no longer: waits until Pod {names} has ended"
        obsolete = [pod for pod in snapshot.pods if "deletionTimestamp" not in pod["metadata"]]
    else:
        message = f"placed on {plan['node']} before, and no longer: the plan is made anew"
        obsolete = list(snapshot.config_maps)
    deletes = tuple(Delete(ObjectRef.of(obj), obj["metadata"]["uid"]) for obj in obsolete)
    return Actions(((states.apply_status(flow, states.withdrawn(flow, message)),), deletes))


def _without_pod(snapshot: FlowSnapshot, plan: JsonObject) -> Actions:
    """A Pod that never reported is made (again); one whose worker was seen to run is a loss."""
    flow = snapshot.flow
    if (flow.get("status") or {}).get("workers"):
        message = "the worker's Pod was deleted before the flow ended"
        return finish(snapshot, plan, None, "WorkerLost", message, states.rfc3339(snapshot.now))
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


def _after_the_end(snapshot: FlowSnapshot) -> Actions:
    """A worker that overran its deadline, or does not end, is stopped; everything else stays for people to read."""
    late = [p for p in snapshot.pods if pod_end(p) is None and "deletionTimestamp" not in p["metadata"]]
    return Actions((tuple(Delete(ObjectRef.of(p), p["metadata"]["uid"]) for p in late),)) if late else Actions()
