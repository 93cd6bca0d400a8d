# SPDX-License-Identifier: Apache-2.0
"""Decisions of steps that nothing has changed for: hundreds of them are looked at whenever one does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from accelchain.argo.core.steps import Create, Decision, Situation, Wait, decide
from accelchain.argo.core.workflow import WorkflowView
from accelchain_operators.reconcile.actions import JsonObject

CREATE_HOLDS = 1.0
"""Seconds: a step that is to begin may run out of time meanwhile."""


@dataclass(frozen=True, slots=True)
class _Known:
    situation: Situation
    node: JsonObject | None
    decision: Decision
    until: float


class Decisions:
    """The last decision of each step of one TaskSet; ``decide`` answers as ``steps.decide`` would."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._compared: tuple[WorkflowView | None, WorkflowView | None, bool] = (None, None, True)

    def decide(self, s: Situation) -> Decision:
        """Return what to do for a step, which has a node id."""
        id_ = s.node_id or ""
        node = s.workflow.node(id_) if s.workflow is not None else None
        known = self._known.get(id_)
        if known is not None and s.now < known.until and self._same(known, s, node):
            if isinstance(known.decision, Wait) and known.decision.after is not None:
                return Wait(known.until - s.now, known.decision.message)
            return known.decision
        decision = decide(s)
        match decision:
            case Wait(after, _):
                until = float("inf") if after is None else s.now + after
            case Create():
                until = s.now + CREATE_HOLDS
            case _:
                until = s.now
        self._known[id_] = _Known(s, node, decision, until)
        return decision

    def _same(self, known: _Known, s: Situation, node: JsonObject | None) -> bool:
        before = known.situation
        return (
            before.admitted == s.admitted
            and _version(before.flow) == _version(s.flow)
            and before.told == s.told
            and known.node == node
            and self._same_but_nodes(before.workflow, s.workflow)
            and before.template == s.template
        )

    def _same_but_nodes(self, before: WorkflowView | None, now: WorkflowView | None) -> bool:
        """Compare what a decision reads of a Workflow beside the step's own node; once, not for each step."""
        if before is not self._compared[0] or now is not self._compared[1]:
            self._compared = before, now, before is now or _facts(before) == _facts(now)
        return self._compared[2]

    def keep(self, ids: Collection[str]) -> None:
        """Forget all other steps."""
        for id_ in self._known.keys() - set(ids):
            del self._known[id_]


def _version(flow: JsonObject | None) -> tuple[Any, ...]:
    return () if flow is None else (flow["metadata"]["uid"], flow["metadata"]["resourceVersion"])


def _facts(workflow: WorkflowView | None) -> WorkflowView | None:
    if workflow is None or workflow.nodes is None:
        return workflow
    return replace(workflow, nodes={})
