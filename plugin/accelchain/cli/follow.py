# SPDX-License-Identifier: Apache-2.0
"""Follows a DataFlow to its end: its resources by watches, its figures by the worker's status stream."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from accelchain.cli.display import Display
from accelchain.cli.record import RunRecord
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType, WatchEvent
from accelchain_operators.kube.kinds import DATA_FLOW, POD, SECRET, WB_CONNECTION, WB_FUNCTION

JsonObject = dict[str, Any]
_STREAM_INTERVAL = 0.25
"""Seconds between two documents of the worker."""


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
        self._ended = asyncio.Event()
        self._deleted = False

    def saw(self, obj: JsonObject) -> None:
        """Note an object that is known already (one that was just created)."""
        appearance = self._record.see(obj, self._seconds())
        if appearance:
            self._display.appeared(appearance)
        if obj["kind"] == "DataFlow":
            self._uid = obj["metadata"]["uid"]
            if self._record.end:
                self._ended.set()

    async def until_end(self, timeout: float | None = None) -> bool:
        """Return when the flow has ended; False if it was deleted by somebody.

        Raises:
            TimeoutError: it had not ended after ``timeout`` seconds.
            ApiError: the API refuses us.
        """
        kinds = (DATA_FLOW, WB_FUNCTION, WB_CONNECTION, POD)
        tasks = [asyncio.create_task(self._watch(kind)) for kind in kinds]
        tasks.append(asyncio.create_task(self._figures()))
        ended = asyncio.create_task(self._ended.wait())
        try:
            async with asyncio.timeout(timeout):
                done, _ = await asyncio.wait([ended, *tasks[:-1]], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (ended, *tasks):
                task.cancel()
            await asyncio.gather(ended, *tasks, return_exceptions=True)
        return not self._deleted

    def _seconds(self) -> float:
        return time.monotonic() - self._started

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
                except (aiohttp.ClientError, OSError, ApiError, ValueError):
                    pass  # the worker is not up yet, or gone: the watch tells which
            await asyncio.sleep(0.05)

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
            session.get(f"{base}/stream", params={"interval": str(_STREAM_INTERVAL)}) as response,
        ):
            response.raise_for_status()
            async for line in response.content:
                document = json.loads(line)
                self._record.add_sample(document, self._seconds())
                self._display.figures(self._record)


def owned_by(obj: JsonObject, uid: str) -> bool:
    """Tell if an object has an owner of that uid."""
    return any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences", ()))


async def list_and_watch(client: KubeClient, kind: ResourceType, namespace: str | None) -> AsyncIterator[WatchEvent]:
    """Yield the objects that are there as ADDED, then their changes, for ever; a lost watch begins anew."""
    while True:
        objects, version = await client.list(kind, namespace)
        for obj in objects:
            yield WatchEvent("ADDED", obj)
        try:
            async for event in client.watch(kind, namespace, resource_version=version):
                if event.type != "BOOKMARK":
                    yield event
        except ApiError as error:
            if error.code != 410:
                raise
