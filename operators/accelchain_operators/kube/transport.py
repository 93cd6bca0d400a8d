# SPDX-License-Identifier: Apache-2.0
"""kopf as a transport: it watches and logs in, and writes nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import kopf
from yarl import URL

from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection

logger = logging.getLogger(__name__)

ERROR_PAUSE = 1.0
"""Seconds before a watch is begun again that the server ended with an error."""
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
    # kopf's own end after 54 s, and with them the watches: an API may be away for longer.
    chosen.networking.error_backoffs = _Pauses()
    chosen.queueing.exit_timeout = 0.5
    # kopf would kill -9 the whole process, which may be somebody's command line, so long after a stop.
    chosen.process.ultimate_exiting_timeout = None
    for type, selector in watched.items():
        if selector:
            group, _, version = type.api_version.rpartition("/")
            chosen.watching.label_selectors[group, version, type.plural] = selector
    return chosen


class _Pauses:
    """Seconds between tries, without end."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0)
        while True:
            yield random.uniform(3.0, 5.0)  # all watches fail at one time, and need not come back at one


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
    """Return a class of responses that tell of each piece of a watch, and of errors what kopf can live with."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            kind = _kind_of(self.url, watched)
            if "watch" not in self.url.query:
                if kind is not None and self.status == 410:
                    # The server has forgotten the moment that a list's pages are of. kopf lists anew after this only.
                    self.close()
                    raise aiohttp.ClientPayloadError(f"a list of {kind.plural} has expired")
                return self
            if kind is not None and self.status < 400:
                self.content = _Heard(self.content, lambda: listener.heard(kind))  # type: ignore[assignment]
            return self

    return Response


class _Heard:
    """A watch that tells of each piece that is read. kopf reads by ``iter_chunked``; the rest is the stream's own.

    An error that a server sends as an event (a 500 of its storage, a 429) ends the watch, which is begun again where it
    ended: kopf would take all but a 410 for the end of the operators.
    """

    def __init__(self, stream: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard
        heard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for piece in self._stream.iter_chunked(size):
            self._heard()
            *lines, rest = (rest + piece).split(b"\n")
            failures = [_failure_in(line) for line in lines]
            whole = list(itertools.takewhile(lambda failure: failure is None, failures))
            if whole:
                yield b"\n".join([*lines[: len(whole)], b""])
            if len(whole) < len(lines):
                logger.warning("a watch was ended by the server: %s; beginning it again", failures[len(whole)])
                await asyncio.sleep(ERROR_PAUSE)
                return
        if rest:
            yield rest


def _failure_in(line: bytes) -> str | None:
    """Return the message of an error in a watch; None: the line is an event, or the 410 that kopf knows."""
    if b'"ERROR"' not in line[:64]:  # the type comes first: whole objects are not read twice
        return None
    event = json.loads(line)
    if event["type"] != "ERROR" or event["object"].get("code") == 410:
        return None
    return str(event["object"].get("message") or event["object"])


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
            # kopf would look for the user's name, which a container's user does not have. Nobody reads it: no peering.
            identity=cast(Any, "accelchain"),
            stop_flag=stop,
            ready_flag=ready,
        ),
        name="kopf",
    )
    stopped = asyncio.create_task(stop.wait(), name="kopf's stop")
    failed = asyncio.create_task(_watching_failed(), name="kopf's failure")
    try:
        done, _ = await asyncio.wait({task, stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.wait({task}, timeout=STOP_TIMEOUT)
        elif failed in done:
            raise RuntimeError("kopf's watches failed") from failed.result()
        else:
            raise RuntimeError("kopf ended by itself") from (None if task.cancelled() else task.exception())
    finally:
        for part in (task, stopped, failed):
            part.cancel()
        await asyncio.wait({task, stopped, failed}, timeout=STOP_TIMEOUT)
        await _end_watchers()


async def _watching_failed() -> BaseException | None:
    """Wait until that task of kopf's has failed which all watches hang on, and return why.

    kopf would then wait for its watchers for ever: they take no notice of being cancelled once.
    """
    while True:
        for task in asyncio.all_tasks():
            if task.get_name() == "multidimensional multitasker":
                await asyncio.wait({task})
                return None if task.cancelled() else task.exception()
        await asyncio.sleep(STOP_TIMEOUT)


async def _end_watchers() -> None:
    for _ in range(10):
        left = [
            task for task in asyncio.all_tasks() if task.get_name().startswith(("watcher for ", "pause-waiter for "))
        ]
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)


def quiet() -> None:
    """Take out of kopf's log what tells people nothing, unless they set its levels themselves."""
    running, objects = logging.getLogger("kopf._core.reactor.running"), logging.getLogger("kopf.objects")
    if _no_remark not in running.filters:
        running.addFilter(_no_remark)  # on signals: whoever runs us in a thread handles them
    if objects.level == logging.NOTSET:
        objects.setLevel(logging.WARNING)  # a line an event that was handed on


def _no_remark(record: logging.LogRecord) -> bool:
    return "OS signals are ignored" not in record.getMessage()
