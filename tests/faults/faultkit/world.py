# SPDX-License-Identifier: Apache-2.0
"""A whole simulated cluster: API, nodes, operators and oracle, opened and closed together."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.localkube.faults import Fault
from faultkit.api import Api, make_flow
from faultkit.kubelet import Kubelets
from faultkit.operators import Operators, Process
from faultkit.oracle import Oracle, Record
from faultkit.scripts import Script
from faultkit.workers import Publication, Worker, WorkerServer

CHILDREN = (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.POD, kinds.CONFIG_MAP, kinds.SECRET)
QUIET = ("events", "leases")
"""Resources that are written at rest, too."""


class World:
    """A cluster.

    Args:
        rng: All that is random.
        nodes: How many there are.
        lease: Seconds of the operators' Leases; 0: none.
    """

    def __init__(self, rng: random.Random, nodes: int = 3, lease: int = 0) -> None:
        self._lease = lease
        self.api = Api()
        self.oracle = Oracle(self.api)
        # An address of its own, so that several worlds fit on one machine.
        entropy = os.urandom(3)
        self.server = WorkerServer(f"127.{64 + entropy[0] % 64}.{entropy[1]}.{1 + entropy[2] % 254}")
        self.server.on_publish = self.oracle.published
        self.scripts: dict[str, dict[int, Script]] = {}
        """By flow and attempt, what its worker does."""
        self.kubelets = Kubelets(self.api, self.server, self._script, rng)
        self.node_names = [f"n{number}" for number in range(nodes)]
        self.operators: Operators

    async def __aenter__(self) -> World:
        await self.server.open()
        await self.api.kube.start()
        self.operators = Operators(self.api.kube, self._lease)
        await self.operators.open()
        self.kubelets.open(self.node_names)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.operators.close()
        finally:
            await self.kubelets.close()
            await self.server.close()
            await self.api.kube.stop()

    async def only(self, *groups: tuple[str, ...]) -> list[Process]:
        """Have exactly these operators run, and be ready; those that run already stay."""
        for process in list(self.operators.running):
            if tuple(process.controllers) not in groups:
                await self.operators.end(process)
        missing = [group for group in groups if group not in [tuple(p.controllers) for p in self.operators.running]]
        await self.start(*missing)
        running = list(self.operators.running)
        for process in running:
            await self.until(process.ready.is_set, what=f"that {process.id} is ready")
        return running

    async def start(self, *groups: tuple[str, ...]) -> list[Process]:
        """Start operators, one process for each group of controllers."""
        return list(await asyncio.gather(*(self.operators.start(*group) for group in groups)))

    def _script(self, _namespace: str, name: str, attempt: int) -> Script:
        return self.scripts.get(name, {}).get(attempt, Script())

    def create(self, name: str, *scripts: Script, namespace: str = "blue", **spec: Any) -> None:
        """Create a flow; its workers do what the scripts say, one an attempt, and succeed after those."""
        self.scripts[name] = dict(enumerate(scripts, 1))
        self.api.kube.put(make_flow(name, namespace, **spec))

    def finish(self, name: str) -> None:
        """Have the work of a flow's worker end that would never end."""
        self.worker_of(name).source_ended.set()

    def change(self, name: str, **spec: Any) -> None:
        """Change a flow's spec, as a user; nothing where it is gone."""
        record = self.oracle.record(name)
        if record.deleted is None:
            self.api.patch(kinds.DATA_FLOW, record.namespace, name, {"spec": spec})

    def delete(self, name: str) -> None:
        """Delete a flow, as a user; nothing where it is gone."""
        record = self.oracle.record(name)
        if record.deleted is None:
            self.api.delete(kinds.DATA_FLOW, record.namespace, name)

    def pod_of(self, name: str) -> JsonObject | None:
        """Return a flow's Pod that has not ended."""
        record = self.oracle.record(name)
        living = self.oracle.live_pods(record.flow["metadata"]["uid"])
        return self.api.get(kinds.POD, record.namespace, living[0]) if living else None

    async def until(self, condition: Callable[[], object], seconds: float = 20.0, what: str = "the condition") -> None:
        """Wait for a condition; AssertionError with what is wrong after the deadline."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{what} did not come true within {seconds} s. {self.summary()}") from None

    async def until_phase(self, phase: str, *names: str, seconds: float = 20.0) -> None:
        """Wait until flows are in a phase."""

        def reached() -> bool:
            return all(self.oracle.record(name).status.get("phase") == phase for name in names)

        await self.until(reached, seconds, f"phase {phase} of {', '.join(names)}")

    async def until_over(self, seconds: float) -> None:
        """Wait until all flows have come to their end; AssertionError where none does for so long."""
        loop = asyncio.get_running_loop()
        deadline, before = loop.time() + seconds, -1
        while before < len(self.oracle.records):
            over = sum(record.over for record in self.oracle.records.values())
            if over > before:
                deadline, before = loop.time() + seconds, over
            assert loop.time() < deadline, f"no flow ended for {seconds} s. {self.summary()}"
            await asyncio.sleep(0.05)

    async def until_rest(self, seconds: float = 10.0, still: float = 1.0) -> None:
        """Wait until nobody writes for a while: a write that comes after that is one at rest."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self.api.kube.recorder.clear()
            await asyncio.sleep(still)
            writes = self.writes()
            if not writes:
                return
            assert loop.time() < deadline, f"no rest within {seconds} s: {writes}"

    def published(self, name: str) -> list[Publication]:
        """Return what attempts at a flow have published."""
        uid = self.oracle.record(name).flow["metadata"]["uid"]
        return [publication for publication in self.server.published if publication.flow == uid]

    def worker_of(self, name: str) -> Worker:
        """Return the worker of a flow that runs."""
        uid = self.oracle.record(name).flow["metadata"]["uid"]
        (worker,) = [worker for worker in self.kubelets.workers.values() if worker.flow == uid]
        return worker

    def writes(self) -> dict[str, int]:
        """Return the writes since the recorder was cleared, Leases and Events left out."""
        counts: Counter[str] = Counter()
        for request in self.api.kube.recorder.requests:
            if request.is_write and request.resource not in QUIET:
                counts[f"{request.manager} {request.verb} {request.resource}/{request.subresource}"] += 1
        return dict(counts)

    async def delete_everything(self, seconds: float = 15.0) -> None:
        """Delete all flows, and see that nothing of theirs is left."""
        for record in self.oracle.records.values():
            if record.deleted is None:
                self.delete(record.name)
        await self.until(lambda: not self.left(), seconds, "that nothing is left")

    def left(self) -> list[str]:
        """Return what of flows there is."""
        return [f"{type.kind} {obj['metadata']['name']}" for type in CHILDREN for obj in self.api.all(type)]

    def problems(self) -> list[str]:
        """Return what went wrong, as far as it shows at once."""
        return [*self.oracle.violations, *self.kubelets.failures, *self.operators.failures]

    def forget(self) -> None:
        """Forget what was before: flows that are gone, and what went wrong."""
        self.oracle.forget()
        self.kubelets.failures.clear()
        self.operators.failures.clear()

    def summary(self) -> str:
        """Return where flows that are not over stand."""
        lines = []
        for record in self.oracle.records.values():
            if not record.over:
                reasons = {c["type"]: f"{c['status']} {c['reason']} {c['message'][:120]}" for c in _conditions(record)}
                pods = [pod["metadata"]["name"] for pod in self.api.all(kinds.POD)]
                lines.append(
                    f"{record.name}: {record.status.get('phase')} attempt {record.status.get('attempt')} {reasons} "
                    f"pods {[pod for pod in pods if pod.startswith(record.name)]}"
                )
        return "\n".join([*lines[:12], *self.problems()[:12]])

    @contextmanager
    def away(self, code: int = 503) -> Iterator[None]:
        """The API answers nothing but an error, and all watches are cut, as long as this lasts."""
        fault = self.api.kube.faults.add(Fault(code=code, times=None))
        self.api.cut(*kinds.WATCHED, kinds.LEASE, kinds.NODE, forget=False)
        try:
            yield
        finally:
            fault.times = 0


def _conditions(record: Record) -> list[JsonObject]:
    return list(record.status.get("conditions") or ())
