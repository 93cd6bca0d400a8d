# SPDX-License-Identifier: Apache-2.0
"""A whole cluster in one process: embedded API, operators, kubelet and node agent; workers beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from accelchain.api.crd import crds
from accelchain.cli.errors import RunFailed
from accelchain.cli.installed import function_types
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.kubelet import Kubelet
from accelchain_operators.node.agent import InventoryError, publish

if TYPE_CHECKING:
    from accelchain_operators.localkube.server import LocalKube

T = TypeVar("T")
_START_DEADLINE = 60.0
"""Seconds within which the operators must be there."""
_FUNCTIONS = "ACCELCHAIN_FUNCTIONS"


class LocalCluster:
    """Use it as an asynchronous context manager; nothing of it is left when it is closed.

    Args:
        functions: folders with functions of the user's own.
        folder: where pods' files live; a temporary one where None.
        pool_size: workers that are kept warm.
        refill_seconds: when a warm worker that was taken is replaced; None: never, for a single run.
        namespace: made where it is not one that every cluster has.

    Raises:
        Refused: a folder of functions is missing, or holds a manifest that can't be read.
    """

    def __init__(
        self,
        functions: Sequence[str] = (),
        folder: Path | None = None,
        pool_size: int = 1,
        refill_seconds: float | None = None,
        namespace: str = "default",
    ) -> None:
        self._types = function_types(functions)
        self._namespace = namespace
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="accelchain-"))
        self._node_name = socket.gethostname().lower()
        named = [text for text in os.environ.get(_FUNCTIONS, "").split(os.pathsep) if text]
        places = [*map(Path, functions), *(Path(text).expanduser() for text in named)]
        folders = [str(place.resolve()) for place in places]  # whole paths: a worker starts in a folder of its own
        self._environment = {_FUNCTIONS: os.pathsep.join(folders)}
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
        self._api: LocalKube | None = None
        self._operators: _OperatorThread | None = None

    async def __aenter__(self) -> LocalCluster:
        """Start everything; return when a DataFlow would be taken up at once.

        Raises:
            RunFailed: a part did not start.
        """
        try:
            await self._start()
        except BaseException as error:
            await self._stack.aclose()
            cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            if isinstance(cause, InventoryError | ApiError | OSError | RuntimeError):
                raise RunFailed(f"the local cluster did not start: {cause}") from None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, in the opposite order."""
        await self._stack.aclose()

    @property
    def api(self) -> LocalKube:
        """The embedded API, once it is entered."""
        assert self._api is not None, "it is entered first"
        return self._api

    async def until_broken(self) -> None:
        """Wait for as long as all parts work.

        Raises:
            RunFailed: one has ended.
        """
        assert self._operators is not None, "it is entered first"
        await self._operators.ended.wait()
        raise RunFailed(f"the operators ended: {self._operators.failure}")

    async def while_whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that needs this cluster; it is cancelled when a part of the cluster ends.

        Raises:
            RunFailed: a part has ended.
        """
        tasks = asyncio.create_task(work), asyncio.create_task(self.until_broken())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] not in done:
                await tasks[1]
            return await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self) -> None:
        if self._temporary:
            self._stack.callback(shutil.rmtree, self._folder)
        self._stack.push_async_callback(self._stop_api)
        self._stack.push_async_callback(self.client.close)
        self._stack.push_async_callback(self._kubelet.stop)
        self._kubelet.prewarm()
        # Imported here: the workers warm up meanwhile.
        from accelchain_operators.localkube.server import LocalKube

        self._api = LocalKube()
        self._fill()
        await self.api.start()
        self.client.connection = Connection(self.api.url, self.api.token, ca=self.api.ca)
        self._operators = _OperatorThread(self.client.connection)
        self._stack.push_async_callback(self._operators.stop)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._operators.start())
            group.create_task(self._kubelet.start())
            group.create_task(publish(self.client, self._node_name, self._environment))

    async def _stop_api(self) -> None:
        if self._api is not None:
            await self._api.stop()

    def _fill(self) -> None:
        """Put in what a cluster's administrator has installed."""
        for obj in (*crds(), *(t.to_dict() for t in self._types)):
            self.api.put(obj)
        if self._namespace != "default":
            self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}})
        self.api.add_log_source(self._node_name, self._kubelet.logs)


class _OperatorThread:
    """The operators in a thread of their own: kopf wants an event loop for itself."""

    def __init__(self, connection: Connection) -> None:
        self.ended = asyncio.Event()
        """Set when the operators are no more."""
        self.failure: BaseException | None = None
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._stop, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="operators", daemon=True)

    def _run(self) -> None:
        from accelchain_operators.main import run_operators  # kopf: in this thread, while others start

        try:
            run_operators(lambda: HttpClient(connection=self._connection), self._stop, self._ready)
        except BaseException as error:  # told to whoever waits
            self.failure = error
        finally:
            self._ready.set()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self.ended.set)

    async def start(self) -> None:
        """Return when the operators see every change.

        Raises:
            RuntimeError: they ended, or were not there in time.
        """
        self._thread.start()
        if not await asyncio.to_thread(self._ready.wait, _START_DEADLINE):
            raise RuntimeError(f"the operators were not ready after {_START_DEADLINE:.0f} s")
        if self.failure is not None:
            raise RuntimeError(f"the operators ended: {self.failure}")

    async def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 10.0)
