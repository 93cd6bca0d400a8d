# SPDX-License-Identifier: Apache-2.0
"""An embedded API in a thread of its own, so that blocking clients (kubectl, the Python client) can use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.localkube.server import LocalKube, Options


class ThreadedKube:
    """A LocalKube whose loop runs in a thread."""

    def __init__(self, options: Options | None = None) -> None:
        self.kube = LocalKube(options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.run(self.kube.start())

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def call(self, function: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            return function()

        return self.run(inside())

    def stop(self) -> None:
        self.run(self.kube.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def threaded_kube() -> Iterator[Callable[..., ThreadedKube]]:
    """Start servers with options of the test's own."""
    running: list[ThreadedKube] = []

    def start(options: Options | None = None) -> ThreadedKube:
        server = ThreadedKube(options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def shared_kube() -> Iterator[ThreadedKube]:
    """One server for all tests that don't need it to themselves."""
    server = ThreadedKube()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_kubeconfig(shared_kube: ThreadedKube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("localkube") / "kubeconfig"
    shared_kube.kube.write_kubeconfig(path)
    return path
