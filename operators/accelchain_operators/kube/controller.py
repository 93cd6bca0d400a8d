# SPDX-License-Identifier: Apache-2.0
"""The loop around a reconciler: take a key, do its work, try again later where that failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from accelchain_operators.kube.applier import NameTakenError
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


class Controller(Generic[Key]):
    """A queue of keys and workers that empty it.

    Args:
        name: For logs; the field manager of its writes.
        work: Brings a key's objects where they should be; returns seconds until it is to be looked at again, or None.
        workers: Keys worked on at a time.
    """

    def __init__(self, name: str, work: Callable[[Key], Awaitable[float | None]], workers: int = 4) -> None:
        self.name = name
        self.queue: WorkQueue[Key] = WorkQueue()
        self._work = work
        self._workers = workers

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._run_one(), name=f"{self.name} {number}")

    async def _run_one(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                again = await self._work(key)
            except (ApiError, NameTakenError) as error:
                pause = self.queue.retry(key)
                # A conflict is everyday life; what keeps failing is told.
                logger.log(logging.WARNING if pause > 1 else logging.DEBUG, "%s %s: %s", self.name, key, error)
            except Exception:
                # A defect that one object brings to light must not stop the work on all others.
                logger.exception("%s %s: this is a defect of accelchain; trying again", self.name, key)
                self.queue.retry(key)
            else:
                self.queue.succeeded(key)
                if again is not None:
                    self.queue.add_after(key, again)
            finally:
                self.queue.done(key)
