# SPDX-License-Identifier: Apache-2.0
"""Brings the steps of WorkflowTaskSets where they should be: snapshot, decision, deeds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from accelchain.argo.core.identity import NODE_ID, UID_LABEL, WORKFLOW_LABEL, WorkflowId
from accelchain_operators.kube.access import AccessReviews
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import DATA_FLOW, TASK_SET
from accelchain_operators.kube.store import Store
from accelchain_operators.kube.workflows import WorkflowReader
from accelchain_operators.reconcile.decisions import Decisions
from accelchain_operators.reconcile.owner import node_of
from accelchain_operators.reconcile.taskset import reconcile
from accelchain_operators.reconcile.taskset_state import (
    Access,
    NodeMemory,
    TaskSetPlan,
    TaskSetSnapshot,
    our_tasks,
    told_nodes,
    workflow_of,
)

logger = logging.getLogger(__name__)

TaskSetKey = tuple[str, str]
"""Namespace and name, which is that of the Workflow."""

Write = Callable[[], Awaitable[bool]]
"""Writes, and tells whether the TaskSet is to be looked at again for it, which no event says."""

AT_ONCE = 32
"""Flows that are written before the next look: at 100 calls a second a result waits 0.3 s for them."""
GONE = (404, 409)
"""It is gone, or another object has its name by now."""


@dataclass(slots=True)
class _Entry:
    """What is kept of a TaskSet between two looks."""

    id: WorkflowId
    workflow: WorkflowReader
    decisions: Decisions = field(default_factory=Decisions)
    memory: dict[str, NodeMemory] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    in_the_way: dict[str, JsonObject] = field(default_factory=dict)
    """DataFlows that have the name of a step's, and are not the Workflow's."""
    version: str = ""
    """The TaskSet's, as it was looked at or written."""
    quiet_since: float = 0.0
    poll_at: float | None = None
    """When the Workflow is to be read again, by the loop's clock."""


