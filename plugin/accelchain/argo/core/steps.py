# SPDX-License-Identifier: Apache-2.0
"""What to do for a step: one decision for every front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelchain.argo.core import flow as flows
from accelchain.argo.core.artifacts import with_addresses
from accelchain.argo.core.body import PATH, Body, is_ours, parse_body, parse_identity
from accelchain.argo.core.deadline import Deadline, own_deadlines, seconds_of
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.identity import NODE_STARTED_AT, UID_LABEL, WorkflowId, attempt_name, flow_name, node_id
from accelchain.argo.core.outputs import check_outputs, outputs
from accelchain.argo.core.workflow import WorkflowView, is_fulfilled

JsonObject = dict[str, Any]
SOON = 1.0
"""Seconds until what comes in a moment is looked for again: the Workflow's update, a deletion."""
STALE = 3.0
"""Seconds until a step that seems to be over is looked at again: ``argo retry`` may have opened it anew."""
SKEW = 5.0
"""Seconds that the clocks of Argo's controller and of our operators may differ by. A flow that was reported has its
node's time recorded; one that has not most likely belongs to the node as it is."""
UNKNOWN_NODE = 60.0
"""Seconds after which a node that the Workflow does not have is taken for the author's mistake."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known of a step."""

    workflow: WorkflowView | None
    """None: it can't be read (forbidden); the step goes on without, and ``argo retry`` is not noticed."""
    id: WorkflowId
    template: JsonObject
    node_id: str | None
    """The task's key; None: computed from the body."""
    flow: JsonObject | None
    """The DataFlow of the name ``flow_name_of``, as it is now."""
    now: float
    """Seconds since 1970."""
    admitted: bool = True
    """Parallelism leaves room for it."""
    told: JsonObject | None = None
    """What ``status.nodes`` of the WorkflowTaskSet holds for it."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Not ours."""


@dataclass(frozen=True, slots=True)
class Create:
    """The DataFlow is to be created; one that exists by then is looked at again."""

    flow: JsonObject


@dataclass(frozen=True, slots=True)
class Replace:
    """The DataFlow of an earlier try is to be deleted (by its uid) and made anew."""

    old: JsonObject
    flow: JsonObject


@dataclass(frozen=True, slots=True)
class Patch:
    """The DataFlow's ``metadata`` is to be merged with this; then the step is looked at again."""

    metadata: JsonObject


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be told but the stage."""

    after: float | None
    """Seconds until the next look, if nothing else is heard; None: only then."""
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The node has ended."""

    result: JsonObject
    """``phase``, ``message`` and perhaps ``outputs``: Argo's NodeResult."""
    cancel: bool
    """The flow still runs, and is to be ended: ``flow.cancellation``."""


Decision = Foreign | Create | Replace | Patch | Wait | Report


def flow_name_of(template: JsonObject, workflow: WorkflowId) -> str | None:
    """Return the name of a step's DataFlow; None: it is foreign, or does not say which node it is."""
    if not is_ours(template):
        return None
    try:
        node, attempt = parse_identity(template)
    except StepError:
        return None  # decide() says why
    return flow_name(workflow, node, attempt or 0)


def failed(message: str, *, cancel: bool = False) -> Report:
    """Return the end of a step by its author's fault: also of one whose DataFlow the API refused."""
    return Report({"phase": "Failed", "message": flows.shortened(message)}, cancel)


def errored(message: str) -> Report:
    """Return the end of a step by our fault, or the cluster's."""
    return Report({"phase": "Error", "message": flows.shortened(message)}, cancel=False)


