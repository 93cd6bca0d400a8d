# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: who is let in, how much is read, how long that may take. It knows nothing of templates.

Argo's agent takes a 404 as "this plugin has no such method" for the rest of the workflow, any other code but 200 and
503 as the node's end, and gives up after 30 s (argoproj/argo-workflows v4.1.2, workflow/util/plugin/plugin.go:Call).
So a caller with the right token gets 200 for whatever it sends to our method.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from accelchain.argo.executor import replies
from accelchain.argo.executor.token import Token

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]
Execute = Callable[[bytes], Awaitable[JsonObject]]
"""Answers the body of a request; raises nothing."""

METHOD = "/api/v1/template.execute"
HEALTH = "/healthz"
_BACKLOG = 128
_STOP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the server."""

    body: int = 2 * 1024 * 1024
    """Bytes that are looked at: etcd holds no object above 1.5 MiB, so no template is larger."""
    drained: int = 64 * 1024 * 1024
    """Bytes of a body that are read, and thrown away, so that a client which writes before it reads hears why."""
    head_seconds: float = 10.0
    """From a connection's begin to the end of its first request's head."""
    body_seconds: float = 10.0
    idle_seconds: float = 75.0
    """Between two requests, and for the head of the later one. More than the longest requeue: the agent's connections
    are not closed while it is about to use them."""
    connections: int = 256
    """At once; Argo's agent has 16 workers."""


class HttpServer(web.Server):
    """Argo's protocol over HTTP/1.1.

    Args:
        execute: Answers the method's requests.
        token: What callers must show.
        limits: What a client may ask.
    """

    def __init__(self, execute: Execute, token: Token, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._execute = execute
        self._token = token
        # A compressed body would be larger than it looks; Argo sends none.
        self._options: JsonObject = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": self.limits.idle_seconds,
            "lingering_time": 0.5,
        }
        super().__init__(self._answer)

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen for as long as the context lasts, and yield the port; open requests are broken off at its end.

        Raises:
            OSError: the address is taken.
        """
        listener = await asyncio.get_running_loop().create_server(self, host, port, backlog=_BACKLOG)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            await self.shutdown(_STOP_SECONDS)
            await listener.wait_closed()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.protocol, _Connection):
            request.protocol.head_arrived()
        if request.path == HEALTH:
            return _plain(200, "ok") if request.method in ("GET", "HEAD") else _plain(405, "only GET", Allow="GET")
        if code := self._token.refusal(request.headers.get("Authorization", "")):
            why = (
                "give the bearer token of this agent pod" if code == 401 else "this is not the token of this agent pod"
            )
            return _closed(_plain(code, why, **({"WWW-Authenticate": "Bearer"} if code == 401 else {})))
        if request.path != METHOD:
            return _closed(_plain(404, f"there is {METHOD} here, and {HEALTH}"))
        if request.method != "POST":
            return _closed(_plain(405, "only POST", Allow="POST"))
        return await self._post(request)

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body, size = await self._read(request)
        except TimeoutError:
            logger.warning("a request's body did not arrive within %.0f s", self.limits.body_seconds)
            return _closed(_json(replies.failure("Error", "the request did not arrive in time.")))
        if body is None:
            text = f"the request has {size} bytes or more, {self.limits.body} are allowed; make the template smaller."
            logger.warning("%s", text)
            return _closed(_json(replies.failure("Failed", text)))
        return _json(await self._execute(body))

    async def _read(self, request: web.BaseRequest) -> tuple[bytes | None, int]:
        """Return the body (None: it is too large) and how many bytes of it were seen."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size <= self.limits.body:
                chunks.append(chunk)
                continue
            chunks.clear()
            if size > self.limits.drained:
                break
        return (None if size > self.limits.body else b"".join(chunks)), size


class _Connection(web.RequestHandler):
    """A client's connection. aiohttp bounds what a head may hold, but not how long the first one may take."""

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        if len(self._server.connections) >= self._server.limits.connections:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        super().connection_made(transport)
        self._late = asyncio.get_running_loop().call_later(self._server.limits.head_seconds, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self.head_arrived()
        super().connection_lost(exc)

    def head_arrived(self) -> None:
        """Stop the clock."""
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _json(document: JsonObject) -> web.Response:
    body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return web.Response(body=body, content_type="application/json")


def _plain(code: int, text: str, **headers: str) -> web.Response:
    return web.Response(status=code, text=f"{text}\n", headers=headers)


def _closed(response: web.Response) -> web.Response:
    """Have the connection closed after the answer: what is left of the request is not waited for."""
    response.force_close()
    return response
