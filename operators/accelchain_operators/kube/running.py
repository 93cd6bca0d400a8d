# SPDX-License-Identifier: Apache-2.0
"""The frame of a long-running process: an event loop that works until another thread says stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

POLL = 0.05


def run_until(stop: threading.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do work in an event loop of its own until ``stop`` is set, and see it end. Blocks.

    Raises:
        Exception: what the work raised; of several tasks that failed together the first failure.
    """
    try:
        asyncio.run(_until(stop, work))
    except BaseExceptionGroup as group:
        raise _first(group) from group


async def _until(stop: threading.Event, work: Coroutine[Any, Any, None]) -> None:
    task, stopped = asyncio.create_task(work, name="work"), asyncio.create_task(_set(stop), name="stop")
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        stopped.cancel()
        result, _ = await asyncio.gather(task, stopped, return_exceptions=True)
    if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
        raise result


async def _set(flag: threading.Event) -> None:
    """Wait for a flag of another thread, without a thread that would outlive us waiting for it."""
    while not flag.is_set():
        await asyncio.sleep(POLL)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of tasks that ended together; the others were most likely caused by it."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
