# SPDX-License-Identifier: Apache-2.0
"""Parallelism: Argo counts no nodes of plugins, so we do.

What counts for Argo (argoproj/argo-workflows v4.1.2, operator.go:checkParallelism, node_counters.go): Pods for the
Workflow's limit; Pods, steps and dags within a template for that template's. To these come our flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelchain.argo.core import flow as flows
from accelchain.argo.core.body import JsonObject, is_ours
from accelchain.argo.core.identity import NODE_ID, UID_LABEL
from accelchain.argo.core.workflow import WorkflowView, is_fulfilled


@dataclass(frozen=True, slots=True)
class OpenStep:
    """A step of ours that has not ended."""

    node_id: str
    has_flow_active: bool
    """It has a DataFlow that has not ended."""


def open_steps(workflow: WorkflowView, flow_objects: Iterable[JsonObject], asking: Iterable[str]) -> list[OpenStep]:
    """Return the steps of ours that have not ended, as far as they are known: what ``admit`` is to be given.

    Args:
        workflow: the Workflow.
        flow_objects: all DataFlows with its uid's label.
        asking: ids of nodes that ask now; the Workflow may not have them yet.
    """
    active = {
        (flow["metadata"].get("annotations") or {}).get(NODE_ID, "")
        for flow in flow_objects
        if (flow["metadata"].get("labels") or {}).get(UID_LABEL) == workflow.id.uid and not flows.has_ended(flow)
    }
    waiting = {
        id_
        for id_, node in (workflow.nodes or {}).items()
        if node.get("type") == "Plugin" and not _is_locked(node) and is_ours(workflow.template_of(node) or {})
    }
    # A flow goes on after its node where it completes when running: it must not hold the steps after it up.
    known = {id_ for id_ in active | waiting | set(asking) if id_ and not is_fulfilled(_phase(workflow, id_))}
    return [OpenStep(id_, id_ in active) for id_ in sorted(known)]


def admit(workflow: WorkflowView, open: Sequence[OpenStep]) -> frozenset[str]:
    """Return the ids of nodes that may have a DataFlow now: the same for the same arguments, in any order.

    Steps that have one keep it. The others come in the order in which their nodes began.

    Args:
        workflow: the Workflow. Where its nodes are offloaded, only our flows are counted, as one template.
        open: the steps of ours that have not ended.
    """
    nodes = workflow.nodes or {}
    active = {step.node_id for step in open if step.has_flow_active}
    boundary = {step.node_id: (nodes.get(step.node_id) or {}).get("boundaryID") or "" for step in open}
    taken = _active_pods(nodes) + len(active)
    within = _active_children(nodes) + Counter(boundary[id_] for id_ in active)
    limits = {id_: _parallelism(workflow, id_) for id_ in set(boundary.values())}
    # The TaskSet is written before the Workflow: whose template such a node is in is known a moment later.
    unknown_waits = workflow.nodes is not None and any(t.get("parallelism") for t in workflow.templates.values())
    admitted = set(active)
    waiting = {step.node_id for step in open} - active
    for id_ in sorted(waiting, key=lambda id_: ((nodes.get(id_) or {}).get("startedAt") or "~", id_)):
        if unknown_waits and id_ not in nodes:
            continue
        group = boundary[id_]
        limit = limits[group]
        if workflow.parallelism is not None and taken >= workflow.parallelism:
            break
        if limit is None or within[group] < limit:
            admitted.add(id_)
            taken += 1
            within[group] += 1
    return frozenset(admitted)


def _phase(workflow: WorkflowView, id_: str) -> str:
    return (workflow.node(id_) or {}).get("phase") or ""


def _is_running(node: JsonObject) -> bool:
    return node.get("phase") in ("Pending", "Running")


def _is_locked(node: JsonObject) -> bool:
    """Tell whether a node waits for a semaphore or a mutex."""
    return bool((node.get("synchronizationStatus") or {}).get("waiting"))


def _active_pods(nodes: Mapping[str, JsonObject]) -> int:
    return sum(node.get("type") == "Pod" and _is_running(node) and not _is_locked(node) for node in nodes.values())


def _active_children(nodes: Mapping[str, JsonObject]) -> Counter[str]:
    """Return by boundary how many of Argo's own nodes run in it."""
    return Counter(
        node.get("boundaryID") or ""
        for node in nodes.values()
        if node.get("type") in ("Pod", "Steps", "DAG") and _is_running(node)
    )


def _parallelism(workflow: WorkflowView, boundary: str) -> int | None:
    """Return the limit of the template whose steps or tasks are in a boundary; None: it has none."""
    node = workflow.node(boundary)
    template = workflow.template_of(node) if node else None
    return (template or {}).get("parallelism")
