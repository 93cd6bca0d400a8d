# SPDX-License-Identifier: Apache-2.0
"""Operators as processes: started, killed, told to end, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelchain_operators.localkube.server import LocalKube
from faultkit.zygote import GAVE_UP

ROOT = Path(__file__).parents[3]
START_SECONDS = 30.0


@dataclass
class Process:
    """One operator."""

    id: str
    controllers: Sequence[str]
    pid: int = 0
    status: int | None = None
    """Exit status; below 0: the signal that ended it."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    told_tasks: asyncio.Future[list[str]] | None = None

    def kill(self) -> None:
        """End it as a power cut does; harmless where it has ended."""
        if self.status is None and self.pid:
            os.kill(self.pid, signal.SIGKILL)

    async def end(self, seconds: float = 15.0) -> int:
        """Tell it to end, wait until it has, and return its exit status."""
        async with asyncio.timeout(START_SECONDS):
            await self.begun.wait()
        if self.status is None:
            os.kill(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            os.kill(self.pid, signal.SIGUSR2)  # it says where it is
            await asyncio.sleep(0.5)
            self.kill()
            raise AssertionError(f"{self.id} did not end within {seconds} s: its stacks are on stderr") from None
        assert self.status is not None
        return self.status

    async def task_names(self) -> list[str]:
        """Return the names of the tasks in it that are there for flows."""
        self.told_tasks = asyncio.get_running_loop().create_future()
        os.kill(self.pid, signal.SIGUSR1)
        async with asyncio.timeout(10):
            return list(await self.told_tasks)

    def descriptors(self) -> int:
        """Return how many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Operators:
    """Processes of operators on one API; those that end by themselves are started again, as a kubelet does.

    Args:
        api: What they work on, started.
        lease: How long (s) their Leases hold others off; 0: there is one of each, without a Lease.
    """

    def __init__(self, api: LocalKube, lease: int = 0) -> None:
        self._api = api
        self.lease = lease
        self._count = 0
        self._all: dict[str, Process] = {}
        self._zygote: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.running: list[Process] = []
        self.killed = self.gave_up = 0
        self.failures: list[str] = []
        """Processes that ended by themselves in a way that they never should."""

    async def open(self) -> None:
        """Start the process that all others are forked from."""
        roots = os.pathsep.join(str(ROOT / folder) for folder in ("plugin", "operators", "runtime"))
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("zygote.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": roots},
        )
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End all of them."""
        expected, self.running = self.running, []
        await asyncio.gather(*(process.end() for process in expected))
        assert self._zygote is not None and self._zygote.stdin is not None and self._reader is not None
        self._zygote.stdin.close()
        async with asyncio.timeout(10):
            await self._zygote.wait()
            await self._reader

    async def start(self, *controllers: str) -> Process:
        """Start an operator and wait until it is ready, leading or not."""
        process = self._fork(controllers)
        async with asyncio.timeout(START_SECONDS):
            await process.ready.wait()
        return process

    def start_soon(self, *controllers: str) -> Process:
        """Start an operator, and do not wait for it."""
        return self._fork(controllers)

    def _fork(self, controllers: Sequence[str]) -> Process:
        self._count += 1
        process = Process(f"{'-'.join(controllers)}-{self._count}", controllers)
        self._all[process.id] = process
        self.running.append(process)
        order = {
            "id": process.id,
            "controllers": list(controllers),
            "url": self._api.url,
            "token": self._api.token,
            "ca": self._api.ca,
            "lease": self.lease,
        }
        assert self._zygote is not None and self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order).encode() + b"\n")
        return process

    async def kill(self, process: Process) -> None:
        """Kill -9, and start nothing in its place."""
        async with asyncio.timeout(START_SECONDS):
            await process.begun.wait()
            self.running.remove(process)
            self.killed += 1
            process.kill()
            await process.ended.wait()

    async def end(self, process: Process) -> None:
        """SIGTERM, and start nothing in its place."""
        self.running.remove(process)
        if (status := await process.end()) != 0:
            self.failures.append(f"{process.id} ended with {status} after SIGTERM")

    async def _read(self) -> None:
        assert self._zygote is not None and self._zygote.stdout is not None
        while line := await self._zygote.stdout.readline():
            said = json.loads(line)
            process = self._all[said["id"]]
            if "pid" in said:
                process.pid = said["pid"]
                process.begun.set()
            elif "ready" in said:
                process.ready.set()
            elif "tasks" in said:
                if process.told_tasks is not None:
                    process.told_tasks.set_result(said["tasks"])
            else:
                process.status = said["status"]
                process.ended.set()
                if process in self.running:  # by itself
                    self.running.remove(process)
                    if process.status == GAVE_UP:
                        self.gave_up += 1
                    else:
                        self.failures.append(f"{process.id} ended with {process.status}")
                    self._fork(process.controllers)
