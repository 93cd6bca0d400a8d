# SPDX-License-Identifier: Apache-2.0
"""kopf as a transport: it watches and logs in, and writes nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import WATCHED

STOP_TIMEOUT = 5.0
"""Seconds that kopf gets to end by itself."""


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


def login(connection: Connection) -> Callable[..., kopf.ConnectionInfo]:
    """Return a login handler for the connection that our own client has. kopf asks again after a 401."""

    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=connection.server,
            token=connection.current_token() or None,
            ca_data=connection.ca or None,
            insecure=connection.insecure,
            certificate_data=connection.client_certificate or None,
            private_key_data=connection.client_key or None,
            default_namespace=connection.namespace,
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
