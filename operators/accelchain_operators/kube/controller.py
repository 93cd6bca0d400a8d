# SPDX-License-Identifier: Apache-2.0
"""The loop around a reconciler: take a key, do its work, try again later where that failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from accelchain_operators.kube.applier import NameTakenError
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.lease import LeaseLostError
from accelchain_operators.kube.logs import working_on
from accelchain_operators.kube.meter import Meter, Result
from accelchain_operators.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


class Controller(Generic[Key]):
    """A queue of keys and workers that empty it.

    Args:
        name: For logs and metrics.
        work: Brings a key's objects where they should be; returns seconds until it is to be looked at again, or None.
        workers: Keys worked on at a time.
        describe: Returns what a log line says of a key: ``namespace``, ``name``, ``uid``.
        meter: Told what happens.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Key], Awaitable[float | None]],
        workers: int = 4,
        *,
        describe: Callable[[Key], Mapping[str, str]] = lambda _: {},
        meter: Meter | None = None,
    ) -> None:
        self.name = name
        self.queue: WorkQueue[Key] = WorkQueue()
        self._work = work
        self._workers = workers
        self._describe = describe
        self._meter = meter or Meter()
        self.queue.meter = self._meter.queue(name, self.queue.state)
        self._meter.controller(name, workers)

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            LeaseLostError: this process may not write any more.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._run_one(), name=f"{self.name} {number}")

    async def _run_one(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self.queue.get()
            begun = loop.time()
            self._meter.working(self.name, 1)
            result: Result = "error"
            try:
                with working_on(lambda key=key: {"controller": self.name, **self._describe(key)}):  # type: ignore[misc]
                    result = await self._do(key)
            finally:
                self._meter.working(self.name, -1)
                self._meter.reconciled(self.name, result, loop.time() - begun)
                self.queue.done(key)

    async def _do(self, key: Key) -> Result:
        try:
            again = await self._work(key)
        except LeaseLostError:
            raise
        except (ApiError, NameTakenError) as error:
            pause = self.queue.retry(key)
            # A conflict is everyday life; what keeps failing is told.
            logger.log(logging.WARNING if pause > 1 else logging.DEBUG, "%s %s: %s", self.name, key, error)
            return "error"
        except Exception:
            # A defect that one object brings to light must not stop the work on all others.
            logger.exception("%s %s: this is a defect of accelchain; trying again", self.name, key)
            self.queue.retry(key)
            return "error"
        self.queue.succeeded(key)
        if again is None:
            return "success"
        self.queue.add_after(key, again)
        return "requeue_after"
