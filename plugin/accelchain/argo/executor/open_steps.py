# SPDX-License-Identifier: Apache-2.0
"""Which steps of a Workflow are open, from the agent's calls and the flows: what admission by parallelism counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from accelchain.argo.core.admission import OpenStep, admit, open_steps
from accelchain.argo.core.workflow import WorkflowView
from accelchain_operators.kube.client import JsonObject

FORGOTTEN_AFTER = 120.0
"""Seconds without a call: four times the longest requeue. The node was stopped, or its Workflow has ended."""


class OpenSteps:
    """The open steps of one Workflow; nodes by id, times in seconds of any steady clock."""

    def __init__(self) -> None:
        self._called: dict[str, float] = {}
        self._making: set[str] = set()

    def called(self, node: str, now: float) -> None:
        """Take in that the agent asked about a node that has no flow."""
        self._called.pop(node, None)
        self._called[node] = now
        # In the order of their calls: only those that are forgotten are looked at.
        while now - (oldest := next(iter(self._called.items())))[1] > FORGOTTEN_AFTER:
            del self._called[oldest[0]]

    @contextmanager
    def making(self, node: str) -> Iterator[None]:
        """Count a node as one that has a flow while the flow is being made: calls run side by side."""
        self._making.add(node)
        try:
            yield
        finally:
            self._making.discard(node)

    def place(self, node: str, workflow: WorkflowView, flows: Iterable[JsonObject]) -> int | None:
        """Return how many steps wait for parallelism before a node that has no flow; None: it may have one now."""
        if not _is_limited(workflow):
            return None  # all of this costs a look at every node and flow
        known = open_steps(workflow, flows, self._called.keys() | self._making)
        steps = [OpenStep(step.node_id, step.has_flow_active or step.node_id in self._making) for step in known]
        admitted = admit(workflow, steps)
        if node in admitted:
            return None
        waiting = {step.node_id for step in steps} - admitted
        return sum(_order(workflow, other) < _order(workflow, node) for other in waiting)


def _is_limited(workflow: WorkflowView) -> bool:
    """Tell whether parallelism is limited anywhere."""
    return workflow.parallelism is not None or any(
        "parallelism" in template for template in workflow.templates.values()
    )


def _order(workflow: WorkflowView, node: str) -> tuple[str, str]:
    """Return what ``admit`` sorts by."""
    return (workflow.node(node) or {}).get("startedAt") or "~", node
