# SPDX-License-Identifier: Apache-2.0
"""The life of a process of operators: what is started in which order, and ended in the opposite one.

Lists and watches begin at once, work begins with leadership: so a standby has its caches warm.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.health import liveness, readiness
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.leadership import Leadership
from accelchain_operators.kube.lease import boot_time
from accelchain_operators.kube.meter import Meter
from accelchain_operators.kube.operators import Operators
from accelchain_operators.kube.preflight import check_foreign_kinds, check_kinds, until_it_answers
from accelchain_operators.kube.serve import Address, serve_metrics, serve_probes
from accelchain_operators.kube.skew import Skew
from accelchain_operators.kube.transport import Listener, log_in, registry_of, run_kopf
from accelchain_operators.reconcile.worker_options import WorkerOptions

Work = Callable[[str], Coroutine[Any, Any, None]]
"""Does a controller's work, by its name, until cancelled."""


@dataclass(frozen=True, slots=True)
class Post:
    """What operators in a cluster have, and those of a laptop don't."""

    namespace: str
    """Theirs: where their Leases and those of node agents are."""
    leases: LeaseOptions | None = field(default_factory=LeaseOptions)
    """None: this process is the only one, and leads."""
    health: Address | None = None
    """Where ``/healthz`` and ``/readyz`` are served."""
    metrics: Address | None = None
    """Where ``/metrics`` is served."""


class Life:
    """A process of operators; the arguments are those of ``main.run_operators``."""

    def __init__(
        self,
        client_factory: Callable[[], HttpClient],
        ready: threading.Event,
        worker: WorkerOptions,
        controllers: Sequence[str],
        namespaces: Sequence[str],
        post: Post | None,
    ) -> None:
        self._client_factory = client_factory
        self._ready = ready
        self._worker = worker
        self._controllers = controllers
        self._namespaces = namespaces
        self._post = post
        self._meter: Meter = Meter()
        self._skew = Skew()
        self._host = ""

    async def run(self) -> None:
        """Live until cancelled, or until a part fails."""
        async with AsyncExitStack() as stack:
            client = await self._client(stack)
            operators = Operators(
                client,
                self._worker,
                controllers=self._controllers,
                namespaces=self._namespaces,
                home=self._post.namespace if self._post else "",
                meter=await self._serve_metrics(stack),
            )
            if self._post is not None:
                await self._serve_probes(stack, operators)
                await until_it_answers(client)
                await check_kinds(client)
            await check_foreign_kinds(client, self._controllers)
            await operators.sync.first()
            if self._post is None or self._post.leases is None:
                await self._work(client, operators, operators.control)
                return
            leases, options = await self._client(stack), self._post.leases
            leadership = Leadership(leases, self._post.namespace, self._controllers, options, self._meter)
            client.guard = leadership.check

            async def lead(name: str) -> None:
                # What the last leader wrote may not have come to us yet, and a Pod that we don't know is not one that
                # is gone: nothing is decided on what a standby happened to have heard.
                await operators.catch_up(name)
                await operators.control(name)

            async def work(name: str) -> None:
                await leadership.work(name, lead)

            await self._work(client, operators, work, leadership.release)

    async def _work(
        self,
        client: HttpClient,
        operators: Operators,
        work: Work,
        at_the_end: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        sync = operators.sync
        hearing = _Hearing(operators, self._observe)
        registry = registry_of(sync.watched, sync.event)
        log_in(registry, client.connection, sync.watched, hearing)
        kopf_ready, kopf_stop = asyncio.Event(), asyncio.Event()
        parts = {asyncio.create_task(operators.keep(), name="store")}
        parts |= {asyncio.create_task(work(name), name=name) for name in self._controllers}
        watches = asyncio.create_task(
            run_kopf(registry, sync.watched, self._namespaces, kopf_ready, kopf_stop), name="watches"
        )
        announce = asyncio.create_task(self._announce(kopf_ready, operators), name="ready")
        try:
            done, _ = await asyncio.wait({*parts, watches}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*parts, announce):
                task.cancel()
            await asyncio.gather(*parts, announce, return_exceptions=True)
            if at_the_end is not None:
                await at_the_end()
            # kopf cancels every task that is younger than itself, the streams among them: it goes last.
            kopf_stop.set()
            await asyncio.gather(watches, return_exceptions=True)

    async def _client(self, stack: AsyncExitStack) -> HttpClient:
        client = self._client_factory()
        client.observer = self._observe
        stack.push_async_callback(client.close)
        self._host = client.connection.server.partition("://")[2].partition("/")[0]
        return client

    def _observe(self, method: str, code: int, headers: Mapping[str, str]) -> None:
        self._meter.request(str(code) if code else "<error>", method, self._host)
        if code:
            self._skew.look(headers)

    async def _announce(self, kopf_ready: asyncio.Event, operators: Operators) -> None:
        await kopf_ready.wait()
        operators.signs.synced = True
        self._ready.set()

    async def _serve_metrics(self, stack: AsyncExitStack) -> Meter:
        if self._post is not None and self._post.metrics is not None:
            from accelchain_operators.kube.metrics import Metrics  # a library that a laptop need not load

            metrics = self._meter = Metrics()
            await stack.enter_async_context(serve_metrics(self._post.metrics, metrics))
        return self._meter

    async def _serve_probes(self, stack: AsyncExitStack, operators: Operators) -> None:
        assert self._post is not None
        plurals = [type.plural for type in operators.sync.watched]
        probes = {
            "/healthz": lambda: liveness(operators.signs, plurals, operators.busy(), boot_time()),
            "/readyz": lambda: readiness(operators.signs, boot_time()),
        }
        await stack.enter_async_context(serve_probes(self._post.health, probes))


class _Hearing(Listener):
    """Notes what kopf's watches do."""

    def __init__(self, operators: Operators, observe: Callable[[str, int, Mapping[str, str]], None]) -> None:
        self._signs = operators.signs
        self._relist = operators.sync.relist
        self._observe = observe

    def tried(self, type: ResourceType) -> None:
        self._signs.tried[type.plural] = boot_time()

    def heard(self, type: ResourceType) -> None:
        self._signs.heard[type.plural] = self._signs.answered = boot_time()

    def listed(self, type: ResourceType) -> None:
        self.heard(type)
        self._relist(type)

    def answered(self, method: str, code: int, headers: Mapping[str, str]) -> None:
        self._observe(method, code, headers)
