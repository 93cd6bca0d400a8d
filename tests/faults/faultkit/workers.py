# SPDX-License-Identifier: Apache-2.0
"""Simulated workers and the one server of their status: streams of documents, and grants to publish."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from accelchain_operators.kube.client import JsonObject
from faultkit.scripts import Script

PORT = 9090
GRANT_SECONDS = 1.0
"""How long after it arrived a grant counts: 5 s in real workers."""
FRAMES_A_SECOND = 100.0


class Node:
    """A machine: its workers and kubelet stand still while it is frozen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.awake = asyncio.Event()
        self.awake.set()
        self.frozen_at: float | None = None

    def freeze(self) -> None:
        """Stand still."""
        self.frozen_at = self.frozen_at or time.monotonic()
        self.awake.clear()


class ToldToEnd(Exception):  # noqa: N818  (says what happened)
    """SIGTERM, as the worker sees it."""


@dataclass
class Publication:
    """What an attempt showed to the world."""

    flow: str
    """Its uid."""
    attempt: int
    first: int
    """Number of its first frame."""
    after: int
    """Number of the frame after its last one."""
    granted: bool
    """False: a Stream worker that was told to end."""
    time: float


@dataclass
class Worker:
    """A process of one attempt."""

    pod: JsonObject
    node: Node
    plan: JsonObject
    token: str
    script: Script
    document: JsonObject = field(default_factory=lambda: {"phase": "Starting"})
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    granted_at: float = 0.0
    source_ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the work of one that would never end."""
    alive: bool = True
    began: float = 0.0
    heard: bool = False
    """Whether an operator has had a document of it."""

    @property
    def flow(self) -> str:
        """The uid of its flow."""
        return str(self.plan["flow"]["uid"])

    @property
    def number(self) -> int:
        """Its attempt."""
        return int(self.plan["attempt"]["number"])

    @property
    def first(self) -> int:
        """The number of its first frame."""
        return int(self.plan["attempt"]["startFrame"])

    def frames(self) -> int:
        """How many frames it has made."""
        return int((time.monotonic() - self.began) * FRAMES_A_SECOND) if self.began else 0

    def say(self, phase: str, **fields: Any) -> None:
        """Change its document."""
        self.document = {"phase": phase, "frames": self.frames(), "framesPerSecond": FRAMES_A_SECOND, **fields}
        self.changed.set()
        self.changed = asyncio.Event()

    async def rest(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """Let time pass, or wait for an event, as far as the node is awake. Raises ToldToEnd."""
        waits = [asyncio.create_task(e.wait()) for e in (self.told, event) if e is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        await self.node.awake.wait()
        if self.told.is_set():
            raise ToldToEnd


class WorkerServer:
    """Serves the status of all workers of a cluster at one address: their tokens tell them apart."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.published: list[Publication] = []
        self.refused_grants: list[tuple[str, int, str]] = []
        """Flow, attempt and why, of grants that came too late or to the wrong one."""
        self.on_publish: Callable[[Publication], None] = lambda _: None
        self._workers: dict[str, Worker] = {}
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_post("/publish", self._publish)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)

    async def open(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self.ip, PORT).start()

    async def close(self) -> None:
        """End all streams."""
        await self._runner.cleanup()

    def add(self, worker: Worker) -> None:
        """Serve a worker's status."""
        self._workers[worker.token] = worker

    def remove(self, worker: Worker) -> None:
        """Its process has ended."""
        worker.alive = False
        worker.changed.set()
        self._workers.pop(worker.token, None)

    def publish(self, worker: Worker, granted: bool) -> int:
        """Show what a worker made; returns the number of the frame after the last one."""
        after = worker.first + worker.frames()
        publication = Publication(worker.flow, worker.number, worker.first, after, granted, time.monotonic())
        self.published.append(publication)
        self.on_publish(publication)
        return after

    def _worker(self, request: web.Request) -> Worker:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        worker = self._workers.get(token)
        if worker is None:
            raise web.HTTPForbidden
        assert hashlib.sha256(token.encode()).hexdigest() == worker.plan["tokenSha256"]
        return worker

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        response = web.StreamResponse()
        await worker.node.awake.wait()
        await response.prepare(request)
        last = False
        while not last and request.transport is not None and not request.transport.is_closing():
            await worker.node.awake.wait()
            last = not worker.alive
            changed, document = worker.changed, worker.document
            if not last and document["phase"] == "Running":
                document = {**document, "frames": worker.frames()}
            try:
                await response.write(json.dumps(document).encode() + b"\n")
            except ConnectionResetError:
                break
            worker.heard = True
            if not last:
                try:
                    async with asyncio.timeout(0.5):
                        await changed.wait()
                except TimeoutError:
                    continue
        return response

    async def _publish(self, request: web.Request) -> web.Response:
        # It may lie in a frozen machine's socket: then it is read when the machine thaws, and its age tells.
        received = time.monotonic()
        worker, body = self._worker(request), await request.json()
        if worker.script.freezes_at_grant:
            worker.node.freeze()
        await worker.node.awake.wait()
        age = time.monotonic() - received
        why = ""
        if body != {"attempt": worker.number}:
            why = f"{body} for attempt {worker.number}"
        elif age > GRANT_SECONDS:
            why = f"{age:.1f} s old"
        elif not worker.alive or worker.document["phase"] != "Publishing":
            why = "nothing waits for it"
        if why:
            self.refused_grants.append((worker.flow, worker.number, why))
            return web.json_response({"message": why}, status=409)
        worker.granted_at = received
        worker.granted.set()
        return web.json_response({})