class TaskSets:
    """The work of the task-set controller.

    Args:
        client: The API.
        store: The cache.
        on_news: Has a TaskSet looked at.
        relist: Has a kind listed of which an object is gone.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        on_news: Callable[[TaskSetKey], None],
        relist: Callable[[ResourceType], None],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._on_news = on_news
        self._relist = relist
        self._clock = clock
        self._access = AccessReviews(client)
        self._entries: dict[TaskSetKey, _Entry] = {}
        self._flows: dict[str, dict[str, JsonObject]] = {}
        """DataFlows of Workflows by uid and name."""

    def flow_changed(self, before: JsonObject | None, after: JsonObject | None) -> None:
        """Take note of a DataFlow that changed."""
        for flow in (before, after):
            labels = (flow or {"metadata": {}})["metadata"].get("labels") or {}
            if flow is None or UID_LABEL not in labels:
                continue
            name, uid = flow["metadata"]["name"], labels[UID_LABEL]
            if flow is after:
                self._flows.setdefault(uid, {})[name] = flow
            elif (known := self._flows.get(uid)) is not None:
                known.pop(name, None)
                if not known:
                    del self._flows[uid]
            self._on_news((flow["metadata"]["namespace"], labels.get(WORKFLOW_LABEL, "")))

    async def work(self, key: TaskSetKey) -> float | None:
        """Look at a TaskSet and do what is to be done; return seconds until the next look.

        Raises:
            ApiError: the API does not answer, or refuses us.
        """
        task_set = self._store.get(TASK_SET, *key)
        id_ = workflow_of(task_set) if task_set is not None else None
        if task_set is None or id_ is None:
            self._entries.pop(key, None)
            return None
        entry = self._entries.get(key)
        if entry is not None and entry.id != id_:
            entry = None
        if not self._has_open_steps(task_set, id_, entry):
            self._entries.pop(key, None)  # most are of Workflows that have ended, which may be large
            return None
        if entry is None:
            entry = self._entries[key] = _Entry(id_, WorkflowReader(self._client, id_))
        plan = await self._decide(entry, task_set)
        return await self._carry_out(entry, task_set, plan)

    def _has_open_steps(self, task_set: JsonObject, id_: WorkflowId, entry: _Entry | None) -> bool:
        """Tell whether there are steps of ours, or results of such ones."""
        if our_tasks(task_set):
            return True
        flows = self._flows.get(id_.uid, {}).values()
        known = {node_of(flow) for flow in flows}
        known |= entry.memory.keys() if entry is not None else set()
        return not known.isdisjoint(told_nodes(task_set))

    async def _decide(self, entry: _Entry, task_set: JsonObject) -> TaskSetPlan:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        version = task_set["metadata"]["resourceVersion"]
        changed = version != entry.version
        if changed:
            entry.version, entry.quiet_since = version, self._clock()
            # Of an earlier try, perhaps.
            entry.in_the_way.clear()
            entry.refused.clear()
        if changed or entry.workflow.age == float("inf") or (entry.poll_at is not None and begun >= entry.poll_at):
            await self._read(entry)
        plan = self._plan(entry, task_set, None)
        # Reading takes the longest of all this, so it is done for deeds only, and once.
        if plan.max_age < entry.workflow.age and entry.workflow.age > loop.time() - begun:
            await self._read(entry)
            plan = self._plan(entry, task_set, None)
        if plan.asks and entry.workflow.view is not None:
            access = await self._access.may_create_flows(entry.id.namespace, entry.workflow.view.service_account)
            plan = self._plan(entry, task_set, access)
        entry.poll_at = None if plan.poll_after is None else loop.time() + plan.poll_after
        entry.decisions.keep(our_tasks(task_set))
        return plan

    async def _read(self, entry: _Entry) -> None:
        if await entry.workflow.read():
            entry.quiet_since = self._clock()

    def _plan(self, entry: _Entry, task_set: JsonObject, access: Access | None) -> TaskSetPlan:
        return reconcile(
            TaskSetSnapshot(
                task_set=task_set,
                workflow=entry.workflow.view,
                age=entry.workflow.age,
                flows=entry.in_the_way | self._flows.get(entry.id.uid, {}),
                access=access,
                refused=entry.refused,
                memory=entry.memory,
                quiet_since=entry.quiet_since,
                now=self._clock(),
                decide=entry.decisions.decide,
            )
        )

    async def _carry_out(self, entry: _Entry, task_set: JsonObject, plan: TaskSetPlan) -> float | None:
        if plan.nodes and not await self._tell(entry, task_set, plan):
            return 0.0
        entry.memory = dict(plan.memory)
        writes: list[Write] = [
            *(partial(self._patch, flow, patch) for flow, patch in plan.patches),
            *(partial(self._delete, flow) for flow in plan.deletes),
            *(partial(self._create, entry, flow) for flow in plan.creates),
        ]
        again = await _all(writes[:AT_ONCE])
        return 0.0 if again or len(writes) > AT_ONCE else plan.requeue_after

    async def _tell(self, entry: _Entry, task_set: JsonObject, plan: TaskSetPlan) -> bool:
        """Patch ``status.nodes`` of exactly what was looked at; False: it is another one by now."""
        meta = task_set["metadata"]
        # With the version: the controller may have taken a step out that we are about to tell of.
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": {"nodes": dict(plan.nodes)}}
        try:
            patched = await self._client.patch(TASK_SET, meta["name"], meta["namespace"], patch, subresource="status")
        except ApiError as error:
            if error.code not in GONE:
                raise
            await self._see(meta["namespace"], meta["name"])
            return False
        entry.version = patched["metadata"]["resourceVersion"]
        entry.quiet_since = self._clock()
        self._store.put(TASK_SET, patched)
        for id_, node in plan.nodes.items():
            if node is not None:
                logger.info("node %s: %s: %s", id_, node["phase"], node["message"])
        return True

    async def _see(self, namespace: str, name: str) -> None:
        """Read a TaskSet that is not what the cache says."""
        try:
            self._store.put(TASK_SET, await self._client.get(TASK_SET, name, namespace))
        except ApiError as error:
            if error.code != 404:
                raise
            self._relist(TASK_SET)
            if (ghost := self._store.get(TASK_SET, namespace, name)) is not None:
                self._store.remove(TASK_SET, ghost)

    async def _patch(self, flow: JsonObject, patch: JsonObject) -> bool:
        meta = flow["metadata"]
        metadata = {**patch.get("metadata", {}), "uid": meta["uid"]}
        try:
            patched = await self._client.patch(
                DATA_FLOW, meta["name"], meta["namespace"], {**patch, "metadata": metadata}
            )
        except ApiError as error:
            if error.code not in (*GONE, 422):
                raise
            self._relist(DATA_FLOW)
        else:
            self._store.put(DATA_FLOW, patched)
        return False

    async def _delete(self, flow: JsonObject) -> bool:
        meta = flow["metadata"]
        logger.info("DataFlow %s is of an earlier try: it is made anew", meta["name"])
        try:
            await self._client.delete(
                DATA_FLOW, meta["name"], meta["namespace"], uid=meta["uid"], propagation="Background"
            )
        except ApiError as error:
            if error.code not in GONE:
                raise
            self._relist(DATA_FLOW)
        return False  # the end of it is heard of

    async def _create(self, entry: _Entry, flow: JsonObject) -> bool:
        """Create a step's flow; what is in its way, or why it can't be, is part of the next look."""
        meta = flow["metadata"]
        try:
            created = await self._client.create(DATA_FLOW, flow)
        except ApiError as error:
            if error.code == 409:
                return await self._look_at(entry, meta["namespace"], meta["name"])
            if _is_refusal(error):
                entry.refused[meta["annotations"][NODE_ID]] = (
                    f"plugin.accelchain.dataflow: the Kubernetes API refuses it: {error.message}"
                )
                return True
            raise
        logger.info("DataFlow %s created for node %s", meta["name"], meta["annotations"][NODE_ID])
        self._store.put(DATA_FLOW, created)
        return False

    async def _look_at(self, entry: _Entry, namespace: str, name: str) -> bool:
        try:
            found = await self._client.get(DATA_FLOW, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return True  # it went away at once
        if (found["metadata"].get("labels") or {}).get(UID_LABEL) == entry.id.uid:
            self._store.put(DATA_FLOW, found)
        else:
            entry.in_the_way[name] = found
        return True


def _is_refusal(error: ApiError) -> bool:
    """Tell whether the API does not take an object as it is written; quotas and our own rights are another matter."""
    passes = "exceeded quota" in error.message or "cannot create resource" in error.message
    return error.code in (400, 422) or (error.code == 403 and not passes)


async def _all(writes: Sequence[Write]) -> bool:
    """Do writes at the same time; the first failure is told once all are done."""
    results = await asyncio.gather(*(write() for write in writes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return any(results)
