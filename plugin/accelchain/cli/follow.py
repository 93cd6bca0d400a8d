# SPDX-License-Identifier: Apache-2.0
"""Follows a DataFlow to its end: its resources by watches, its figures by the worker's status stream."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from accelchain.cli.display import Display
from accelchain.cli.record import RunRecord
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType, WatchEvent
from accelchain_operators.kube.kinds import DATA_FLOW, POD, SECRET, WB_CONNECTION, WB_FUNCTION

JsonObject = dict[str, Any]
_INTERVAL = "0.25"
"""Seconds between two documents of the worker."""
_PAUSE = 0.1
"""Seconds before a lost watch begins anew."""

log = logging.getLogger(__name__)


class Follower:
    """Fills a record and tells a display about it."""

    def __init__(self, client: KubeClient, record: RunRecord, display: Display, started: float) -> None:
        """Follow the flow that ``record`` names.

        Args:
            client: the API that holds the flow.
            record: what is filled.
            display: who is told.
            started: ``time.monotonic()`` of the run's begin: all seconds count from here.
        """
        self._client = client
        self._record = record
        self._display = display
        self._started = started
        self._uid = ""
        self._waiting = ""
        self._ended = asyncio.Event()
        self._deleted = False

    def saw(self, obj: JsonObject) -> None:
        """Note an object that is known already (one that was just created)."""
        appearance = self._record.see(obj, self._seconds())
        if appearance:
            self._display.appeared(appearance)
        if obj["kind"] == "DataFlow":
            self._uid = obj["metadata"]["uid"]
            self._look()

    async def until_end(self, timeout: float | None = None) -> bool:
        """Return when the flow has ended; False if it was deleted by somebody.

        Raises:
            TimeoutError: it had not ended after ``timeout`` seconds.
            ApiError: the API refuses us.
        """
        kinds = (DATA_FLOW, WB_FUNCTION, WB_CONNECTION, POD)
        watches = [asyncio.create_task(self._watch(kind)) for kind in kinds]
        ended = asyncio.create_task(self._ended.wait())
        figures = asyncio.create_task(self._figures())
        try:
            async with asyncio.timeout(timeout):
                done, _ = await asyncio.wait([ended, figures, *watches], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (ended, figures, *watches):
                task.cancel()
            await asyncio.gather(ended, figures, *watches, return_exceptions=True)
        return not self._deleted

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _look(self) -> None:
        """Tell what holds the flow up, and see whether this is the end."""
        waiting, self._waiting = self._waiting, self._record.waiting
        if self._waiting and self._waiting != waiting:
            self._display.say(f"{self._seconds():6.2f} s  waiting: {self._waiting}")
        if self._record.end:
            self._ended.set()

    async def _watch(self, kind: ResourceType) -> None:
        async for event in list_and_watch(self._client, kind, self._record.namespace):
            meta = event.object["metadata"]
            if meta["uid"] != self._uid if kind is DATA_FLOW else not owned_by(event.object, self._uid):
                continue
            if event.type == "DELETED":
                if kind is DATA_FLOW:
                    self._deleted = True
                    self._ended.set()
                continue
            self.saw({**event.object, "kind": kind.kind})

    async def _figures(self) -> None:
        """Read the worker's stream as soon as the DataFlow says where it is; try again while the flow runs."""
        while True:
            worker = next(iter(self._record.status.get("workers", ())), None)
            if worker and worker.get("address"):
                try:
                    await self._read_stream(worker)
                except (aiohttp.ClientError, OSError, ApiError, ValueError) as error:
                    log.info("the worker's figures: %r", error)  # it is not up yet, or gone: the watch tells which
            await asyncio.sleep(_PAUSE)

    async def _read_stream(self, worker: JsonObject) -> None:
        secret = await self._client.get(SECRET, worker["secret"], self._record.namespace)
        token = base64.b64decode(secret["data"]["token"]).decode()
        base = f"http://{worker['address']}"
        live = worker.get("live") or []
        if live:
            self._record.live = f"{base}{live[0]}?token={token}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {token}"}) as session,
            session.get(f"{base}/stream", params={"interval": _INTERVAL}) as response,
        ):
            response.raise_for_status()
            async for line in response.content:
                document = json.loads(line)
                self._record.add_sample(document, self._seconds())
                self._display.figures(self._record)


def owned_by(obj: JsonObject, uid: str) -> bool:
    """Tell if an object has an owner of that uid."""
    return any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences", ()))


async def list_and_watch(
    client: KubeClient, kind: ResourceType, namespace: str | None
) -> AsyncGenerator[WatchEvent, None]:
    """Yield the objects that are there as ADDED, then their changes, for ever.

    A lost watch begins anew; what was deleted meanwhile comes as DELETED.

    Raises:
        ApiError: the API refuses us, or does not answer for long.
    """
    known: dict[str, JsonObject] = {}
    while True:
        objects, version = await client.list(kind, namespace)
        present = {obj["metadata"]["uid"]: obj for obj in objects}
        for uid in known.keys() - present.keys():
            yield WatchEvent("DELETED", known[uid])
        for obj in objects:
            yield WatchEvent("ADDED", obj)
        known = present
        try:
            async for event in client.watch(kind, namespace, resource_version=version):
                if event.type == "BOOKMARK":
                    continue
                uid = event.object["metadata"]["uid"]
                if event.type == "DELETED":
                    known.pop(uid, None)
                else:
                    known[uid] = event.object
                yield event
        except ApiError as error:
            if error.code not in (0, 410):
                raise
        await asyncio.sleep(_PAUSE)
