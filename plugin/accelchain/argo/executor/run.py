# SPDX-License-Identifier: Apache-2.0
"""The plugin's process: listens first, then imports what decides; a signal ends it at once."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accelchain.argo.executor.defaults import HOST, PORT
from accelchain.argo.executor.http_server import METHOD, HttpServer, Limits
from accelchain.argo.executor.token import Token

if TYPE_CHECKING:
    from accelchain.argo.executor.executor import Executor
    from accelchain_operators.kube.connection import Connection

logger = logging.getLogger(__name__)

CALLS_A_SECOND, CALLS_AT_ONCE = 300.0, 600
"""To the Kubernetes API: a fan-out of hundreds of steps comes at once, and a poll costs none."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve."""

    host: str = HOST
    port: int = PORT
    limits: Limits = field(default_factory=Limits)


async def run(options: Options, token: Token, connection: Connection) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; nothing is left running.

    Args:
        options: How to serve.
        token: What callers must show.
        connection: The Kubernetes API.

    Raises:
        OSError: the address is taken.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    executor: Executor | None = None

    async def execute(body: bytes) -> dict[str, Any]:
        assert executor is not None  # no request is read before
        return await executor.execute(body)

    try:
        async with HttpServer(execute, token, options.limits).listening(options.host, options.port) as port:
            logger.info("%s served at %s port %d", METHOD, options.host, port)
            # Argo's agent calls as soon as its own container runs, and a refused connection costs a try: from here on
            # connections wait in the kernel's queue, while what decides is imported.
            executor = _load(connection)
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
        if executor is not None:
            await executor.close()


def _load(connection: Connection) -> Executor:
    """Import what decides: pydantic's models take longer than everything else."""
    from accelchain.argo.executor.executor import Executor
    from accelchain_operators.kube.http_client import HttpClient

    return Executor(HttpClient(connection=connection, qps=CALLS_A_SECOND, burst=CALLS_AT_ONCE))
