# SPDX-License-Identifier: Apache-2.0
"""kopf as a transport: it watches and logs in, and writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
from yarl import URL

from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection

STOP_TIMEOUT = 1.0
"""Seconds that kopf gets to end by itself: stopped while it still starts, it would wait 5 s for hung requests."""


def registry_of(
    watched: Iterable[ResourceType], on_event: Callable[[ResourceType, str | None, JsonObject], None]
) -> kopf.OperatorRegistry:
    """Return a registry with one handler a kind, which hands the object on and does nothing else.

    Args:
        watched: The kinds.
        on_event: Told of the kind, the event's type (None: the object was listed) and the object.
    """
    registry = kopf.OperatorRegistry()

    def watch(type: ResourceType) -> None:
        group, _, version = type.api_version.rpartition("/")

        @kopf.on.event(group, version, type.plural, id=type.plural, registry=registry)
        async def hand_on(event: Any, **_: Any) -> None:
            on_event(type, event["type"], event["object"])

    for type in watched:
        watch(type)
    return registry


class Listener:
    """Told what kopf's session does, which kopf itself tells nobody. Does nothing: override what you need."""

    def tried(self, type: ResourceType) -> None:
        """A list or watch of the kind was asked for."""

    def heard(self, type: ResourceType) -> None:
        """A piece of a watch arrived: an event, or a bookmark, of which kopf tells no handler."""

    def listed(self, type: ResourceType) -> None:
        """The kind was listed by kopf, at its start or after a 410. An empty list shows in no event."""

    def answered(self, method: str, code: int, headers: Mapping[str, str]) -> None:
        """A request was answered; code 0: it was not."""


def settings(watched: Mapping[ResourceType, str]) -> kopf.OperatorSettings:
    """Return kopf's settings: no Events, no scan for new kinds, and never the end of our process."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.queueing.exit_timeout = 0.5
    # kopf would kill -9 the whole process, which may be somebody's command line, so long after a stop.
    chosen.process.ultimate_exiting_timeout = None
    for type, selector in watched.items():
        if selector:
            group, _, version = type.api_version.rpartition("/")
            chosen.watching.label_selectors[group, version, type.plural] = selector
    return chosen


def log_in(
    registry: kopf.OperatorRegistry, connection: Connection, watched: Iterable[ResourceType], listener: Listener
) -> None:
    """Have kopf log in as our own client does. It asks again only after a 401.

    Args:
        registry: Gets the login handler.
        connection: Where the API is and who we are.
        watched: The kinds that the listener is told of.
        listener: Told what the session does.
    """
    tried: set[str] = set()

    @kopf.on.login(registry=registry, id="log-in")
    async def session(**_: Any) -> kopf.AiohttpSession | None:
        context, token = connection.ssl_context(), connection.current_token()
        if token in tried:
            return None  # kopf ends then, and so do we: better than to ask for ever
        tried.add(token)
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if context is None else context),
            trace_configs=[_trace(connection, watched, listener)],
            response_class=_response_class(watched, listener),
        )
        # kopf closes the session.
        return kopf.AiohttpSession(
            server=connection.server, default_namespace=connection.namespace, aiohttp_session=http
        )


def _kind_of(url: URL, watched: Iterable[ResourceType]) -> ResourceType | None:
    for type in watched:
        root = "apis" if "/" in type.api_version else "api"
        # Not from the path's beginning: a cluster may be served below a path of a gateway.
        if f"/{root}/{type.api_version}/" in url.path and url.path.endswith(f"/{type.plural}"):
            return type
    return None


def _trace(connection: Connection, watched: Iterable[ResourceType], listener: Listener) -> aiohttp.TraceConfig:
    async def started(_session: Any, _context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        # For each request, not for the session: the kubelet rotates tokens.
        params.headers.update(connection.headers())
        if (type := _kind_of(params.url, watched)) is not None:
            listener.tried(type)

    async def ended(_session: Any, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        listener.answered(params.method, params.response.status, params.response.headers)
        type = _kind_of(params.url, watched)
        if type is not None and params.method == "GET" and "watch" not in params.url.query:
            listener.listed(type)

    async def failed(_session: Any, _context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        listener.answered(params.method, 0, {})

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace


def _response_class(watched: Iterable[ResourceType], listener: Listener) -> type[aiohttp.ClientResponse]:
    """Return a class of responses that tell of each piece of a watch."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            kind = _kind_of(self.url, watched) if "watch" in self.url.query else None
            if kind is not None and self.status < 400:
                self.content = _Heard(self.content, lambda: listener.heard(kind))  # type: ignore[assignment]
            return self

    return Response


class _Heard:
    """A stream that tells of each piece that is read. kopf reads by ``iter_chunked``; the rest is the stream's own."""

    def __init__(self, stream: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard
        heard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for piece in self._stream.iter_chunked(size):
            self._heard()
            yield piece


async def run_kopf(
    registry: kopf.OperatorRegistry,
    watched: Mapping[ResourceType, str],
    namespaces: Sequence[str],
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Run kopf's watches in this loop until ``stop``.

    Args:
        registry: What is watched, and who is told.
        watched: The same kinds with their label selectors.
        namespaces: Where namespaced kinds are watched; everywhere where it is empty.
        ready: Set when all kinds were listed.
        stop: Ends the watches.

    Raises:
        RuntimeError: kopf ended by itself.
    """
    quiet()
    task = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings(watched),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
            ready_flag=ready,
        ),
        name="kopf",
    )
    stopped = asyncio.create_task(stop.wait(), name="kopf's stop")
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.wait({task}, timeout=STOP_TIMEOUT)
        else:
            raise RuntimeError("kopf ended by itself") from (None if task.cancelled() else task.exception())
    finally:
        stopped.cancel()
        task.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def quiet() -> None:
    """Take out of kopf's log what tells people nothing, unless they set its levels themselves."""
    running, objects = logging.getLogger("kopf._core.reactor.running"), logging.getLogger("kopf.objects")
    if _no_remark not in running.filters:
        running.addFilter(_no_remark)  # on signals: whoever runs us in a thread handles them
    if objects.level == logging.NOTSET:
        objects.setLevel(logging.WARNING)  # a line an event that was handed on


def _no_remark(record: logging.LogRecord) -> bool:
    return "OS signals are ignored" not in record.getMessage()
