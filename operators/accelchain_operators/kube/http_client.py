# SPDX-License-Identifier: Apache-2.0
"""KubeClient over HTTP: one session, a limit on calls a second, retries, paging, watches that notice a dead server."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp

from accelchain_operators.kube.bucket import TokenBucket
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType, WatchEvent
from accelchain_operators.kube.connection import Connection

logger = logging.getLogger(__name__)

Objects = list[JsonObject]
Observer = Callable[[str, int, Mapping[str, str]], None]
"""Told of every answer: method, code (0: there was none) and headers."""

USER_AGENT = "accelchain-operators"
PAGE = 500
TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
WATCH_INACTIVITY = 70.0
"""Servers send a bookmark a minute."""
ATTEMPTS = 6
LONGEST_PAUSE = 30.0
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes: etcd's objects end at 1.5 MiB, so a longer line is no event."""


class HttpClient:
    """The Kubernetes API over aiohttp. Use it in one event loop; it connects at the first call.

    Args:
        url: ``https://host:port``.
        token: Bearer token.
        ca: PEM text of the certificate authority.
        connection: All of it at once, in place of the three above.
        qps: Calls a second on average (KubeRay's figures: client-go's 5 starve an operator).
        burst: Calls at once after a pause.
        watch_inactivity: Seconds without a line after which a watch counts as dead.
    """

    def __init__(
        self,
        url: str = "",
        token: str = "",
        ca: str | None = None,
        *,
        connection: Connection | None = None,
        qps: float = 100.0,
        burst: int = 200,
        watch_inactivity: float = WATCH_INACTIVITY,
    ) -> None:
        self.connection = connection or Connection(url.rstrip("/"), token, ca=ca or "")
        self._bucket = TokenBucket(qps, burst)
        self._watch_timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=watch_inactivity)
        self._session: aiohttp.ClientSession | None = None
        self.observer: Observer = _nobody
        self.guard: Callable[[], None] = _anything
        """Called before every write, and at every try of one; what it raises is raised instead of writing."""

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str | None = None) -> HttpClient:
        """Return a client for a kubeconfig's context.

        Raises:
            ConfigError: the file can't be used.
        """
        return cls(connection=Connection.from_kubeconfig(path, context))

    @classmethod
    def in_cluster(cls) -> HttpClient:
        """Return a client for the cluster that this pod runs in.

        Raises:
            ConfigError: this process runs in no pod.
        """
        return cls(connection=Connection.in_cluster())

    async def document(self, path: str) -> JsonObject:
        """Return what the API has at a path (``/version``); asked once, so that the caller can tell of a failure."""
        return await self._call("GET", path, attempts=1)

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        """Return an object."""
        return await self._call("GET", _path(type, namespace, name))

    async def list(
        self, type: ResourceType, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[JsonObject], str]:
        """Return all objects and the list's resourceVersion."""
        while True:
            try:
                return await self._pages(type, namespace, _selectors(label_selector, field_selector))
            except ApiError as error:
                # The pages are those of one moment, and the server has forgotten it: begin again.
                if error.code != 410:
                    raise

    async def _pages(self, type: ResourceType, namespace: str | None, query: dict[str, str]) -> tuple[Objects, str]:
        items: Objects = []
        query = {**query, "limit": str(PAGE)}
        while True:
            page = await self._call("GET", _path(type, namespace), query)
            for item in page.get("items") or ():
                # Items of a list come without their kind from a real server.
                items.append({"apiVersion": type.api_version, "kind": type.kind, **item})
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return items, meta.get("resourceVersion", "")
            query["continue"] = meta["continue"]

    async def watch(
        self,
        type: ResourceType,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events; a stream that breaks or falls silent ends as one that the server has ended."""
        query = {
            **_selectors(label_selector, field_selector),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
        }
        async with aclosing(self._lines(_path(type, namespace), query, self._watch_timeout)) as lines:
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), event["object"], None)
                yield WatchEvent(event["type"], event["object"])

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        """Create an object."""
        return await self._call("POST", _path(type, obj["metadata"].get("namespace")), body=obj)

    async def apply(self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True) -> JsonObject:
        """Server-side apply."""
        return await self._apply(type, obj, "", field_manager, force)

    async def apply_status(
        self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True
    ) -> JsonObject:
        """Server-side apply of the status subresource."""
        return await self._apply(type, obj, "status", field_manager, force)

    async def _apply(
        self, type: ResourceType, obj: JsonObject, subresource: str, field_manager: str, force: bool
    ) -> JsonObject:
        meta = obj["metadata"]
        return await self._call(
            "PATCH",
            _path(type, meta.get("namespace"), meta["name"], subresource),
            {"fieldManager": field_manager, "force": "true" if force else "false"},
            obj,
            "application/apply-patch+yaml",
        )

    async def patch(
        self, type: ResourceType, name: str, namespace: str | None, patch: Any, *, subresource: str = ""
    ) -> JsonObject:
        """Merge-patch (a dict) or JSON-patch (a list)."""
        media = "application/merge-patch+json" if isinstance(patch, dict) else "application/json-patch+json"
        return await self._call("PATCH", _path(type, namespace, name, subresource), None, patch, media)

    async def delete(
        self,
        type: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        """Delete an object."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        await self._call("DELETE", _path(type, namespace, name), body=options)

    async def logs(
        self, name: str, namespace: str, *, container: str = "", follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[str]:
        """Yield a pod's log lines."""
        query = {"follow": "true"} if follow else {}
        if container:
            query["container"] = container
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(name)}/log"
        # A worker may be silent for long: only the server ends a log.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aclosing(self._lines(path, query, timeout)) as lines:
            async for line in lines:
                yield line.decode("utf-8", "replace")

    async def close(self) -> None:
        """Give connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = self.connection.ssl_context()
            connector = aiohttp.TCPConnector(limit=100, ssl=context if context is not None else True)
            self._session = aiohttp.ClientSession(self.connection.server, connector=connector)
        return self._session

    def _headers(self, media: str = "") -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if token := self.connection.current_token():
            headers["Authorization"] = f"Bearer {token}"
        if media:
            headers["Content-Type"] = media
        return headers

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
        attempts: int = ATTEMPTS,
    ) -> JsonObject:
        """Do one call. All calls may be repeated: names are deterministic and writes carry whole intents."""
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        for attempt in range(1, attempts + 1):
            await self._bucket.acquire()
            if method != "GET":
                self.guard()
            try:
                async with self._connected().request(
                    method,
                    path,
                    params=query,
                    data=data,
                    headers=self._headers(media if body is not None else ""),
                    timeout=TIMEOUT,
                ) as response:
                    self.observer(method, response.status, response.headers)
                    if response.status < 400:
                        answer: JsonObject = await response.json(content_type=None)
                        return answer
                    failure = await _failure(response)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                self.observer(method, 0, {})
                failure = _unreachable(self.connection.server, error)
            if attempt == attempts or not failure.transient:
                break
            pause = (
                failure.retry_after if failure.retry_after is not None else 0.1 * 2**attempt * random.uniform(0.5, 1)
            )
            logger.debug("%s %s: %s; again in %.1f s", method, path, failure, pause)
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
        raise failure

    async def _lines(
        self, path: str, query: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a streaming answer until it ends, breaks or falls silent."""
        await self._bucket.acquire()
        try:
            async with self._connected().get(path, params=query, headers=self._headers(), timeout=timeout) as response:
                self.observer("GET", response.status, response.headers)
                if response.status >= 400:
                    raise await _failure(response)
                rest = b""
                # Not readline(): aiohttp bounds a line by its read buffer, and an object may be longer.
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield line
                    if len(rest) > LONGEST_LINE:
                        raise ApiError(0, "LineTooLong", f"{path} sent a line of more than {LONGEST_LINE} bytes")
                if rest.strip():
                    yield rest
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(self.connection.server, error) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            logger.debug("stream of %s ended: %r", path, error)


def _nobody(method: str, code: int, headers: Mapping[str, str]) -> None:
    pass


def _anything() -> None:
    pass


def _path(type: ResourceType, namespace: str | None, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{type.api_version}" if "/" in type.api_version else f"/api/{type.api_version}"
    scope = f"/namespaces/{segment(namespace)}" if type.namespaced and namespace else ""
    return "/".join(part for part in (f"{root}{scope}/{type.plural}", segment(name), subresource) if part)


def segment(name: str) -> str:
    """Return a name as one segment of a path: users write names of objects, and ``../`` would lead to others.

    Raises:
        ApiError: 404: no server has an object of such a name.
    """
    if name in (".", "..") or "/" in name or "%" in name:
        raise ApiError(404, "NotFound", f"no object can have the name {name!r}")
    return quote(name)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def _unreachable(server: str, error: Exception) -> ApiError:
    return ApiError(0, "Unreachable", f"the Kubernetes API at {server} does not answer: {error!r}")


async def _failure(response: aiohttp.ClientResponse) -> ApiError:
    """Return an answer of 400 and above as an error."""
    text = await response.text(errors="replace")
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {"message": text[:1000]}
    return _error(response.status, status, response.headers.get("Retry-After"))


def _error(code: int, status: JsonObject, retry_after: str | None) -> ApiError:
    seconds: Any = retry_after or (status.get("details") or {}).get("retryAfterSeconds")
    try:
        pause = None if seconds is None else max(0.0, float(seconds))
    except ValueError:  # the other form of Retry-After, a date: our own back-off is as good
        pause = None
    return ApiError(code, status.get("reason") or "", status.get("message") or "", pause)
