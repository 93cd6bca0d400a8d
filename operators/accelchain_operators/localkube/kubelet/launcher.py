# SPDX-License-Identifier: Apache-2.0
"""How a worker comes to be: out of the warm pool, or cold where no warm one fits."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelchain_operators.localkube.kubelet.pool import LINE_LIMIT, Assignment, WarmPool
from accelchain_operators.localkube.kubelet.prepare import Preparation
from accelchain_operators.localkube.kubelet.process import Process

# -P: a file in the working directory never hides a module.
WORKER = (sys.executable, "-P", "-m", "accelchain_runtime.worker")
PREPARE = (sys.executable, "-P", "-m", "accelchain_runtime.prepare")
DIE_WITH_PARENT = "--die-with-parent"
WARM = "--warm"

READ_AT_START = ("POCL_", "OCL_", "PYOPENCL_", "CUDA_", "NVIDIA_", "OMP_", "PYTHON", "LD_", "MALLOC_")
READ_AT_START_NAMES = ("ACCELCHAIN_FUNCTIONS", "ACCELCHAIN_CACHE", "HOME", "PATH", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True)
class Commands:
    """The programs that are started. Tests and other runtimes give their own."""

    worker: Sequence[str] = WORKER
    prepare: Sequence[str] = PREPARE


def fits_warm(variables: Mapping[str, str], base: Mapping[str, str]) -> bool:
    """Tell whether a process that was started with ``base`` can still take over a pod's variables.

    A variable that drivers, the loader or the interpreter read when they start cannot be changed afterwards.
    """
    return all(
        base.get(name) == value
        for name, value in variables.items()
        if name.startswith(READ_AT_START) or name in READ_AT_START_NAMES
    )


class Launcher:
    """Starts workers."""

    def __init__(
        self,
        commands: Commands,
        environment: Mapping[str, str],
        folder: Path,
        pool_size: int,
        refill_seconds: float | None,
    ) -> None:
        self._worker = commands.worker
        self._environment = {**os.environ, **environment}
        self._preparation = Preparation(commands.prepare, self._environment)
        self._pool = WarmPool(
            [*self._worker, WARM, DIE_WITH_PARENT], self._environment, folder, pool_size, refill_seconds
        )
        self._prepared: asyncio.Task[None] | None = None

    @property
    def preparing(self) -> bool:
        """Whether kernels are being compiled, so that a start has to wait."""
        return self._prepared is not None and not self._prepared.done()

    def prewarm(self) -> None:
        """Start the warm workers, unless kernels are to be compiled first. Needs no running event loop."""
        if self._preparation.done:
            self._pool.prewarm()

    def start(self) -> None:
        """Compile kernels where that was not done yet, then fill the pool."""
        self._prepared = asyncio.create_task(self._prepare())

    async def stop(self) -> None:
        """End the compilation and every worker without a pod."""
        if self._prepared is not None:
            self._prepared.cancel()
            await asyncio.wait({self._prepared})
        await self._pool.stop()

    async def warm_ready(self) -> None:
        """Return when a warm worker is ready.

        Raises:
            WorkerFailed: it ended instead.
        """
        await self.prepared()
        await self._pool.warm_ready()

    async def launch(self, assignment: Assignment) -> Process:
        """Start a worker for a pod.

        Raises:
            OSError: the process cannot be started.
        """
        await self.prepared()
        line = assignment.line()
        if len(line) <= LINE_LIMIT and fits_warm(assignment.environment, self._environment):
            process = self._pool.take(line, assignment.log)
            if process is not None:
                return process
        return Process(
            [*self._worker, DIE_WITH_PARENT, *assignment.args],
            environment={**self._environment, **assignment.environment},
            folder=assignment.folder,
            log=assignment.log,
        )

    async def prepared(self) -> None:
        """Return when kernels are compiled, or were before."""
        assert self._prepared is not None, "start() comes first"
        await asyncio.shield(self._prepared)

    async def _prepare(self) -> None:
        await self._preparation.run()
        self._pool.start()
