# SPDX-License-Identifier: Apache-2.0
"""All controllers, wired: store, queues, reconcilers, applier."""

from __future__ import annotations

import asyncio
import os
import socket
import time

from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier
from accelchain_operators.kube.client import KubeClient
from accelchain_operators.kube.controller import Controller
from accelchain_operators.kube.dispatch import Dispatch
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.flows import MANAGER, FlowKey, Flows
from accelchain_operators.kube.store import Store
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import PERIOD, Sync
from accelchain_operators.reconcile import schedule
from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.chains import reconcile_chain, reconcile_type

CHAIN_MANAGER = "accelchain-chain"
SCHEDULER_MANAGER = "accelchain-scheduler"


class Operators:
    """The controllers of docs/architecture.md §4, but the node agent.

    Args:
        client: The API.
        worker_image: Image of worker pods.
        resync_period: Seconds between two lists of everything.
    """

    def __init__(self, client: KubeClient, worker_image: str, resync_period: float = PERIOD) -> None:
        self.store = Store(lambda *change: self._dispatch.changed(*change))
        self.sync = Sync(client, self.store, resync_period)
        instance = os.environ.get("POD_NAME") or socket.gethostname()
        recorder = Recorder(client, instance, time.time)
        self._applier = Applier(client, self.store, recorder, self.sync.relist, time.time)
        self._streams = Streams(lambda key: self._flows.queue.add(key), time.time)
        flows = Flows(client, self.store, self.sync, self._streams, self._applier, worker_image, time.time)
        self._flows: Controller[FlowKey] = Controller(MANAGER, flows.work, workers=8)
        self._chains: Controller[FlowKey] = Controller(f"{CHAIN_MANAGER} chains", self._chain)
        self._types: Controller[str] = Controller(f"{CHAIN_MANAGER} types", self._type)
        self._messages_told = 0.0
        # One key: a placement is decided with all flows in view.
        self._schedule: Controller[str] = Controller(SCHEDULER_MANAGER, self._place, workers=1)
        self._dispatch = Dispatch(
            self.store,
            flow=self._flows.queue.add,
            chain=self._chains.queue.add,
            type=self._types.queue.add,
            schedule=lambda: self._schedule.queue.add("all"),
            pod_gone=self._streams.forget,
        )

    async def run(self) -> None:
        """Work until cancelled; call ``sync.first`` before."""
        try:
            async with asyncio.TaskGroup() as group:
                for controller in (self._flows, self._chains, self._types, self._schedule):
                    group.create_task(controller.run(), name=controller.name)
                group.create_task(self.sync.run(), name="sync")
        finally:
            await self._streams.close()

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
                messages_due=messages_due,
            )
        )
        if messages_due and actions.stages:
            self._messages_told = now
        return await self._apply(actions, SCHEDULER_MANAGER)

    async def _apply(self, actions: Actions, manager: str) -> float | None:
        await self._applier.run(actions, manager)
        return actions.requeue_after
