# SPDX-License-Identifier: Apache-2.0
"""Which nodes are not to be placed on: their agent's Lease is no longer renewed, or the node is not ready, or gone.

As with leader election, a Lease is old when *we* have not seen it change for long: a node's clock may be off. So a
scheduler that has just begun gives every node the benefit of the doubt for as long as a Lease holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.follow import Changed, Deleted, Listed, follow
from accelchain_operators.kube.kinds import LEASE, NODE

logger = logging.getLogger(__name__)

STALE_AFTER = 40.0
"""Seconds: four heartbeats."""
SELECTOR = "app.kubernetes.io/component=node"


@dataclass(frozen=True, slots=True)
class Beat:
    """The heartbeat of a node, and when (s, our clock) we saw it change last."""

    node: str
    renewed: str
    since: float


def lost_nodes(beats: Mapping[str, Beat], ready: Mapping[str, bool] | None, now: float) -> dict[str, str]:
    """Return the nodes that are not to be placed on, and why. One that never had a heartbeat is not among them.

    Args:
        beats: By name of the Lease.
        ready: By node, whether it is; None: Nodes can't be read.
        now: The time (s).
    """
    lost = {}
    for beat in beats.values():
        if now - beat.since >= STALE_AFTER:
            lost[beat.node] = "its agent was not heard of"
        elif ready is not None and beat.node not in ready:
            lost[beat.node] = "there is no such Node"
        elif ready is not None and not ready[beat.node]:
            lost[beat.node] = "the Node is not ready"
    return lost


class Heartbeats:
    """Follows the Leases of node agents, and the Nodes where we may.

    Args:
        client: The API.
        namespace: Where the agents' Leases are.
        on_change: Called when the nodes that are not to be placed on are others than before.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, client: KubeClient, namespace: str, on_change: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._on_change = on_change
        self._clock = clock
        self._beats: dict[str, Beat] = {}
        self._ready: dict[str, bool] | None = None
        self._told: dict[str, str] = {}
        self._moved = asyncio.Event()

    def stale(self) -> frozenset[str]:
        """Return the nodes that are not to be placed on, as of now."""
        return frozenset(self._lost())

    def _lost(self) -> dict[str, str]:
        return lost_nodes(self._beats, self._ready, self._clock())

    async def run(self) -> None:
        """Follow them until cancelled.

        Raises:
            ApiError: the API refuses us the Leases.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_leases(), name="heartbeats")
            group.create_task(self._follow_nodes(), name="nodes")
            group.create_task(self._tell(), name="nodes that are lost")

    async def _follow_leases(self) -> None:
        async for told in follow(self._client, LEASE, self._namespace, label_selector=SELECTOR):
            match told:
                case Listed(leases):
                    names = {lease["metadata"]["name"] for lease in leases}
                    self._beats = {name: beat for name, beat in self._beats.items() if name in names}
                    for lease in leases:
                        self._beat(lease)
                case Changed(lease):
                    self._beat(lease)
                case Deleted(lease):
                    self._beats.pop(lease["metadata"]["name"], None)
            self._moved.set()

    def _beat(self, lease: JsonObject) -> None:
        name, spec = lease["metadata"]["name"], lease.get("spec") or {}
        known, renewed = self._beats.get(name), spec.get("renewTime") or ""
        if known is None or known.renewed != renewed:
            self._beats[name] = Beat(spec.get("holderIdentity") or "", renewed, self._clock())

    async def _follow_nodes(self) -> None:
        try:
            async for told in follow(self._client, NODE):
                match told:
                    case Listed(nodes):
                        self._ready = {node["metadata"]["name"]: _is_ready(node) for node in nodes}
                    case Changed(node):
                        self._nodes[node["metadata"]["name"]] = _is_ready(node)
                    case Deleted(node):
                        self._nodes.pop(node["metadata"]["name"], None)
                self._moved.set()
        except ApiError as error:
            if error.code != 403:
                raise
            self._ready = None
            logger.warning("Nodes can't be read, so only heartbeats tell which nodes are lost: %s", error.message)

    @property
    def _nodes(self) -> dict[str, bool]:
        assert self._ready is not None, "they are listed before they change"
        return self._ready

    async def _tell(self) -> None:
        while True:
            self._moved.clear()
            lost = self._lost()
            if lost != self._told:
                self._say(lost)
                self._told = lost
                self._on_change()
            now = self._clock()
            left = [beat.since + STALE_AFTER - now for beat in self._beats.values() if beat.node not in lost]
            try:
                async with asyncio.timeout(max(0.05, min(left)) if left else None):
                    await self._moved.wait()
            except TimeoutError:
                continue  # a Lease has become old

    def _say(self, lost: Mapping[str, str]) -> None:
        for node, why in lost.items():
            if self._told.get(node) != why:
                logger.warning("nothing is placed on node %s: %s", node, why)
        for node in self._told.keys() - lost.keys():
            logger.info("node %s may be placed on again", node)


def _is_ready(node: JsonObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
