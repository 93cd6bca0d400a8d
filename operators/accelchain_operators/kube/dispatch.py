# SPDX-License-Identifier: Apache-2.0
"""Which keys have to be looked at when an object changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.kube.owners import FlowKey
from accelchain_operators.kube.store import Store
from accelchain_operators.reconcile.attempts import current_config_map
from accelchain_operators.reconcile.dataflow import is_finished
from accelchain_operators.reconcile.names import is_paused

CHILDREN = (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.POD, kinds.CONFIG_MAP)
ABSTRACTS = (
    kinds.FUNCTION_CHAIN,
    kinds.FUNCTION_TYPE,
    kinds.CONNECTION_TYPE,
    kinds.SCHEDULING_STRATEGY,
    kinds.COMPUTE_RESOURCE,
)


class Dispatch:
    """Fans a change out to the controllers' queues.

    Args:
        store: The cache that changed.
        flow: Has a flow looked at (namespace, name).
        chain: Has a FunctionChain looked at (namespace, name).
        type: Has a FunctionType looked at (name).
        schedule: Has all flows placed.
        pod_gone: Told of a Pod that was deleted, as it was last.
        task_set: Has a WorkflowTaskSet looked at (namespace, name).
        flow_changed: Told of a DataFlow before and after a change.
    """

    def __init__(
        self,
        store: Store,
        *,
        flow: Callable[[FlowKey], None],
        chain: Callable[[FlowKey], None],
        type: Callable[[str], None],
        schedule: Callable[[], None],
        pod_gone: Callable[[JsonObject], None],
        task_set: Callable[[FlowKey], None],
        flow_changed: Callable[[JsonObject | None, JsonObject | None], None],
    ) -> None:
        self._store = store
        self._flow = flow
        self._chain = chain
        self._type = type
        self._schedule = schedule
        self._pod_gone = pod_gone
        self._task_set = task_set
        self._flow_changed = flow_changed

    def changed(self, type: ResourceType, before: JsonObject | None, after: JsonObject | None) -> None:
        """Take note of a change."""
        obj = after or before
        assert obj is not None
        meta = obj["metadata"]
        if type == kinds.DATA_FLOW:
            self._flow((meta["namespace"], meta["name"]))
            self._flow_changed(before, after)
            if _for_scheduler(before) != _for_scheduler(after):
                self._schedule()
        elif type == kinds.TASK_SET:
            self._task_set((meta["namespace"], meta["name"]))
        elif type in CHILDREN:
            if type == kinds.POD and after is None:
                self._pod_gone(obj)
            for name in {_owning_flow(before), _owning_flow(after)} - {""}:  # one that lost its owner is given back
                self._flow((meta["namespace"], name))
        elif type in ABSTRACTS and _spec_changed(before, after):
            self._abstract_changed(type, meta)

    def _abstract_changed(self, type: ResourceType, meta: JsonObject) -> None:
        self._schedule()
        for flow in self._store.all(kinds.DATA_FLOW, meta.get("namespace")):
            # What already runs, runs by its plan.
            config_maps = self._store.owned(kinds.CONFIG_MAP, flow["metadata"]["uid"])
            if not is_finished(flow) and current_config_map(flow, config_maps) is None:
                self._flow((flow["metadata"]["namespace"], flow["metadata"]["name"]))
        if type == kinds.FUNCTION_CHAIN:
            self._chain((meta["namespace"], meta["name"]))
        elif type == kinds.FUNCTION_TYPE:
            for other in self._store.all(kinds.FUNCTION_TYPE):
                self._type(other["metadata"]["name"])
            for chain in self._store.all(kinds.FUNCTION_CHAIN):
                self._chain((chain["metadata"]["namespace"], chain["metadata"]["name"]))


def _owning_flow(obj: JsonObject | None) -> str:
    """Return the name of the DataFlow that controls an object, or an empty string."""
    for owner in (obj or {"metadata": {}})["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == kinds.DATA_FLOW.kind:
            return str(owner["name"])
    return ""


def _spec_changed(before: JsonObject | None, after: JsonObject | None) -> bool:
    """Tell whether more than a status changed: our own Ready conditions must not set everything going again."""
    return before is None or after is None or _generation(before) != _generation(after)


def _generation(obj: JsonObject) -> tuple[Any, ...]:
    meta = obj["metadata"]
    return meta["uid"], meta.get("generation"), "deletionTimestamp" in meta


def _for_scheduler(flow: JsonObject | None) -> tuple[Any, ...] | None:
    """Return what the scheduler looks at in a flow; figures of a running flow are not among it."""
    if flow is None:
        return None
    status = flow.get("status") or {}
    conditions = [(c["type"], c["status"], c.get("observedGeneration")) for c in status.get("conditions") or ()]
    suspended = any(c.get("reason") == "Suspended" for c in status.get("conditions") or ())
    attempt = status.get("attempt"), status.get("placedAttempt"), suspended
    return *_generation(flow), is_paused(flow), status.get("placement"), attempt, conditions
