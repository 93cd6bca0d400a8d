# SPDX-License-Identifier: Apache-2.0
"""The DataFlows of one Workflow: one list and one watch, so that a poll costs no call."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from accelchain.argo.core.identity import UID_LABEL, WorkflowId
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.connection import ConfigError
from accelchain_operators.kube.kinds import DATA_FLOW
from accelchain_operators.kube.store import Store

logger = logging.getLogger(__name__)

FIRST_LIST_SECONDS = 5.0
"""How long a step waits for the first list before it asks for its own flow."""
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_UNREAD = {
    "metadata": ("managedFields",),
    "spec": ("chain", "inputs", "parameters"),
    "status": ("chain", "edges", "plan"),
}
"""The larger part of a DataFlow, which no decision reads; there may be hundreds, and a plugin has few MB."""


class FlowCache:
    """What is known of a Workflow's DataFlows. Call ``start`` within a running loop, ``close`` at the end.

    Args:
        client: The API.
        id: Whose.
    """

    def __init__(self, client: KubeClient, id: WorkflowId) -> None:
        self._client = client
        self._namespace = id.namespace
        self._selector = f"{UID_LABEL}={id.uid}"
        self._store = Store(lambda *_: None)
        self._live = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._follow(), name=f"flows {self._selector}")

    async def close(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def synced(self) -> bool:
        """Tell whether the cache can be trusted; waits for the first list, and no longer than a few seconds."""
        try:
            async with asyncio.timeout(FIRST_LIST_SECONDS):
                await self._tried.wait()
        except TimeoutError:
            return False
        return self._live.is_set()

    async def get(self, name: str) -> JsonObject | None:
        """Return a DataFlow, from the cache where that is possible.

        Raises:
            ApiError: the API does not answer, or refuses.
        """
        if await self.synced():
            return self._store.get(DATA_FLOW, self._namespace, name)
        return await self.fetch(name)

    async def fetch(self, name: str) -> JsonObject | None:
        """Return a DataFlow as the API has it.

        Raises:
            ApiError: the API does not answer, or refuses.
        """
        try:
            flow = await self._client.get(DATA_FLOW, name, self._namespace)
        except ApiError as error:
            if error.code == 404 and name in error.message:
                if known := self._store.get(DATA_FLOW, self._namespace, name):
                    self._store.remove(DATA_FLOW, known)
                return None
            raise
        self.put(flow)
        return flow

    def put(self, flow: JsonObject) -> None:
        """Take in the answer to a call."""
        if self._selected(flow):
            self._store.put(DATA_FLOW, _light(flow))

    def all(self) -> tuple[JsonObject, ...]:
        """Return all that are known."""
        return self._store.all(DATA_FLOW)

    def _selected(self, flow: JsonObject) -> bool:
        key, _, value = self._selector.partition("=")
        return bool((flow["metadata"].get("labels") or {}).get(key) == value)

    async def _follow(self) -> None:
        """List, then watch; again and again."""
        pause = _PAUSE
        while True:
            try:
                flows, version = await self._client.list(DATA_FLOW, self._namespace, label_selector=self._selector)
                self._store.replace(DATA_FLOW, map(_light, flows), version)
                self._live.set()
                self._tried.set()
                pause = _PAUSE
                while True:
                    version = await self._watch(version)
                    await asyncio.sleep(_PAUSE)
            except (ApiError, ConfigError) as error:
                self._live.clear()
                self._tried.set()
                if not (isinstance(error, ApiError) and error.code == 410):
                    logger.warning("DataFlows can't be watched: %s; trying again in %.1f s", error, pause)
            except Exception:
                self._live.clear()  # a cache that nobody feeds must not be believed
                self._tried.set()
                logger.exception("DataFlows are not watched because of a defect; trying again in %.1f s", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _watch(self, version: str) -> str:
        """Watch until the server ends the stream; return the version to go on from.

        Raises:
            ApiError: the API does not answer, refuses, or has forgotten the version.
        """
        async for event in self._client.watch(
            DATA_FLOW, self._namespace, resource_version=version, label_selector=self._selector
        ):
            version = event.object["metadata"]["resourceVersion"]
            if event.type == "DELETED":
                self._store.remove(DATA_FLOW, event.object)
            elif event.type != "BOOKMARK":
                self.put(event.object)
        return version


def _light(flow: JsonObject) -> JsonObject:
    """Return a DataFlow without what nobody here reads."""
    for part, fields in _UNREAD.items():
        for field in fields:
            (flow.get(part) or {}).pop(field, None)
    light: JsonObject = _shared(flow)
    return light


def _shared(value: Any) -> Any:
    """Return the same JSON with the keys of its objects kept once for all documents: they are half of a DataFlow."""
    if isinstance(value, dict):
        return {sys.intern(key): _shared(child) for key, child in value.items()}
    return [_shared(child) for child in value] if isinstance(value, list) else value
