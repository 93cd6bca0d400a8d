# SPDX-License-Identifier: Apache-2.0
"""All controllers, wired: store, queues, reconcilers, applier."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from accelchain_operators.kube import figures, kinds
from accelchain_operators.kube.applier import Applier
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.controller import Controller
from accelchain_operators.kube.dispatch import Dispatch
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.flows import Flows
from accelchain_operators.kube.health import Signs
from accelchain_operators.kube.heartbeats import Heartbeats
from accelchain_operators.kube.lease import boot_time
from accelchain_operators.kube.meter import Meter
from accelchain_operators.kube.owners import FlowKey, Owners
from accelchain_operators.kube.separation import CONTROLLERS, READS, watched
from accelchain_operators.kube.store import Store
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import PERIOD, Sync
from accelchain_operators.kube.tasksets import TaskSets
from accelchain_operators.reconcile import schedule
from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.chains import reconcile_chain, reconcile_type
from accelchain_operators.reconcile.worker_options import WorkerOptions

logger = logging.getLogger(__name__)

CATCH_UP_PAUSE = 1.0
"""Seconds between two tries to list everything."""
CHAIN_MANAGER = "accelchain-chain"
SCHEDULER_MANAGER = "accelchain-scheduler"


class Operators:
    """The controllers of docs/architecture.md §4, but the node agent; any of them, on one store.

    Args:
        client: The API.
        worker: How worker Pods are made.
        resync_period: Seconds between two lists of everything.
        controllers: Which of ``separation.READS``.
        namespaces: Whose flows and chains; everybody's where it is empty.
        home: Namespace of the node agents' Leases; no heartbeats are looked at where it is empty.
        meter: Told what happens.
    """

    def __init__(
        self,
        client: KubeClient,
        worker: WorkerOptions,
        resync_period: float = PERIOD,
        *,
        controllers: Sequence[str] = CONTROLLERS,
        namespaces: Sequence[str] = (),
        home: str = "",
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self.signs = Signs()
        self.store = Store(self._changed)
        self.sync = Sync(
            client,
            self.store,
            resync_period,
            watched=watched(controllers),
            namespaces=namespaces,
            on_heard=self._heard,
        )
        instance = os.environ.get("POD_NAME") or socket.gethostname()
        recorder = Recorder(client, instance, time.time)
        self._applier = Applier(client, self.store, recorder, self.sync.relist, time.time)
        self._streams = Streams(lambda key: self._flows.queue.add(key), time.time)
        self._owners = Owners(client, lambda key: self._flows.queue.add(key))
        flows = Flows(
            client,
            self.store,
            self.sync,
            self._streams,
            self._applier,
            self._owners,
            worker,
            self._stale_nodes,
            time.time,
        )
        task_sets = TaskSets(
            client, self.store, lambda key: self._task_sets.queue.add(key), self.sync.relist, time.time
        )
        self._placements = figures.Placements(self._meter, boot_time)
        self._messages_told = 0.0
        made: dict[str, list[Controller[Any]]] = {name: [] for name in controllers}

        def make(part: str, name: str, work: Any, kind: ResourceType | None, workers: int = 4) -> Controller[Any]:
            # What this process does not run is told to no meter.
            runs = part in made
            describe = _describe(self.store, kind)
            controller: Controller[Any] = Controller(
                name, work, workers, describe=describe, meter=self._meter if runs else None
            )
            if runs:
                made[part].append(controller)
            return controller

        self._flows: Controller[FlowKey] = make("dataflow", "dataflow", flows.work, kinds.DATA_FLOW, workers=8)
        self._chains: Controller[FlowKey] = make("chain", "functionchain", self._chain, kinds.FUNCTION_CHAIN)
        self._types: Controller[str] = make("chain", "functiontype", self._type, kinds.FUNCTION_TYPE)
        # One key: a placement is decided with all flows in view.
        self._schedule: Controller[str] = make("scheduler", "scheduler", self._place, None, workers=1)
        self._task_sets: Controller[FlowKey] = make("taskset", "taskset", task_sets.work, kinds.TASK_SET, workers=8)
        self.controllers: Mapping[str, Sequence[Controller[Any]]] = made
        self._heartbeats: Heartbeats | None = None
        if home and ("scheduler" in made or "dataflow" in made):
            self._heartbeats = Heartbeats(client, home, self._nodes_changed, boot_time)
        self._dispatch = Dispatch(
            self.store,
            flow=self._flows.queue.add if "dataflow" in made else _nothing,
            chain=self._chains.queue.add if "chain" in made else _nothing,
            type=self._types.queue.add if "chain" in made else _nothing,
            schedule=self._schedule_all if "scheduler" in made else _nothing,
            pod_gone=flows.pod_gone if "dataflow" in made else _nothing,
            task_set=self._task_sets.queue.add if "taskset" in made else _nothing,
            flow_changed=task_sets.flow_changed if "taskset" in made else _nothing,
        )
        self._tell_figures()

    def busy(self) -> dict[str, tuple[float, ...]]:
        """Return by controller for how long (s) each key at work has been so."""
        return {c.name: c.queue.state().busy for group in self.controllers.values() for c in group}

    async def run(self) -> None:
        """Watch and work until cancelled; call ``sync.first`` before."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep(), name="store")
            for name in self.controllers:
                group.create_task(self.control(name), name=name)

    async def keep(self) -> None:
        """Keep the store true, and write nothing, until cancelled; call ``sync.first`` before."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sync.run(), name="sync")
            if self._heartbeats is not None:
                group.create_task(self._heartbeats.run(), name="heartbeats")

    async def catch_up(self, name: str) -> None:
        """List what a controller reads, until the API answers.

        Raises:
            ApiError: the API refuses.
        """
        while True:
            try:
                await self.sync.refresh(*READS[name])
            except ApiError as error:
                if not error.transient:
                    raise
                logger.warning("%s waits for the API: %s", name, error)
                await asyncio.sleep(CATCH_UP_PAUSE)
            else:
                return

    async def control(self, name: str) -> None:
        """Do the work of one of the controllers until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for controller in self.controllers[name]:
                    group.create_task(controller.run(), name=controller.name)
        finally:
            if name == "dataflow":
                await self._streams.close()
                await self._owners.close()

    def _changed(self, type: ResourceType, before: JsonObject | None, after: JsonObject | None) -> None:
        if type == kinds.DATA_FLOW:
            self._placements.changed(before, after)
        self._dispatch.changed(type, before, after)

    def _heard(self, type: ResourceType) -> None:
        self.signs.heard[type.plural] = self.signs.answered = boot_time()

    def _stale_nodes(self) -> frozenset[str]:
        return self._heartbeats.stale() if self._heartbeats is not None else frozenset()

    def _nodes_changed(self) -> None:
        if "scheduler" in self.controllers:
            self._schedule_all()
        if "dataflow" in self.controllers:
            for flow in self.store.all(kinds.DATA_FLOW):
                self._flows.queue.add((flow["metadata"]["namespace"], flow["metadata"]["name"]))

    def _schedule_all(self) -> None:
        self._schedule.queue.add("all")

    def _tell_figures(self) -> None:
        """Have each figure told by one operator only, or sums over all of them would count twice."""
        if "dataflow" in self.controllers:
            about = "DataFlows by phase."
            self._meter.gauge("accelchain_dataflows", about, "phase", lambda: figures.flows_by_phase(self.store))
        if "scheduler" in self.controllers:
            about = "Devices of all nodes by type, the host not counted."
            self._meter.gauge("accelchain_devices", about, "type", lambda: figures.devices_by_type(self.store))
            about = "Devices that no flow is placed on, by type."
            free = figures.free_devices_by_type
            self._meter.gauge("accelchain_devices_free", about, "type", lambda: free(self.store))

    async def _chain(self, key: FlowKey) -> float | None:
        chain = self.store.get(kinds.FUNCTION_CHAIN, *key)
        if chain is None:
            return None
        actions = reconcile_chain(chain, self.store.all(kinds.FUNCTION_TYPE))
        return await self._apply(actions, CHAIN_MANAGER)

    async def _type(self, name: str) -> float | None:
        function_type = self.store.get(kinds.FUNCTION_TYPE, None, name)
        if function_type is None:
            return None
        actions = reconcile_type(function_type, self.store.all(kinds.FUNCTION_TYPE))
        return await self._apply(actions, CHAIN_MANAGER)

    async def _place(self, _key: str) -> float | None:
        store, now = self.store, time.time()
        messages_due = now - self._messages_told >= schedule.MESSAGE_PERIOD
        actions = schedule.reconcile(
            schedule.ScheduleSnapshot(
                flows=store.all(kinds.DATA_FLOW),
                chains=store.all(kinds.FUNCTION_CHAIN),
                types=store.all(kinds.FUNCTION_TYPE),
                connection_types=store.all(kinds.CONNECTION_TYPE),
                strategies=store.all(kinds.SCHEDULING_STRATEGY),
                resources=store.all(kinds.COMPUTE_RESOURCE),
                stale_nodes=self._stale_nodes(),
                messages_due=messages_due,
            )
        )
        if messages_due and actions.stages:
            self._messages_told = now
        return await self._apply(actions, SCHEDULER_MANAGER)

    async def _apply(self, actions: Actions, manager: str) -> float | None:
        await self._applier.run(actions, manager)
        return actions.requeue_after


def _nothing(*_: object) -> None:
    pass


def _describe(store: Store, kind: ResourceType | None) -> Any:
    """Return what tells log lines which object a key is."""

    def describe(key: Any) -> dict[str, str]:
        if kind is None:
            return {}
        namespace, name = key if isinstance(key, tuple) else (None, key)
        found = store.get(kind, namespace, name)
        return {"namespace": namespace or "", "name": name, "uid": found["metadata"]["uid"] if found else ""}

    return describe
