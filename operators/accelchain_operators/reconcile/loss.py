# SPDX-License-Identifier: Apache-2.0
"""Why a worker is no more that left no result, in a sentence for people."""

from __future__ import annotations

from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.attempts import Attempt, is_lost, node_of
from accelchain_operators.reconcile.pod import PodEnd
from accelchain_operators.reconcile.snapshot import FlowSnapshot

_DISRUPTIONS = {
    "PreemptionByScheduler": "it was preempted by a Pod of higher priority",
    "DeletionByTaintManager": "its node {node} is not ready, or was tainted",
    "EvictionByEvictionAPI": "it was evicted (kubectl drain, or another use of the eviction API)",
    "DeletionByPodGC": "its node {node} is gone",
    "TerminationByKubelet": "the kubelet of node {node} ended it: {message}",
}
"""Reasons of the Pod condition DisruptionTarget."""
_POD_REASONS = {
    "Evicted": "it was evicted from node {node}: {message}",
    "NodeLost": "its node {node} is lost",
    "Preempting": "it was preempted by a critical Pod on node {node}",
    "Preempted": "it was preempted by a Pod of higher priority",
    "Terminated": "node {node} was shut down: {message}",
    "Shutdown": "node {node} was shut down: {message}",
    "NodeShutdown": "node {node} was shut down: {message}",
}
"""Values of a Pod's status.reason."""


def why_lost(snapshot: FlowSnapshot, attempt: Attempt) -> str:
    """Return why the attempt's worker ended, or vanished, without a result."""
    pod = attempt.pod
    if pod is None:
        return "the worker's Pod was deleted before the flow ended (by hand, or by another controller)"
    name = pod["metadata"]["name"]
    if not attempt.gone and attempt.end is None and is_lost(snapshot, pod):
        return f"the worker's Pod {name} was lost: its node {node_of(pod)} is not ready, and the Pod does not end"
    if cause := _cause(pod, attempt.end):
        return f"the worker's Pod {name} was lost: {cause}"
    if attempt.stopping:
        return f"the worker's Pod {name} was deleted before the flow ended (by hand, or by another controller)"
    end = attempt.end
    code = f" with exit code {end.exit_code}" if end is not None and end.exit_code is not None else ""
    why = f" ({end.explanation})" if end is not None and end.explanation else ""
    return f"the worker ended{code} without a result{why}; see: kubectl logs {name}"


def _cause(pod: JsonObject, end: PodEnd | None) -> str:
    status = pod.get("status") or {}
    words = {"node": node_of(pod), "message": status.get("message") or "no reason given"}
    if end is not None and end.out_of_memory:
        return "it ran out of memory (OOMKilled); raise its memory limit in the operators' worker options"
    if template := _POD_REASONS.get(status.get("reason", "")):
        return template.format(**words)
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            template = _DISRUPTIONS.get(condition.get("reason", ""), "it was disrupted: {message}")
            return template.format(node=words["node"], message=condition.get("message") or words["message"])
    return ""
