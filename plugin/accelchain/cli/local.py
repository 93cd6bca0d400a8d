# SPDX-License-Identifier: Apache-2.0
"""A whole cluster in one process: embedded API, operators, kubelet and node agent; workers beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from accelchain.api.crd import crds
from accelchain.cli.errors import RunFailed
from accelchain.cli.installed import function_types
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.kubelet import Kubelet
from accelchain_operators.node.agent import InventoryError, publish

_START_DEADLINE = 60.0
"""Seconds within which the operators must be there."""


class LocalCluster:
    """Use it as an asynchronous context manager; nothing of it is left when it is closed.

    Args:
        functions: folders with functions of the user's own.
        folder: where pods' files live; a temporary one where None.
        pool_size: workers that are kept warm.
        refill_seconds: when a warm worker that was taken is replaced; None: never, for a single run.
    """

    def __init__(
        self,
        functions: Sequence[str] = (),
        folder: Path | None = None,
        pool_size: int = 1,
        refill_seconds: float | None = None,
    ) -> None:
        self._types = function_types(functions)
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="accelchain-"))
        self._node_name = socket.gethostname().lower()
        self._environment = {"ACCELCHAIN_FUNCTIONS": os.pathsep.join(str(Path(f).resolve()) for f in functions)}
        # The client learns where the API is once it listens; workers start to warm up before that.
        self.client = HttpClient()
        self._kubelet = Kubelet(
            self.client,
            self._node_name,
            self._folder,
            pool_size,
            self._environment,
            refill_seconds=refill_seconds,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> LocalCluster:
        """Start everything; return when a DataFlow would be taken up at once.

        Raises:
            RunFailed: a part did not start.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, in the opposite order."""
        await self._stack.aclose()

    async def _start(self) -> None:
        if self._temporary:
            self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._kubelet.prewarm()
        self._stack.push_async_callback(self._kubelet.stop)
        # Imported here: the workers warm up meanwhile.
        from accelchain_operators.localkube.server import LocalKube

        self.api = LocalKube()
        for obj in (*crds(), *(t.to_dict() for t in self._types)):
            self.api.put(obj)
        self.api.add_log_source(self._node_name, self._kubelet.logs)
        await self.api.start()
        self._stack.push_async_callback(self.api.stop)
        self.client.connection = Connection(self.api.url, self.api.token, ca=self.api.ca)
        self._stack.push_async_callback(self.client.close)
        operators = _OperatorThread(self.client.connection)
        self._stack.push_async_callback(operators.stop)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(operators.start())
                group.create_task(self._kubelet.start())
                group.create_task(publish(self.client, self._node_name, self._environment))
        except* (InventoryError, OSError, RuntimeError) as errors:
            raise RunFailed(f"the local cluster did not start: {errors.exceptions[0]}") from None


class _OperatorThread:
    """The operators in a thread of their own: kopf wants an event loop for itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stop, self._ready = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="operators", daemon=True)

    def _run(self) -> None:
        from accelchain_operators.main import run_operators  # kopf: in this thread, while others start

        try:
            run_operators(lambda: HttpClient(connection=self._connection), self._stop, self._ready)
        except BaseException as error:  # told to whoever waits
            self._failure = error
        finally:
            self._ready.set()

    async def start(self) -> None:
        """Return when the operators see every change.

        Raises:
            RuntimeError: they ended, or were not there in time.
        """
        self._thread.start()
        if not await asyncio.to_thread(self._ready.wait, _START_DEADLINE):
            raise RuntimeError(f"the operators were not ready after {_START_DEADLINE:.0f} s")
        if self._failure is not None:
            raise RuntimeError(f"the operators ended: {self._failure}")

    async def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 10.0)
