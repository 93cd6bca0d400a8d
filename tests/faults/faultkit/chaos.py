# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, and when: drawn from a seed, as long as it is let."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ResourceType
from accelchain_operators.localkube.faults import Fault
from faultkit.world import World

WRITES = ("create", "patch", "delete")
OURS = (
    kinds.DATA_FLOW,
    kinds.FUNCTION_CHAIN,
    kinds.FUNCTION_TYPE,
    kinds.COMPUTE_RESOURCE,
    kinds.WB_FUNCTION,
    kinds.WB_CONNECTION,
    kinds.POD,
    kinds.CONFIG_MAP,
)
GRAVE = {
    "error": 40,
    "cut": 10,
    "gap": 8,
    "kill": 7,
    "end": 3,
    "lose": 14,
    "freeze": 5,
    "away": 3,
}
"""Faults, and how often of ninety each is drawn."""
BEGINS_AGAIN = 3.0
"""Seconds until a watch that was cut or refused, or an operator that was replaced, sees everything again."""


class Chaos:
    """Does what is drawn, a few times a second."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.freezes = 0
        self.disrupted: set[str] = set()
        """Pods that were deleted here."""
        self.blind: list[tuple[float, float]] = []
        """From when to when (monotonic s) an operator was away, or a watch."""
        self._world = world
        self._rng = rng
        self._faults = world.api.kube.faults
        self._tasks: set[asyncio.Task[None]] = set()
        self._does: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "error": self._error,
            "cut": self._cut,
            "gap": self._gap,
            "kill": self._kill,
            "end": self._end,
            "lose": self._lose,
            "freeze": self._freeze,
            "away": self._away,
        }

    async def run(self) -> None:
        """Go on until cancelled; then call ``calm``."""
        while True:
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))
            (what,) = self._rng.choices(list(GRAVE), list(GRAVE.values()))
            self.counts[what] += 1
            task = asyncio.create_task(self._does[what](), name=what)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def calm(self) -> None:
        """Let what was begun come to its end, and everything work from now on."""
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        self._faults.clear()
        for name in self._world.node_names:
            if self._world.kubelets.nodes[name].frozen_at is not None:
                self._world.kubelets.thaw(name)

    async def _error(self) -> None:
        rng = self._rng
        code = rng.choice((409, 410, 429, 429, 500, 503, 504, 0))
        verb = rng.choice(WRITES if code == 409 else ("list", "watch") if code == 410 else (*WRITES, "get", "list"))
        self._faults.add(
            Fault(
                verb=verb,
                resource=rng.choice(("", *(type.plural for type in (*OURS, kinds.SECRET, kinds.LEASE)))),
                code=code,
                times=rng.randint(1, 5),
                skip=rng.randint(0, 3),
                retry_after=rng.choice((None, 0, 1)) if code in (429, 503) else None,
                latency=rng.choice((0.0, 0.0, 0.2, 0.6)) if code else rng.uniform(0.2, 1.0),
                after_write=code >= 500 and verb in WRITES and rng.random() < 0.5,
            )
        )

    def _some(self) -> list[ResourceType]:
        return self._rng.sample(OURS, self._rng.randint(1, 3))

    @contextmanager
    def _blinded(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.blind.append((begun, time.monotonic() + BEGINS_AGAIN))

    async def _cut(self) -> None:
        with self._blinded():
            self._world.api.cut(*self._some(), forget=self._rng.random() < 0.5)

    async def _gap(self) -> None:
        """Watches of some kinds are away for a while, and what happened meanwhile is told by no watch (410)."""
        some, seconds = self._some(), self._rng.uniform(0.2, 1.0)
        with self._blinded():
            refusals = [self._world.api.refuse_watches(type) for type in some]
            self._world.api.cut(*some, forget=False)
            await asyncio.sleep(seconds)
            self._world.api.cut(*some)
            for refusal in refusals:
                refusal.times = 0

    async def _kill(self) -> None:
        await self._replace(self._world.operators.kill)

    async def _end(self) -> None:
        await self._replace(self._world.operators.end)

    async def _replace(self, stop: Callable[..., Awaitable[None]]) -> None:
        operators, pause = self._world.operators, self._rng.uniform(0.0, 0.8)
        begun = [process for process in operators.running if process.ready.is_set()]
        if not begun:
            return
        process = self._rng.choice(begun)
        with self._blinded():
            await stop(process)
            await asyncio.sleep(pause)
            operators.start_soon(*process.controllers)

    async def _lose(self) -> None:
        """Somebody deletes a Pod whose worker runs."""
        busy = [worker for worker in self._world.kubelets.busy() if worker.script.end == "succeed"]
        if busy:
            self.disrupt(self._rng.choice(busy).pod["metadata"]["uid"], self._rng.random() < 0.5)

    def disrupt(self, uid: str, says_why: bool) -> None:
        """Delete a Pod whose worker runs."""
        worker = self._world.kubelets.workers[uid]
        meta = worker.pod["metadata"]
        live = self._world.api.get(kinds.POD, meta["namespace"], meta["name"])
        if live is None or "deletionTimestamp" in live["metadata"]:
            return
        self.disrupted.add(meta["name"])
        if says_why:
            self._world.kubelets.disrupt(live, "EvictionByEvictionAPI")
        else:
            self._world.api.delete(kinds.POD, meta["namespace"], meta["name"])

    async def _freeze(self) -> None:
        kubelets = self._world.kubelets
        awake = [name for name, node in kubelets.nodes.items() if node.frozen_at is None]
        if len(awake) < 2:
            return
        name, seconds = self._rng.choice(awake), self._rng.choice((0.5, 2.5, 5.0, 8.0))
        self.freezes += 1
        kubelets.freeze(name)
        await asyncio.sleep(seconds)
        if kubelets.nodes[name].frozen_at is not None:
            kubelets.thaw(name)

    async def _away(self) -> None:
        with self._blinded(), self._world.away():
            await asyncio.sleep(self._rng.uniform(0.3, 1.5))
