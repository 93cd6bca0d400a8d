# SPDX-License-Identifier: Apache-2.0
"""A watch on which only bookmarks come is heard of, though kopf tells its handlers nothing of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import POD
from accelchain_operators.kube.transport import Listener, log_in, registry_of, run_kopf


class Heard(Listener):
    def __init__(self) -> None:
        self.pieces = 0
        self.lists = 0
        self.tries = 0
        self.codes: list[int] = []

    def tried(self, type: ResourceType) -> None:
        self.tries += 1

    def heard(self, type: ResourceType) -> None:
        assert type == POD
        self.pieces += 1

    def listed(self, type: ResourceType) -> None:
        self.lists += 1

    def answered(self, method: str, code: int, headers: Mapping[str, str]) -> None:
        self.codes.append(code)


def nobody() -> str:
    raise KeyError("getpwuid(): uid not found: 65532")


async def test_bookmarks_are_heard_and_tokens_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", nobody)  # as in our images, whose user is a number alone
    bookmarks, tokens = asyncio.Queue[str](), set()
    verbs = ["list", "watch"]
    pods = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": verbs, "singularName": "pod"}
    # Without this kind kopf begins with nothing.
    namespaces = {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": verbs, "singularName": ""}

    async def answer(request: web.Request) -> web.StreamResponse:
        tokens.add(request.headers["Authorization"])
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        if request.path == "/api/v1":
            return web.json_response({"groupVersion": "v1", "resources": [pods, namespaces]})
        if request.path != "/api/v1/pods":
            return web.json_response({"groups": [], "versions": [], "resources": []})
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            version = await bookmarks.get()
            if not version:
                return response
            meta = {"metadata": {"resourceVersion": version}}
            await response.write(json.dumps({"type": "BOOKMARK", "object": meta}).encode() + b"\n")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    token = ["first"]

    class Rotating(Connection):
        def current_token(self) -> str:
            return token[0]

    heard, events = Heard(), list[JsonObject]()
    registry = registry_of({POD: ""}, lambda *event: events.append(event[2]))
    log_in(registry, Rotating(str(server.make_url("")).rstrip("/")), {POD: ""}, heard)
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run_kopf(registry, {POD: ""}, (), ready, stop))
    try:
        async with asyncio.timeout(20):
            while heard.pieces < 1:  # the watch was answered
                await asyncio.sleep(0.01)
            before = heard.pieces
            for version in ("5", "9"):
                bookmarks.put_nowait(version)
                while heard.pieces == before:
                    await asyncio.sleep(0.01)
                before = heard.pieces
            token[0] = "second"
            bookmarks.put_nowait("")  # the server ends the watch
            while "Bearer second" not in tokens:
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await asyncio.wait({task}, timeout=10)
        bookmarks.put_nowait("")
        await server.close()
    assert events == []
    assert heard.lists == 1
    assert heard.tries >= 3
    assert set(heard.codes) == {200}
