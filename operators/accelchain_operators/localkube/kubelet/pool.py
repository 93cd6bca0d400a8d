# SPDX-License-Identifier: Apache-2.0
"""Workers that have imported everything and opened the devices, waiting for one line that says what to run.

A worker serves one pod and ends. Its place is filled again when that worker has ended or ``refill_seconds`` after it
was taken, whichever comes first: a replacement that warms up at once would take the processor from the very flow that
needs it (a lower priority is no way out: an unprivileged process can never raise it again).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelchain_operators.localkube.kubelet.process import Process, first_of

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0
GRACE_SECONDS = 1.0
LINE_LIMIT = 32768
"""A pipe holds 64 KiB: a line of this size is written without waiting for a worker that still warms up."""
TAIL = 1000

log = logging.getLogger(__name__)


class WorkerFailed(Exception):  # noqa: N818 - it is raised for a worker's end, not for a mistake in the call
    """No worker became ready. The message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is to run for a pod."""

    args: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables of the pod, on top of the kubelet's."""
    folder: Path
    log: Path

    def line(self) -> bytes:
        """Return the warm protocol's one line."""
        message = {
            "argv": self.args,
            "env": dict(self.environment),
            "stdout": str(self.log),
            "cwd": str(self.folder),
        }
        return json.dumps(message).encode() + b"\n"


class WarmWorker:
    """A started worker, before and while it has work."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log_file: Path) -> None:
        self.process = Process(command, environment=environment, folder=folder, log=log_file, pipes=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        self.taken = asyncio.Event()
        self.ready = asyncio.Event()
        self.log = log_file

    def begin(self, line: bytes, pod_log: Path) -> None:
        """Send the assignment. The pod's log begins with what the worker said while it warmed up.

        Raises:
            BrokenPipeError: the worker has just died.
        """
        # The open file keeps its descriptor over the rename: from here on stderr is the pod's log.
        self.log.rename(pod_log)
        self._input.write(line)

    async def live(self) -> None:
        """Set ``ready`` when the worker prints its line; return when it has ended.

        The pipes stay open until then: a worker that was taken while it warmed up still prints its line.
        """
        printed = asyncio.create_task(self._until_ready())
        try:
            await self.process.wait()
        finally:
            printed.cancel()
            await asyncio.wait({printed})
            self._input.close()
            self._output.close()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        descriptor = self._output.fileno()
        readable = asyncio.Event()
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, readable.set)
        try:
            text = b""
            while not text.endswith(b"\n"):
                await readable.wait()
                readable.clear()
                try:
                    part = os.read(descriptor, 4096)
                except BlockingIOError:
                    continue
                if not part:
                    return
                text += part
        finally:
            loop.remove_reader(descriptor)
        self.ready.set()


class WarmPool:
    """``size`` warm workers."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        size: int,
        refill_seconds: float | None,
    ) -> None:
        """Describe the pool; nothing is started.

        Args:
            command: argv of a warm worker.
            environment: its whole environment.
            folder: an existing folder for the logs of workers without work; also their working directory.
            size: how many workers wait.
            refill_seconds: see the module; None: a worker that was taken is never replaced.
        """
        self._command = command
        self._environment = environment
        self._folder = folder
        self._size = size
        self._refill_seconds = refill_seconds
        self._serial = 0
        self._workers: list[WarmWorker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._failure = ""
        self._was_ready = False

    def prewarm(self) -> None:
        """Start the workers; needs no running event loop."""
        while len(self._workers) < self._size:
            self._spawn()

    def start(self) -> None:
        """Look after the workers from now on: see them get ready, replace those that end."""
        self.prewarm()
        for worker in self._workers:
            self._run(self._keep(worker))

    async def stop(self) -> None:
        """End the workers without work. Those that were taken belong to their pods and must have ended before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.process.end(GRACE_SECONDS) for worker in workers))

    async def warm_ready(self) -> None:
        """Return when a worker is ready, or none is to be had because all have work.

        Raises:
            WorkerFailed: the first one ended instead.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure or self._was_ready or not self._size)
        if self._failure:
            raise WorkerFailed(self._failure)

    def take(self, line: bytes, pod_log: Path) -> Process | None:
        """Give a worker its assignment, a ready one first; None: nobody is here.

        A worker that still warms up is taken too: it will read its line, and to start another one beside it would
        make both late.
        """
        for worker in sorted(self._workers, key=lambda worker: not worker.ready.is_set()):
            self._workers.remove(worker)
            worker.taken.set()
            try:
                worker.begin(line, pod_log)
            except BrokenPipeError:
                log.warning("a warm worker died when it was needed; trying the next")
                pod_log.unlink()
                continue
            return worker.process
        return None

    def _spawn(self) -> WarmWorker:
        self._serial += 1
        path = self._folder / f"{self._serial}.log"
        worker = WarmWorker(self._command, self._environment, self._folder, path)
        self._workers.append(worker)
        return worker

    async def _keep(self, worker: WarmWorker) -> None:
        """Keep one place of the pool filled, beginning with ``worker``."""
        backoff = FIRST_BACKOFF
        while True:
            self._run(worker.live())
            await first_of(worker.process.wait(), worker.taken.wait(), worker.ready.wait())
            if worker.ready.is_set():
                backoff = FIRST_BACKOFF
                await self._tell()
            await first_of(worker.process.wait(), worker.taken.wait())
            if not worker.taken.is_set():
                await self._lost(worker, backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
            elif self._refill_seconds is None:
                return
            else:
                await first_of(worker.process.wait(), timeout=self._refill_seconds)
            worker = self._spawn()

    async def _lost(self, worker: WarmWorker, backoff: float) -> None:
        """Tell that a worker ended without work, and wait before the next."""
        self._workers.remove(worker)
        tail = worker.log.read_text(errors="replace").strip()[-TAIL:]
        code = await worker.process.wait()
        message = f"a worker ended with code {code} before it had work: {tail or 'it said nothing'}"
        log.warning("%s; starting another in %.0f s", message, backoff)
        worker.log.unlink()
        if not worker.ready.is_set():
            await self._tell(message)
        await asyncio.sleep(backoff)

    async def _tell(self, failure: str = "") -> None:
        async with self._changed:
            self._failure = failure
            self._was_ready = not failure
            self._changed.notify_all()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
