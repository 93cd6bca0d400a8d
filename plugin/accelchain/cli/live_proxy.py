# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server on loopback that hands a browser what a worker shows, and adds the worker's token.

Its address holds a secret of its own, so that other users of the machine, and pages of other sites, see nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from html import escape
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from accelchain.cli.api_errors import right_of
from accelchain.cli.errors import Refused
from accelchain.cli.workers import Door, opened
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import Connection

JsonObject = dict[str, Any]
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_PAGE = """<!doctype html><meta charset="utf-8"><title>{name}</title>
<style>body{{font:15px system-ui;margin:2em;background:#111;color:#ddd}}img{{max-width:100%;display:block}}</style>
<h1>{name}</h1><pre id="figures">waiting …</pre>{views}
<script>
async function show() {{
  try {{
    const status = await (await fetch("status")).json();
    document.getElementById("figures").textContent = [`${{status.phase}}  ${{status.frames}}`
      + (status.total ? ` of ${{status.total}}` : "") + ` frames  ${{status.framesPerSecond.toFixed(1)}} frames/s`,
      ...status.functions.map(f => `${{f.name.padEnd(20)}} ${{f.device.padEnd(10)}} ${{f.framesPerSecond.toFixed(1)}}`
      + ` frames/s`)].join("\\n");
  }} catch (error) {{ document.getElementById("figures").textContent = "no worker at the moment"; }}
  setTimeout(show, 1000);
}}
show();
</script>
"""


class LiveProxy:
    """Serves while it is entered; ``worker`` says whom it shows.

    Args:
        client: the API that holds the worker's Secret.
        connection: what ports are forwarded through.
        namespace: of the flow.
        name: of the flow.
        port: to listen on; 0: a free one.
    """

    def __init__(self, client: KubeClient, connection: Connection, namespace: str, name: str, port: int = 0) -> None:
        self._client = client
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._port = port
        self._secret = secrets.token_urlsafe(16)
        self._worker: JsonObject | None = None
        self._door: tuple[str, Door] | None = None
        self._door_stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None
        self.ready = asyncio.Event()
        """Set when there is a worker to be shown."""
        self.url = ""

    async def __aenter__(self) -> LiveProxy:
        """Begin to listen.

        Raises:
            Refused: the port is taken.
        """
        app = web.Application()
        app.router.add_get(f"/{self._secret}/", self._page)
        app.router.add_get(f"/{self._secret}/{{path:status|stream|live/[A-Za-z0-9._-]+}}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5))
        )
        self._stack.push_async_callback(self._close_door)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        try:
            await site.start()
        except OSError as error:
            await self._stack.aclose()
            raise Refused(f"--port {self._port}: {error.strerror}; choose another one.") from None
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/{self._secret}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut all connections."""
        await self._stack.aclose()

    def worker(self, worker: JsonObject | None) -> None:
        """Show this worker from now on: an item of the flow's ``status.workers``; None: there is none at the moment."""
        self._worker = worker
        if worker is not None:
            self.ready.set()

    async def _page(self, _: web.Request) -> web.Response:
        paths = (self._worker or {}).get("live") or []
        views = "".join(
            f'<h2>{escape(path.rsplit("/", 1)[-1])}</h2><img alt="" src="{escape(path.lstrip("/"))}">' for path in paths
        )
        page = _PAGE.format(name=escape(self._name), views=views or "<p>This flow shows no video.</p>")
        return web.Response(text=page, content_type="text/html", headers=_HEADERS)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        """Hand on what the worker answers, as it comes."""
        try:
            door = await self._open()
        except ApiError as error:
            if error.code == 403:
                return _plain(403, f"you may not {right_of(error)}; ask the cluster's administrator for that right")
            return _plain(502, error.message)
        if door is None:
            return _plain(503, "there is no worker at the moment")
        assert self._session is not None, "it is entered first"
        url, headers = f"{door.base}/{request.match_info['path']}", {"Authorization": f"Bearer {door.token}"}
        response = web.StreamResponse(headers=_HEADERS)
        try:
            async with self._session.get(url, headers=headers, params=request.query) as answer:
                response.set_status(answer.status)
                response.headers["Content-Type"] = answer.headers.get("Content-Type", "application/octet-stream")
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
        except (aiohttp.ClientError, OSError) as error:  # the worker has ended, or the browser has gone
            if not response.prepared:
                return _plain(502, f"the worker does not answer: {error}")
        return response

    async def _open(self) -> Door | None:
        """Return the way to the worker of now."""
        async with self._lock:
            worker = self._worker
            if worker is None:
                return None
            if self._door is None or self._door[0] != worker["pod"]:
                await self._door_stack.aclose()
                self._door_stack = AsyncExitStack()
                door = await self._door_stack.enter_async_context(
                    opened(self._client, self._connection, self._namespace, worker)
                )
                self._door = (worker["pod"], door)
            return self._door[1]

    async def _close_door(self) -> None:
        async with self._lock:
            self._door = None
            await self._door_stack.aclose()
            self._door_stack = AsyncExitStack()


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=_HEADERS)
