# SPDX-License-Identifier: Apache-2.0
"""WATCH: changes as a stream of lines, from a revision or from the objects that there are."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from aiohttp import web

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import StatusError, expired, invalid, invalid_value
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.selectors import Predicate
from accelchain_operators.localkube.store.store import Change, RevisionGoneError
from accelchain_operators.localkube.table import render
from accelchain_operators.localkube.web.bodies import encode

BOOKMARK_SECONDS = 55.0
"""Clients take a stream for dead after 60 to 70 silent seconds."""
MOST_PENDING = 10_000
"""Changes that a client may be behind; a slower one is cut off and has to list again."""
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What to watch."""

    endpoint: Endpoint
    namespace: str
    matches: Predicate | None
    revision: str
    """Empty or ``0``: begin with the objects that there are."""
    bookmarks: bool
    initial_events: bool | None
    timeout: float | None
    form: str
    """``Table``, ``PartialObjectMetadata`` or empty."""
    include: str


def check(request: WatchRequest, revision_match: str) -> None:
    """Refuse combinations that have no meaning. Raises StatusError 422."""
    if request.initial_events is None:
        return
    causes = []
    if revision_match != "NotOlderThan":
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(invalid_value("resourceVersionMatch", revision_match, message))
    if request.initial_events and not request.bookmarks:
        causes.append(invalid_value("allowWatchBookmarks", False, "must be set to true with sendInitialEvents"))
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)


class Watch:
    """One stream."""

    def __init__(self, cluster: Cluster, request: WatchRequest, fault: Fault | None) -> None:
        self._cluster = cluster
        self._request = request
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._fault = fault
        self._sent = 0
        self._columns_sent = False

    async def run(self, http_request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
        """Serve the stream until the client leaves, the time is over or the server stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        first, error = self._first_lines()
        unlisten = self._cluster.store.listen(self._request.endpoint.storage, self._offer)
        try:
            await response.prepare(http_request)
            for line in first:
                await response.write(line)
                if self._cut():
                    return response
            if error is not None:
                await response.write(encode({"type": "ERROR", "object": error.status()}) + b"\n")
                return response
            await self._follow(response, stopping)
        except ConnectionResetError:
            pass  # the client has left, as watchers do
        finally:
            unlisten()
        return response

    def _first_lines(self) -> tuple[list[bytes], StatusError | None]:
        """Return what is sent at once, and the error that the stream then ends with."""
        request, store = self._request, self._cluster.store
        if self._fault is not None and (error := self._fault.error()) is not None:
            return [], error
        initial = request.initial_events
        if initial is None:
            initial = request.revision in ("", "0")
        if initial:
            objects = store.items(request.endpoint.storage, request.namespace)
            lines = [self._line("ADDED", obj) for obj in objects if self._fits(obj)]
            if request.initial_events:
                lines.append(self._bookmark(_INITIAL_END))
            return lines, None
        try:
            revision = int(request.revision or store.revision)
            if revision > store.revision:
                return [], expired(f"Too large resource version: {revision}, current: {store.revision}")
            changes = store.changes_since(request.endpoint.storage, revision)
        except (RevisionGoneError, ValueError):
            return [], expired(f"too old resource version: {request.revision} ({store.revision})")
        return [line for change in changes if (line := self._change(change)) is not None], None

    def _offer(self, change: Change | None) -> None:
        if change is not None and self._queue.qsize() >= MOST_PENDING:
            change = None
        self._queue.put_nowait(change)

    async def _follow(self, response: web.StreamResponse, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._request.timeout if self._request.timeout else random.uniform(1800.0, 3600.0)
        end = loop.time() + seconds
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while True:
                change = asyncio.ensure_future(self._queue.get())
                wait = min(end - loop.time(), BOOKMARK_SECONDS)
                done, _ = await asyncio.wait(
                    {change, stop}, timeout=max(0.0, wait), return_when=asyncio.FIRST_COMPLETED
                )
                if change not in done:
                    change.cancel()
                    if stop in done or loop.time() >= end:
                        return
                    if self._request.bookmarks:
                        await response.write(self._bookmark())
                    continue
                if not await self._send(response, change.result()):
                    return
        finally:
            stop.cancel()

    async def _send(self, response: web.StreamResponse, change: Change | None) -> bool:
        """Write a change and all that wait behind it; false: the stream is over."""
        lines: list[bytes] = []
        over = False
        while True:
            if change is None:
                over = True
            elif (line := self._change(change)) is not None:
                lines.append(line)
                over = self._cut()
            if over or self._queue.empty():
                break
            change = self._queue.get_nowait()
        if lines:
            await response.write(b"".join(lines))
        return not over

    def _cut(self) -> bool:
        """Count an event; whether a fault cuts the stream here."""
        self._sent += 1
        fault = self._fault
        return fault is not None and fault.drop_after is not None and self._sent >= fault.drop_after

    def _fits(self, obj: JsonObject) -> bool:
        request = self._request
        if request.namespace and obj["metadata"].get("namespace") != request.namespace:
            return False
        return request.matches is None or request.matches(request.endpoint.show(obj))

    def _change(self, change: Change) -> bytes | None:
        """Return the line of a change as this client sees it: an object may come into its selection, or leave it."""
        now = change.type != "DELETED" and self._fits(change.object)
        before = change.previous is not None and self._fits(change.previous)
        if now:
            return self._line("MODIFIED" if before else "ADDED", change.object)
        if not before:
            return None
        if change.type == "DELETED":
            return self._line("DELETED", change.object)
        # it lives on outside of the selection: the client gets its last state inside, with the new revision
        assert change.previous is not None
        meta = {**change.previous["metadata"], "resourceVersion": str(change.revision)}
        return self._line("DELETED", {**change.previous, "metadata": meta})

    def _line(self, type: str, obj: JsonObject) -> bytes:
        return encode({"type": type, "object": self._shown(obj)}) + b"\n"

    def _shown(self, obj: JsonObject) -> JsonObject:
        request = self._request
        if request.form == "Table":
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            table = render.table(request.endpoint, [obj], meta, request.include)
            if self._columns_sent:
                table["columnDefinitions"] = None
            self._columns_sent = True
            return table
        if request.form == "PartialObjectMetadata":
            return render.partial(obj)
        return request.endpoint.show(obj)

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        meta: JsonObject = {"resourceVersion": str(self._cluster.store.revision), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        endpoint = self._request.endpoint
        obj: JsonObject = {"kind": endpoint.kind, "apiVersion": endpoint.api_version, "metadata": meta}
        if self._request.form == "Table":
            columns = render.table(endpoint, [], {}, "None")["columnDefinitions"]
            row = {"cells": [], "object": {**obj, "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}}
            shown = {"resourceVersion": meta["resourceVersion"]}
            obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": shown, "columnDefinitions": columns}
            obj["rows"] = [row]
        elif self._request.form == "PartialObjectMetadata":
            obj = {**obj, "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return encode({"type": "BOOKMARK", "object": obj}) + b"\n"
