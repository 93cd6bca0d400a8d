# SPDX-License-Identifier: Apache-2.0
"""Small HTTP servers of a container: probes on one port, metrics on another, so that each can be opened to its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from accelchain_operators.kube.health import Probe, report

if TYPE_CHECKING:
    from accelchain_operators.kube.metrics import Metrics

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STOP_SECONDS = 0.2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str | None
    """None: everywhere."""
    port: int

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Read ``:8081`` or ``127.0.0.1:8081``; None for ``0`` or nothing.

        Raises:
            ValueError: it is none of these.
        """
        if text in ("", "0"):
            return None
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{text!r} is no address: write :PORT or HOST:PORT, or 0 for none")
        return cls(host.strip("[]") or None, int(port))


@asynccontextmanager
async def serve_probes(address: Address | None, probes: Mapping[str, Probe]) -> AsyncIterator[None]:
    """Serve probes for as long as the context lasts: 200 if all is well, 503 if not, and a line a check.

    Raises:
        OSError: the address is taken.
    """

    def handler(probe: Probe) -> Handler:
        async def answer(_: web.Request) -> web.StreamResponse:
            well, text = report(probe())
            return web.Response(status=200 if well else 503, text=text)

        return answer

    async with _serve(address, {path: handler(probe) for path, probe in probes.items()}):
        yield


@asynccontextmanager
async def serve_metrics(address: Address | None, metrics: Metrics | None) -> AsyncIterator[None]:
    """Serve ``/metrics`` for as long as the context lasts.

    Raises:
        OSError: the address is taken.
    """

    async def answer(_: web.Request) -> web.StreamResponse:
        assert metrics is not None
        return web.Response(body=metrics.text(), headers={"Content-Type": METRICS_TYPE})

    async with _serve(address if metrics is not None else None, {"/metrics": answer}):
        yield


@asynccontextmanager
async def _serve(address: Address | None, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    if address is None:
        yield
        return
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        for port in sorted({name[1] for name in runner.addresses}):  # IPv4 and IPv6: two addresses
            logger.info("%s served at port %s", ", ".join(handlers), port)
        yield
    finally:
        await runner.cleanup()
