# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in asynchronous code, and what means the same: SIGTERM, and SIGHUP of a terminal that is closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from accelchain.cli.main import SIGNALS

T = TypeVar("T")


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it at the first signal, so that its context managers clean up.

    Further signals change nothing: cleaning up has deadlines of its own, and half of it would leave processes behind.

    Raises:
        click.Abort: it was interrupted, and has cleaned up.
    """
    task = asyncio.current_task()
    assert task is not None
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            task.cancel()

    with _handlers(interrupt):
        try:
            return await work
        except (Exception, asyncio.CancelledError) as error:
            if not interrupted:
                raise
            raise click.Abort from error  # whatever a part said that was torn down: the user wanted the end


@contextmanager
def _handlers(interrupt: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
