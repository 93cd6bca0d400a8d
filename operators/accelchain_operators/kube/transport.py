# SPDX-License-Identifier: Apache-2.0
"""kopf as a transport: it watches and logs in, and writes nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import WATCHED

STOP_TIMEOUT = 1.0
"""Seconds that kopf gets to end by itself: stopped while it still starts, it would wait 5 s for hung requests."""


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no Events, no scan for new kinds, and never the end of our process."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.queueing.exit_timeout = 0.5
    # kopf would kill -9 the whole process, which may be somebody's command line, so long after a stop.
    chosen.process.ultimate_exiting_timeout = None
    for type, selector in WATCHED.items():
        if selector:
            group, _, version = type.api_version.rpartition("/")
            chosen.watching.label_selectors[group, version, type.plural] = selector
    return chosen


def login(
    connection: Connection, on_list: Callable[[ResourceType], None]
) -> Callable[..., Awaitable[kopf.AiohttpSession | None]]:
    """Return a login handler for the connection that our own client has. kopf asks again only after a 401.

    Args:
        connection: Where the API is and who we are.
        on_list: Told of the kind after each list that kopf made: at its start, and after a watch was lost (410). kopf
            itself tells nothing of it, and an empty list shows in no event.
    """
    tried: set[str] = set()
    paths = {f"/{type.api_version}/{type.plural}": type for type in WATCHED}

    async def request_ended(_session: Any, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if params.method == "GET" and "watch" not in params.url.query:
            found = next((type for path, type in paths.items() if params.url.path.endswith(path)), None)
            if found is not None:
                on_list(found)

    async def log_in(**_: Any) -> kopf.AiohttpSession | None:
        context, token = connection.ssl_context(), connection.current_token()
        if token in tried:
            return None  # kopf ends then, and so do we: better than to ask for ever
        tried.add(token)
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(request_ended)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if context is None else context),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trace_configs=[trace],
        )
        # kopf closes the session.
        return kopf.AiohttpSession(
            server=connection.server, default_namespace=connection.namespace, aiohttp_session=session
        )

    return log_in


async def run_kopf(registry: kopf.OperatorRegistry, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Run kopf's watches in this loop until ``stop``.

    Raises:
        RuntimeError: kopf ended by itself.
    """
    quiet()
    task = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings(),
            standalone=True,
            clusterwide=True,
            stop_flag=stop,
            ready_flag=ready,
        ),
        name="kopf",
    )
    stopped = asyncio.create_task(stop.wait(), name="kopf's stop")
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.wait({task}, timeout=STOP_TIMEOUT)
        else:
            raise RuntimeError("kopf ended by itself") from (None if task.cancelled() else task.exception())
    finally:
        stopped.cancel()
        task.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def quiet() -> None:
    """Take out of kopf's log what tells people nothing, unless they set its levels themselves."""
    running, objects = logging.getLogger("kopf._core.reactor.running"), logging.getLogger("kopf.objects")
    if _no_remark not in running.filters:
        running.addFilter(_no_remark)  # on signals: whoever runs us in a thread handles them
    if objects.level == logging.NOTSET:
        objects.setLevel(logging.WARNING)  # a line an event that was handed on


def _no_remark(record: logging.LogRecord) -> bool:
    return "OS signals are ignored" not in record.getMessage()


async def until_set(flag: threading.Event, poll: float = 0.1) -> None:
    """Wait for a flag of another thread, without a thread that would outlive us waiting for it."""
    while not flag.is_set():
        await asyncio.sleep(poll)
