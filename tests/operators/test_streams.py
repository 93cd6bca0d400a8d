# SPDX-License-Identifier: Apache-2.0
"""Workers' status streams: reconnected while wanted, closed when not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from accelchain_operators.kube.streams import Streams
from accelchain_operators.reconcile.actions import Grant, WorkerWatch


class Worker:
    """A worker's status server; every connection gets the next script."""

    def __init__(self, port: int) -> None:
        self.watch = WorkerWatch("pod-uid", "pod", "ns", f"http://127.0.0.1:{port}/stream", "secret")
        self.scripts: list[list[Any]] = []
        self.connections = 0
        self.open = 0
        self.tokens: list[str] = []
        self.grants: list[Any] = []
        self.refusals = 0
        """How many grants are refused before one is taken."""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization", ""))
        self.connections += 1
        self.open += 1
        try:
            response = web.StreamResponse()
            await response.prepare(request)
            for item in self.scripts.pop(0) if self.scripts else []:
                if item is ...:
                    while request.transport is not None and not request.transport.is_closing():
                        await asyncio.sleep(0.01)
                else:
                    await response.write(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n")
            return response
        finally:
            self.open -= 1

    async def publish(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        self.grants.append(await request.json())
        if len(self.grants) <= self.refusals:
            return web.json_response({"error": "not yet"}, status=409)
        return web.json_response({})


@pytest.fixture
async def worker(unused_tcp_port: int) -> AsyncIterator[Worker]:
    one = Worker(unused_tcp_port)
    app = web.Application()
    app.router.add_get("/stream", one.stream)
    app.router.add_post("/publish", one.publish)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield one
    await runner.cleanup()


@pytest.fixture
async def streams() -> AsyncIterator[tuple[Streams, list[str]]]:
    news: list[str] = []
    one = Streams(news.append, lambda: 7.0)
    yield one, news
    await one.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_latest_document_is_kept_and_a_new_phase_is_news(
    worker: Worker, streams: tuple[Streams, list[str]]
) -> None:
    one, news = streams
    worker.scripts = [
        [{"phase": "Starting"}, {"phase": "Running", "frames": 1}, {"phase": "Running", "frames": 2}, ...]
    ]
    one.want("flow", [worker.watch])
    await until(lambda: one.documents(["pod-uid"]).get("pod-uid", {}).get("frames") == 2)
    assert news == ["flow", "flow"]
    assert one.phase_since(["pod-uid", "another"]) == {"pod-uid": 7.0}
    assert worker.tokens == ["Bearer secret"]


async def test_a_stream_that_breaks_is_opened_again(worker: Worker, streams: tuple[Streams, list[str]]) -> None:
    one, _ = streams
    worker.scripts = [
        [{"phase": "Running", "frames": 1}],
        [b"no json\n"],
        [b'"text"\n'],
        [{"phase": "Running", "frames": 9}, ...],
    ]
    one.want("flow", [worker.watch])
    await until(lambda: one.documents(["pod-uid"]).get("pod-uid", {}).get("frames") == 9)
    assert worker.connections == 4


async def test_a_stream_that_is_not_wanted_any_more_is_closed(
    worker: Worker, streams: tuple[Streams, list[str]]
) -> None:
    one, _ = streams
    worker.scripts = [[{"phase": "Running"}, ...]]
    one.want("flow", [worker.watch])
    await until(lambda: worker.open == 1)
    one.want("flow", [worker.watch])
    assert worker.connections == 1
    one.want("flow", [])
    await until(lambda: worker.open == 0)


async def test_a_line_without_end_does_not_fill_memory(worker: Worker, streams: tuple[Streams, list[str]]) -> None:
    one, _ = streams
    worker.scripts = [[b"x" * 65536 for _ in range(40)] + [...], [{"phase": "Running"}, ...]]
    one.want("flow", [worker.watch])
    await until(lambda: "pod-uid" in one.documents(["pod-uid"]))
    assert worker.connections == 2


async def test_a_pod_that_is_gone_leaves_no_document(worker: Worker, streams: tuple[Streams, list[str]]) -> None:
    one, _ = streams
    worker.scripts = [[{"phase": "Running"}, ...]]
    one.want("flow", [worker.watch])
    await until(lambda: "pod-uid" in one.documents(["pod-uid"]))
    one.want("flow", [])
    one.forget("pod-uid")
    assert one.documents(["pod-uid"]) == one.phase_since(["pod-uid"]) == one.granted_at(["pod-uid"]) == {}


async def test_a_worker_is_told_that_it_may_publish_until_it_does(
    worker: Worker, streams: tuple[Streams, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelchain_operators.kube.streams.GRANT_PERIOD", 0.01)
    one, _ = streams
    worker.refusals = 2
    worker.scripts = [[{"phase": "Publishing"}, ...]]
    one.want("flow", [worker.watch])
    await until(lambda: "pod-uid" in one.documents(["pod-uid"]))
    for _ in range(3):
        one.grant("flow", [Grant(worker.watch, 2)])  # the same again, as every look at the flow says it
    await until(lambda: len(worker.grants) >= 4)
    assert worker.grants[0] == {"attempt": 2}
    assert one.granted_at(["pod-uid"]) == {"pod-uid": 7.0}
    one.forget("pod-uid")  # as any other document would: it no longer asks
    one.want("flow", [])
    told = len(worker.grants)
    one.grant("flow", [])
    await until(lambda: not one.is_granting("flow", "pod-uid"))
    assert len(worker.grants) <= told + 1


async def test_a_grant_that_is_withdrawn_is_not_repeated(
    worker: Worker, streams: tuple[Streams, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelchain_operators.kube.streams.GRANT_PERIOD", 0.01)
    one, _ = streams
    worker.scripts = [[{"phase": "Publishing"}, ...]]
    one.want("flow", [worker.watch])
    await until(lambda: "pod-uid" in one.documents(["pod-uid"]))
    one.grant("flow", [Grant(worker.watch, 1)])
    assert one.is_granting("flow", "pod-uid")
    await until(lambda: bool(worker.grants))
    one.grant("flow", [])
    assert not one.is_granting("flow", "pod-uid")