def decide(s: Situation) -> Decision:
    """Return what to do now. Total: a fault of the author is reported as Failed, one of ours as Error."""
    if not is_ours(s.template):
        return Foreign()
    try:
        return _decide(s)
    except StepError as error:
        return failed(str(error), cancel=_runs(s))
    except Exception as error:
        # The node shows it: whatever comes in, a server or an operator must live on for the other steps.
        return errored(f"this is a defect of accelchain: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class _Step:
    """A step whose body fits, with what the Workflow says of its node."""

    situation: Situation
    body: Body
    node_id: str
    node: JsonObject | None
    """None: the Workflow does not have it, or its nodes are not known."""

    @property
    def started_at(self) -> str:
        return (self.node or {}).get("startedAt") or ""

    @property
    def is_missing(self) -> bool:
        """The Workflow's nodes are known, and it is not one of them: its update follows the TaskSet's."""
        workflow = self.situation.workflow
        return workflow is not None and workflow.nodes is not None and self.node is None


def _decide(s: Situation) -> Decision:
    if is_fulfilled((s.told or {}).get("phase") or ""):
        return Wait(STALE, "The result has been handed over")
    node, attempt = parse_identity(s.template)
    name = attempt_name(node, attempt)
    computed = node_id(s.id.name, name)
    id_ = s.node_id or computed
    status = s.workflow.node(id_) if s.workflow else None
    if s.workflow is not None and (why := _is_over(s.workflow, s.id, id_, name, status)):
        return Wait(STALE, why)
    body = parse_body(s.template)
    if id_ != computed:
        raise StepError(
            f"{PATH}.node",
            f"this names another node than the step's own, {id_[:100]}: write "
            'node: "{{node.name}}", and attempt: "{{retries}}" where there is a retryStrategy.',
        )
    if (status or {}).get("type") == "Retry":
        raise StepError(f"{PATH}.attempt", 'the step has a retryStrategy: write attempt: "{{retries}}".')
    step = _Step(s, body, id_, status)
    return _begin(step, None) if s.flow is None else _follow(step, s.flow)


def _is_over(workflow: WorkflowView, asks: WorkflowId, id_: str, name: str, node: JsonObject | None) -> str:
    """Return why nothing is to be begun or told any more; empty: the step is open."""
    if workflow.id.uid != asks.uid:
        return "The Workflow is gone"
    if workflow.has_ended:
        return f"The Workflow has ended ({workflow.phase})"
    if workflow.shutdown and (workflow.shutdown != "Stop" or not workflow.is_on_exit(id_, name)):
        return f"The Workflow was told to stop ({workflow.shutdown})"
    if node is not None and is_fulfilled(node.get("phase") or ""):
        return f"The node has ended ({node['phase']})"
    return ""


def _begin(step: _Step, old: JsonObject | None) -> Decision:
    """Make the flow, in place of one of an earlier try."""
    s = step.situation
    spec = with_addresses(step.body.spec, s.template, s.workflow, step.node_id)
    check_outputs(s.template, step.body, spec)
    deadlines = _deadlines(step, None)
    if over := _over(deadlines, s.now):
        return failed(f"DeadlineExceeded: {over.message}")
    if not s.admitted:
        until = _until(deadlines, s.now)
        # A node that the Workflow does not have yet may wait for no more than its update.
        after = min(SOON, until or SOON) if step.is_missing else until
        return Wait(after, "Waits: the workflow's parallelism is reached")
    new = flows.new_flow(s.id, step.body, spec, step.node_id, step.started_at)
    return Create(new) if old is None else Replace(old, new)


def _follow(step: _Step, flow: JsonObject) -> Decision:
    """Say how a flow that is there goes on."""
    s, meta = step.situation, flow["metadata"]
    if (meta.get("labels") or {}).get(UID_LABEL) != s.id.uid:
        return errored(f"the DataFlow {meta['name']} exists already, and is not this step's: rename it.")
    if meta.get("deletionTimestamp"):
        return Wait(SOON, "Waits: the DataFlow is being deleted")
    recorded = (meta.get("annotations") or {}).get(NODE_STARTED_AT) or ""
    if _is_of_earlier_try(step, flow, recorded):
        return _begin(step, flow)
    if step.is_missing and not recorded and s.now > seconds_of(meta["creationTimestamp"]) + UNKNOWN_NODE:
        raise StepError(f"{PATH}.node", 'the Workflow has no such node: write node: "{{node.name}}".')
    if step.started_at and not recorded:
        return Patch({"annotations": {NODE_STARTED_AT: step.started_at}})
    if flows.has_ended(flow):
        return Wait(SOON, "Waits: the Workflow's update") if step.is_missing else _ended(step, flow)
    if flows.is_refused(flow):
        phase, message = flows.failure(flow)
        return Report({"phase": phase, "message": message}, cancel=True)
    deadlines = _deadlines(step, flow)
    if over := _over(deadlines, s.now):
        return failed(f"DeadlineExceeded: {over.message}", cancel=True)
    if step.body.complete_when == "Running" and flows.holds(flow, "Running") and not step.is_missing:
        return _succeeded(step, flow)
    until = _until(deadlines, s.now)
    return Wait(min(SOON, until or SOON) if step.is_missing else until, flows.stage(flow))


def _is_of_earlier_try(step: _Step, flow: JsonObject, recorded: str) -> bool:
    """Tell whether the node was begun anew since: ``argo retry`` changes nothing but the time."""
    if recorded and step.started_at:
        return recorded != step.started_at
    workflow = step.situation.workflow
    completed = (flow.get("status") or {}).get("completionTime")
    if workflow is None or not completed or not flows.has_ended(flow):
        return False
    began = seconds_of(step.started_at) if step.started_at else None
    if workflow.nodes is None:
        began = workflow.started  # offloaded: a retry begins the Workflow anew too
    return began is not None and seconds_of(completed) < began - SKEW


def _ended(step: _Step, flow: JsonObject) -> Report:
    if flows.holds(flow, "Succeeded"):
        return _succeeded(step, flow)
    phase, message = flows.failure(flow)
    return Report({"phase": phase, "message": message}, cancel=False)


def _succeeded(step: _Step, flow: JsonObject) -> Report:
    s = step.situation
    found = outputs(s.template, step.body, flow, s.workflow)
    return Report({"phase": "Succeeded", "message": flows.success(flow), "outputs": found}, cancel=False)


def _deadlines(step: _Step, flow: JsonObject | None) -> list[Deadline]:
    s = step.situation
    began = step.started_at or (flow["metadata"]["creationTimestamp"] if flow else "")
    first = ((flow or {}).get("status") or {}).get("startTime")
    found = own_deadlines(s.template, seconds_of(began) if began else None, seconds_of(first) if first else None)
    limit = s.workflow.deadline if s.workflow else None
    name = attempt_name(step.body.node, step.body.attempt)
    if s.workflow is not None and limit is not None and not s.workflow.is_on_exit(step.node_id, name):
        found.append(Deadline(limit, "the Workflow ran longer than its activeDeadlineSeconds"))
    return found


def _over(deadlines: list[Deadline], now: float) -> Deadline | None:
    passed = [deadline for deadline in deadlines if deadline.at <= now]
    return min(passed, key=lambda d: d.at) if passed else None


def _until(deadlines: list[Deadline], now: float) -> float | None:
    return min((deadline.at - now for deadline in deadlines), default=None)


def _runs(s: Situation) -> bool:
    """Tell whether this Workflow's own flow may still run."""
    labels = ((s.flow or {}).get("metadata") or {}).get("labels") or {}
    return s.flow is not None and labels.get(UID_LABEL) == s.id.uid and not flows.has_ended(s.flow)
