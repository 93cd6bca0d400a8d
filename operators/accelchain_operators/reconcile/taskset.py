# SPDX-License-Identifier: Apache-2.0
"""The steps of one WorkflowTaskSet: which DataFlows they need, and what Argo's controller is told of them. Pure.

The controller (argoproj/argo-workflows v4.1.2, workflow/controller/taskset.go:reconcileTaskSet) copies every key of
``status.nodes`` over its node, whatever that node is by now, and writes the Workflow for it each time. It stops at a
key whose node it doesn't have. So a key is there only while there is news in it: a stage is taken out once the node
shows it, or can't any more, and no key is written or left for a node that has ended or vanished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from accelchain.argo.core.admission import OpenStep, admit, open_steps
from accelchain.argo.core.flow import cancellation, has_ended
from accelchain.argo.core.identity import NODE_STARTED_AT, REPORTED, UID_LABEL
from accelchain.argo.core.steps import (
    Create,
    Foreign,
    Patch,
    Replace,
    Report,
    Situation,
    Wait,
    errored,
    failed,
    flow_name_of,
)
from accelchain.argo.core.workflow import WorkflowView, is_fulfilled
from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.owner import node_of
from accelchain_operators.reconcile.taskset_state import (
    NodeMemory,
    TaskSetPlan,
    TaskSetSnapshot,
    our_tasks,
    told_nodes,
    workflow_of,
)

MAX_BYTES = 1_000_000
"""Of a TaskSet with the results in it: etcd takes 1.5 MB."""
RECENT = 1.0
"""Age in seconds of what is known of a Workflow by which results are handed over and flows made."""
FRESH = 0.1
"""Age in seconds of what is known of a Workflow by which a node with a result counts as missing."""
SETTLE = 1.0
"""Seconds that a stage has to last before it is told."""
STAGES, STAGES_PERIOD = 3, 600.0
"""Stages that are told of a step in so many seconds: each one costs one or two writes of the Workflow."""
LOST = 5.0
"""Seconds after which a result that was taken without its step being taken too counts as lost with the Workflow's
update: the controller takes the result first, then the step, then writes the Workflow."""
ACCESS_AGAIN = 2.0
SOON, ROOM, LATE = (0.25, 5.0), (1.0, 5.0), (1.0, 30.0)
"""Shortest and longest pause between two looks at the Workflow: for its update, for the end of an ordinary Pod that
counts for parallelism, and for what Argo does within its 10 s."""
_SHARE = 0.2
"""A look is late by a fifth of the time that nothing has happened for."""
_NO_FLOW = "-"


def reconcile(s: TaskSetSnapshot) -> TaskSetPlan:
    """Return what to do for a TaskSet now."""
    look = _Look(s)
    workflow = s.workflow
    if workflow is not None and workflow.id == look.id:
        for id_ in look.keys_without_a_step():
            look.nodes[id_] = None
            look.max_age = min(look.max_age, RECENT)
        look.admit(workflow)
        for id_, template in look.tasks.items():
            look.step(id_, template, workflow)
        look.hand_over()
    return look.plan()


class _Look:
    def __init__(self, s: TaskSetSnapshot) -> None:
        found = workflow_of(s.task_set)
        assert found is not None, "it is looked at for a Workflow"
        self.id = found
        self.s = s
        self.tasks = our_tasks(s.task_set)
        self.told = told_nodes(s.task_set)
        self.nodes: dict[str, JsonObject | None] = {}
        self.max_age = float("inf")
        self._memory: dict[str, NodeMemory] = {}
        self._results: dict[str, tuple[JsonObject, str]] = {}
        self._patches: list[tuple[JsonObject, JsonObject]] = []
        self._deletes: list[JsonObject] = []
        self._creates: list[JsonObject] = []
        self._asks = False
        self._waits: list[float] = []
        self._polls: list[float] = []
        self._admitted: frozenset[str] | None = None

    def plan(self) -> TaskSetPlan:
        return TaskSetPlan(
            self.nodes,
            tuple(self._patches),
            tuple(self._deletes),
            tuple(self._creates),
            self._asks,
            self.max_age,
            self._memory,
            min((*self._waits, *self._polls), default=None),
            min(self._polls, default=None),
        )

    def keys_without_a_step(self) -> Iterator[str]:
        """Yield the keys of steps of ours that left: one that stays would be copied over a node that is tried again."""
        tasks = (self.s.task_set.get("spec") or {}).get("tasks") or {}
        left = [id_ for id_ in self.told if id_ not in tasks]
        if left:
            made = {node_of(flow) for flow in self.s.flows.values() if self._is_own(flow)}
            yield from (id_ for id_ in left if id_ in made or id_ in self.s.memory)

    def admit(self, workflow: WorkflowView) -> None:
        """Find out which steps parallelism leaves room for."""
        limits = (workflow.parallelism, *(t.get("parallelism") for t in workflow.templates.values()))
        if all(limit is None for limit in limits):
            return  # all of this costs a look at every node
        over = {id_ for id_, told in self.told.items() if is_fulfilled(told.get("phase") or "")}
        over |= {id_ for id_, memory in self.s.memory.items() if memory.handed}
        steps = open_steps(workflow, self.s.flows.values(), self.tasks)
        self._admitted = admit(
            workflow, [OpenStep(o.node_id, o.has_flow_active) for o in steps if o.node_id not in over]
        )

    def step(self, id_: str, template: JsonObject, workflow: WorkflowView) -> None:
        """Look at one step."""
        s, node = self.s, workflow.node(id_)
        memory = self._memory[id_] = s.memory.get(id_, NodeMemory())
        told = self._told(id_, workflow, node)
        name = flow_name_of(template, self.id)
        flow = s.flows.get(name) if name else None
        admitted = self._admitted is None or id_ in self._admitted
        decision = s.decide(Situation(workflow, self.id, template, id_, flow, s.now, admitted, told))
        if flow is not None and not has_ended(flow):
            memory = self._memory[id_] = replace(memory, seen=flow["metadata"]["uid"])
        match decision:
            case Create(new):
                self._begin(id_, workflow, node, new, None)
            case Replace(old, _) if memory.seen == old["metadata"]["uid"] and NODE_STARTED_AT not in _annotations(old):
                # No retry: the update of the Workflow that had the node was lost, and the node was begun once more.
                assert node is not None
                self._patches.append((old, {"metadata": {"annotations": {NODE_STARTED_AT: node["startedAt"]}}}))
            case Replace(old, new):
                self._begin(id_, workflow, node, new, old)
            case Patch(metadata):
                assert flow is not None
                self._patches.append((flow, {"metadata": metadata}))
                self.max_age = min(self.max_age, RECENT)
            case Report(result, cancel):
                if cancel and flow is not None and not flow["spec"].get("cancel"):
                    self._patches.append((flow, cancellation(result)))
                self._report(id_, workflow, node, flow, result)
            case Wait(after, message):
                self._wait(id_, workflow, node, flow, told, after, message)
                if memory.missed_at is not None:
                    self._memory[id_] = replace(self._memory[id_], missed_at=None)
            case Foreign():
                raise AssertionError("foreign tasks are left out")

    def hand_over(self) -> None:
        """Write results, as many as the TaskSet has room for."""
        if not self._results:
            return
        room = MAX_BYTES - _bytes(self.s.task_set)
        # One at least, or a TaskSet that is too large by its steps would never get smaller.
        some = any(is_fulfilled(told.get("phase") or "") for told in self.told.values())
        for id_, (result, handed) in self._results.items():
            size = _bytes(result) + len(id_)
            if some and size > room:
                self._poll(LATE)
                continue
            room -= size
            some = True
            self.nodes[id_] = _whole(result)
            self._memory[id_] = replace(self._memory[id_], handed=handed, missed_at=None)
            self.max_age = min(self.max_age, RECENT)

    def _told(self, id_: str, workflow: WorkflowView, node: JsonObject | None) -> JsonObject | None:
        """Return what the TaskSet tells of a step, if that is still to be told; else have it taken out."""
        told = self.told.get(id_)
        if told is None:
            return None
        phase = told.get("phase") or ""
        lost = workflow.has_ended or (workflow.nodes is not None and node is None)
        if is_fulfilled(phase):
            # One that was taken stays where the controller has no right to take it out, and the controller looks at the
            # Workflow again, and goes on, only when the TaskSet changes.
            taken = node is not None and is_fulfilled(node["phase"])
            if not lost and not taken:
                return told
        elif not lost and not workflow.shutdown and phase and _waits_for(node, told):
            self._poll(LATE)
            return told
        self.nodes[id_] = None
        self.max_age = min(self.max_age, RECENT)
        return None

    def _begin(
        self, id_: str, workflow: WorkflowView, node: JsonObject | None, new: JsonObject, old: JsonObject | None
    ) -> None:
        access = self.s.access
        if why := self.s.refused.get(id_):
            self._report(id_, workflow, node, None, failed(why).result)
        elif access is None:
            self._asks = True
        elif not access.allowed and not access.is_final:
            self._waits.append(ACCESS_AGAIN)
        elif not access.allowed:
            self._report(id_, workflow, node, None, errored(access.message).result)
        elif old is not None:
            self._deletes.append(old)
            self.max_age = 0.0
        else:
            self._creates.append(new)
            self.max_age = min(self.max_age, RECENT)

    def _report(
        self, id_: str, workflow: WorkflowView, node: JsonObject | None, flow: JsonObject | None, result: JsonObject
    ) -> None:
        if workflow.nodes is not None and node is None:
            self.max_age = min(self.max_age, FRESH)  # it has come meanwhile, most likely
            self._poll(SOON)  # the controller would stop at it
            return
        memory = self._memory[id_]
        handed = str(flow["metadata"]["uid"]) if flow is not None else _NO_FLOW
        if memory.handed == handed or (flow is not None and REPORTED in _annotations(flow)):
            missed_at = self.s.now if memory.missed_at is None else memory.missed_at
            self._memory[id_] = replace(memory, handed=handed, missed_at=missed_at)
            if self.s.now < missed_at + LOST:
                self._waits.append(missed_at + LOST - self.s.now)
                return
            self.max_age = 0.0
        self._results[id_] = result, handed

    def _wait(
        self,
        id_: str,
        workflow: WorkflowView,
        node: JsonObject | None,
        flow: JsonObject | None,
        told: JsonObject | None,
        after: float | None,
        message: str,
    ) -> None:
        if told is not None and is_fulfilled(told["phase"]):
            self._note(id_, flow, told["phase"])
            self._poll(LATE)
        elif workflow.has_ended or (node is not None and is_fulfilled(node["phase"])):
            self._poll(LATE)  # its task was not taken out: a retry would not change the TaskSet
        else:
            if after is not None:
                self._waits.append(max(0.0, after))
            if workflow.nodes is not None and node is None:
                self._poll(SOON)
            elif workflow.shutdown:
                self._poll(LATE)
            elif node is not None:
                if self._admitted is not None and id_ not in self._admitted:
                    self._poll(ROOM)
                self._stage(id_, node, flow, told, message)

    def _stage(
        self, id_: str, node: JsonObject, flow: JsonObject | None, told: JsonObject | None, message: str
    ) -> None:
        """Tell how far a step is, if that is news."""
        now, memory = self.s.now, self._memory[id_]
        if memory.stage != message:
            memory = self._memory[id_] = replace(memory, stage=message, since=now)
        placed = bool(flow is not None and (flow.get("status") or {}).get("placement"))
        # A node that runs stays so: Argo times out what is pending.
        stage = {"phase": "Running" if placed or node["phase"] == "Running" else "Pending", "message": message}
        if _shows(node, stage) or (told is not None and _shows(told, stage)):
            return
        pushes = tuple(at for at in memory.pushes if at > now - STAGES_PERIOD)
        due = max(memory.since + SETTLE, pushes[0] + STAGES_PERIOD if len(pushes) >= STAGES else 0.0)
        if now < due:
            self._waits.append(due - now)
            return
        self.nodes[id_] = _whole(stage)
        self._memory[id_] = replace(memory, pushes=(*pushes, now))
        self.max_age = 0.0

    def _note(self, id_: str, flow: JsonObject | None, phase: str) -> None:
        """Remember that a result is handed over, in the flow too: the next process does not know it otherwise."""
        handed = str(flow["metadata"]["uid"]) if flow is not None else _NO_FLOW
        self._memory[id_] = replace(self._memory[id_], handed=handed)
        if flow is not None and self._is_own(flow) and _annotations(flow).get(REPORTED) != phase:
            self._patches.append((flow, {"metadata": {"annotations": {REPORTED: phase}}}))

    def _is_own(self, flow: JsonObject) -> bool:
        return bool((flow["metadata"].get("labels") or {}).get(UID_LABEL) == self.id.uid)

    def _poll(self, pauses: tuple[float, float]) -> None:
        """Have the Workflow read again so long after it was read: looks in between don't put that off."""
        shortest, longest = pauses
        pause = max(shortest, min(longest, _SHARE * (self.s.now - self.s.quiet_since)))
        self._polls.append(max(0.0, pause - self.s.age))


def _whole(result: JsonObject) -> JsonObject:
    """Return a result as a merge patch that leaves nothing of an earlier one."""
    return {"phase": None, "message": None, "outputs": None, "progress": None} | result


def _waits_for(node: JsonObject | None, told: JsonObject) -> bool:
    """Tell whether a node goes on and does not show yet what is told of it."""
    return node is not None and not is_fulfilled(node["phase"]) and not _shows(node, told)


def _shows(node: JsonObject, stage: JsonObject) -> bool:
    return all((node.get(key) or "") == (stage.get(key) or "") for key in ("phase", "message"))


def _annotations(flow: JsonObject) -> Mapping[str, str]:
    return flow["metadata"].get("annotations") or {}


def _bytes(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":")))
