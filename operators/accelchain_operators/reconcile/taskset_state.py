# SPDX-License-Identifier: Apache-2.0
"""What is known of a WorkflowTaskSet when it is looked at, and what is to be done then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.identity import WorkflowId
from accelchain.argo.core.steps import Decision, Situation
from accelchain.argo.core.workflow import WorkflowView
from accelchain_operators.reconcile.actions import JsonObject


@dataclass(frozen=True, slots=True)
class Access:
    """Whether the Workflow's ServiceAccount may create DataFlows."""

    allowed: bool
    message: str = ""
    """Why not, and what to do."""
    is_final: bool = True
    """False: it is asked again in a moment, since a Role may have been made just now."""


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """What the operator remembers of a step; a new process begins without it."""

    stage: str = ""
    """The message that the step's stage has."""
    since: float = 0.0
    """Since when (seconds since 1970)."""
    pushes: tuple[float, ...] = ()
    """When stages were told."""
    handed: str = ""
    """The uid of the DataFlow whose result was handed over; ``-`` where there was none; empty: nothing was."""
    seen: str = ""
    """The uid of the DataFlow that was seen to be open while the step was in the TaskSet."""
    missed_at: float | None = None
    """Since when a result that was handed over is no longer there, and the step still is."""


@dataclass(frozen=True, slots=True)
class TaskSetSnapshot:
    """All that a decision needs."""

    task_set: JsonObject
    workflow: WorkflowView | None
    """None: it is gone."""
    age: float
    """Seconds since it was read."""
    flows: Mapping[str, JsonObject]
    """DataFlows by name: the Workflow's, and those that have a name that one of its steps needs."""
    access: Access | None
    """None: nobody has asked."""
    refused: Mapping[str, str]
    """Why the API did not take a step's DataFlow, by node id."""
    memory: Mapping[str, NodeMemory]
    """By node id."""
    quiet_since: float
    """When TaskSet or Workflow changed last, as far as was seen."""
    now: float
    decide: Callable[[Situation], Decision]


@dataclass(frozen=True, slots=True)
class TaskSetPlan:
    """What is to be done, in this order."""

    nodes: Mapping[str, JsonObject | None]
    """Merge patch of ``status.nodes``; None takes a key out."""
    patches: tuple[tuple[JsonObject, JsonObject], ...]
    """DataFlows, each with its merge patch."""
    deletes: tuple[JsonObject, ...]
    """DataFlows of earlier tries."""
    creates: tuple[JsonObject, ...]
    asks: bool
    """Whether the ServiceAccount may create DataFlows has to be known first."""
    max_age: float
    """How old (s) what is known of the Workflow may be for all this; infinite: nothing is done by it."""
    memory: Mapping[str, NodeMemory]
    """What is to be remembered once ``nodes`` is written."""
    requeue_after: float | None
    """Seconds until the next look."""
    poll_after: float | None
    """Seconds until the Workflow is to be read again, which nothing else may tell of."""


def workflow_of(task_set: JsonObject) -> WorkflowId | None:
    """Return which Workflow a TaskSet is of; None: Argo did not make it."""
    meta = task_set["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner["kind"] == "Workflow" and owner["apiVersion"].startswith("argoproj.io/"):
            return WorkflowId(meta["namespace"], owner["name"], owner["uid"])
    return None


def our_tasks(task_set: JsonObject) -> dict[str, JsonObject]:
    """Return the templates of our steps by node id."""
    tasks = (task_set.get("spec") or {}).get("tasks") or {}
    return {id_: template for id_, template in tasks.items() if is_ours(template)}


def told_nodes(task_set: JsonObject) -> Mapping[str, JsonObject]:
    """Return ``status.nodes``."""
    nodes: Mapping[str, JsonObject] = (task_set.get("status") or {}).get("nodes") or {}
    return nodes
