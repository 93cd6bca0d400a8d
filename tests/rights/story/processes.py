# SPDX-License-Identifier: Apache-2.0
"""accelchain's processes as a cluster runs them: each by itself, with the token of its own ServiceAccount."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.leftovers import remove
from accelchain_operators.kube.life import Post
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import service_account
from accelchain_operators.main import run_operators
from accelchain_operators.node.life import Place, run_node
from accelchain_operators.reconcile.worker_options import LaptopOptions

HOME, RELEASE = "accelchain-system", "accelchain"
START, END = 60.0, 20.0


def account_of(part: str) -> str:
    """Return the name of a part's ServiceAccount."""
    return f"accelchain-{part}"


class Process:
    """A part in a thread with an event loop of its own."""

    def __init__(self, part: str, run: Callable[[threading.Event, threading.Event], None]) -> None:
        self.name = part
        self.failure: BaseException | None = None
        self._stop, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(run,), name=part, daemon=True)

    def _run(self, run: Callable[[threading.Event, threading.Event], None]) -> None:
        try:
            run(self._stop, self._ready)
        except BaseException as error:
            self.failure = error
        finally:
            self._ready.set()

    async def start(self) -> Process:
        self._thread.start()
        assert await asyncio.to_thread(self._ready.wait, START), f"{self._thread.name} is not ready"
        return self

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, END)
        assert not self._thread.is_alive(), f"{self._thread.name} does not end"


def _client_of(api: LocalKube, part: str) -> Callable[[], HttpClient]:
    token = api.users.add(service_account(HOME, account_of(part)))
    connection = Connection(api.url, token, ca=api.ca, namespace=HOME)
    return lambda: HttpClient(connection=connection)


def operator(api: LocalKube, part: str) -> Process:
    """Return an operator: one controller, with a Lease."""
    client = _client_of(api, part)

    def run(stop: threading.Event, ready: threading.Event) -> None:
        run_operators(client, stop, ready, worker=LaptopOptions(), controllers=(part,), post=Post(HOME))

    return Process(part, run)


async def uninstall(api: LocalKube) -> list[str]:
    """Do what the hook of ``helm uninstall`` does, and return what it removed."""
    client = _client_of(api, "uninstall")()
    try:
        return [removal.what async for removal in remove(client, RELEASE, HOME)]
    finally:
        await client.close()


def node_agent(api: LocalKube, node: str) -> Process:
    """Return the agent of a node."""
    client = _client_of(api, "node")

    def run(stop: threading.Event, ready: threading.Event) -> None:
        ready.set()  # what it has published tells when it is
        run_node(client, stop, Place(node, HOME))

    return Process("node", run)
