# SPDX-License-Identifier: Apache-2.0
"""A child process in a session of its own, awaited by pidfd: no thread a child, no SIGCHLD handler, any event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any


class Process:
    """A child and everything that it starts within its process group.

    The constructor needs no event loop, so that a child can be started before there is one.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        pipes: bool = False,
    ) -> None:
        """Start ``argv`` in ``folder``.

        Args:
            argv: the program and its arguments.
            environment: the whole environment of the child.
            folder: its working directory.
            log: file that stderr is appended to, and stdout where ``pipes`` is false. Created with mode 0600.
            pipes: make ``stdin`` and ``stdout`` pipes, which the caller closes; otherwise stdin is empty.

        Raises:
            OSError: the program cannot be started.
        """
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._popen = subprocess.Popen(
                list(argv),
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else descriptor,
                stderr=descriptor,
                start_new_session=True,
                bufsize=0,
            )
        finally:
            os.close(descriptor)
        self.pid = self._popen.pid
        # The child is not reaped before wait() sees it end, so this descriptor cannot name a stranger.
        self._pidfd = os.pidfd_open(self.pid)
        self._exit: asyncio.Future[int] | None = None

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to the child."""
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe from the child."""
        return self._popen.stdout

    @property
    def ended(self) -> bool:
        """Whether the exit code is known."""
        return self._popen.returncode is not None

    async def wait(self) -> int:
        """Return the exit code: the program's own, or 128 + the signal that ended it. Any number of callers."""
        if self._exit is None:
            loop = asyncio.get_running_loop()
            self._exit = loop.create_future()
            loop.add_reader(self._pidfd, self._reap, loop, self._exit)
        return await asyncio.shield(self._exit)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, unless the child has ended."""
        if not self.ended:
            # The leader is alive or not yet reaped: the group's number is still ours.
            os.killpg(self.pid, number)

    async def end(self, grace_seconds: float) -> int:
        """Send SIGTERM, and SIGKILL after the grace; return the exit code."""
        if grace_seconds > 0:
            self.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_seconds):
                    return await self.wait()
            except TimeoutError:
                pass  # it ignores SIGTERM: the next line does not ask
        self.signal(signal.SIGKILL)
        return await self.wait()

    def _reap(self, loop: asyncio.AbstractEventLoop, exit_code: asyncio.Future[int]) -> None:
        loop.remove_reader(self._pidfd)
        os.killpg(self.pid, signal.SIGKILL)  # what it left behind in its group; the zombie itself does not mind
        code = self._popen.wait()
        os.close(self._pidfd)
        exit_code.set_result(code if code >= 0 else 128 - code)


async def first_of(*awaitables: Coroutine[Any, Any, object], timeout: float | None = None) -> None:
    """Wait until one of them is done, or for ``timeout`` seconds; cancel the others."""
    tasks = [asyncio.create_task(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
