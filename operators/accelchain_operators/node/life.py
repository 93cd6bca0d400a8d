# SPDX-License-Identifier: Apache-2.0
"""The node agent as a process: publishes the inventory, looks again now and then, and renews the node's heartbeat.

Nothing is removed at the end: an agent that is restarted must not take the devices away from running flows. A node that
is gone takes its ComputeResource and its Lease with it, where the agent may read the Node that owns them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.health import Check
from accelchain_operators.kube.heartbeats import STALE_AFTER
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import LEASE, NODE
from accelchain_operators.kube.meter import Count, Meter
from accelchain_operators.kube.preflight import until_it_answers
from accelchain_operators.kube.running import run_until
from accelchain_operators.kube.serve import Address, serve_metrics, serve_probes
from accelchain_operators.kube.skew import Skew
from accelchain_operators.node.agent import FIELD_MANAGER, InventoryError, publish
from accelchain_operators.node.heartbeat import lease, lease_name, owner_of

log = logging.getLogger(__name__)

BEAT_EVERY = 10.0
LOOK_EVERY = 300.0
LOOK_AGAIN = 15.0
"""Seconds until the next look after one that failed."""
LOOK_STUCK = 2 * LOOK_EVERY
"""Seconds without a look after which the agent is broken: a look has a deadline of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent works."""

    node: str
    namespace: str
    """The agent's, where the heartbeats are."""
    health: Address | None = None
    metrics: Address | None = None


def run_node(client_factory: Callable[[], HttpClient], stop: threading.Event, place: Place) -> None:
    """Run the agent in an event loop of its own until ``stop`` is set. Blocks.

    Raises:
        ApiError: the API refuses us (401, 403) at the start.
        PreflightError: the API did not answer for a minute at the start.
        OSError: an address to serve at is taken.
    """
    run_until(stop, Agent(client_factory, place).run())


class Agent:
    """An agent on one node.

    Args:
        client_factory: makes the client.
        place: where it works.
        clock: seconds, monotonic.
    """

    def __init__(
        self, client_factory: Callable[[], HttpClient], place: Place, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client_factory = client_factory
        self._place = place
        self._clock = clock
        self._meter = Meter()
        self._skew = Skew()
        self._owner: JsonObject | None = None
        self._devices: list[JsonObject] = []
        self._published = False
        self._looked = self._tried = clock()
        self._beaten = float("-inf")

    async def run(self) -> None:
        """Live until cancelled."""
        async with AsyncExitStack() as stack:
            client = self._client_factory()
            stack.push_async_callback(client.close)
            self._host = client.connection.server.partition("://")[2].partition("/")[0]
            client.observer = self._observe
            if self._place.metrics is not None:
                from accelchain_operators.kube.metrics import Metrics  # a library that need not be loaded otherwise

                metrics = self._meter = Metrics()
                metrics.gauge("accelchain_node_devices", "Devices of this node by type.", "type", self._by_type)
                await stack.enter_async_context(serve_metrics(self._place.metrics, metrics))
            probes = {"/healthz": self.liveness, "/readyz": self.readiness}
            await stack.enter_async_context(serve_probes(self._place.health, probes))
            await until_it_answers(client)
            self._owner = await self._find_owner(client)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look(client), name="inventory")
                group.create_task(self._beat(client), name="heartbeat")

    def liveness(self) -> list[Check]:
        """Return what liveness looks at: both loops go round."""
        now = self._clock()
        look, beat = now - self._looked, now - self._tried
        return [
            Check("inventory", f"not looked at for {look:.0f} s" if look > LOOK_STUCK else ""),
            Check("heartbeat", f"not tried for {beat:.0f} s" if beat > LOOK_EVERY else ""),
        ]

    def readiness(self) -> list[Check]:
        """Return what readiness looks at: flows can be placed here."""
        silent = self._clock() - self._beaten
        return [
            Check("inventory", "" if self._published else "not published yet"),
            Check("heartbeat", f"the last is {silent:.0f} s old" if silent > STALE_AFTER else ""),
        ]

    async def _look(self, client: HttpClient) -> None:
        while True:
            pause = LOOK_EVERY
            try:
                resource = await publish(client, self._place.node, owner=self._owner)
            except (InventoryError, ApiError) as error:
                log.warning("the inventory of node %s was not published: %s", self._place.node, error)
                pause = LOOK_AGAIN
            else:
                self._note(resource["spec"]["devices"])
            self._looked = self._clock()
            await asyncio.sleep(pause)

    def _note(self, devices: list[JsonObject]) -> None:
        known, self._devices = self._devices, devices
        if self._published and known == devices:
            return
        self._published = True
        if all(device["api"] == "host" for device in devices):
            log.warning("node %s has no device but the host: only host functions are placed on it", self._place.node)
        else:
            log.info("node %s has %s", self._place.node, ", ".join(f"{d['name']} ({d['model']})" for d in devices))

    async def _beat(self, client: HttpClient) -> None:
        while True:
            self._tried = self._clock()
            try:
                beat = lease(self._place.node, self._place.namespace, time.time(), self._owner)
                async with asyncio.timeout(STALE_AFTER / 2):
                    await client.apply(LEASE, beat, field_manager=FIELD_MANAGER)
            except (ApiError, TimeoutError) as error:
                log.warning("heartbeat %s was not written: %s", lease_name(self._place.node), error or "no answer")
            else:
                self._beaten = self._clock()
            await asyncio.sleep(max(0.0, self._tried + BEAT_EVERY - self._clock()))

    async def _find_owner(self, client: HttpClient) -> JsonObject | None:
        try:
            return owner_of(await client.get(NODE, self._place.node))
        except ApiError as error:
            if error.code not in (403, 404):
                raise
            log.warning(
                "Node %s can't be read, so its ComputeResource and Lease stay when it goes: %s",
                self._place.node,
                error.message,
            )
            return None

    def _by_type(self) -> Iterable[Count]:
        yield from sorted(Counter(device["type"] for device in self._devices if device["api"] != "host").items())

    def _observe(self, method: str, code: int, headers: Mapping[str, str]) -> None:
        self._meter.request(str(code) if code else "<error>", method, self._host)
        if code:
            self._skew.look(headers)
