# SPDX-License-Identifier: Apache-2.0
"""Keeps the store true to the API by lists of our own.

kopf re-lists after a watch was lost (410) but never tells of what was deleted meanwhile. So everything is listed once
at the start, once more when kopf's watches stand, then every few minutes; and a kind half a second after kopf listed
it (``transport.login`` hears of that), or after a write met an object that is gone. Only reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import WATCHED
from accelchain_operators.kube.store import Store

logger = logging.getLogger(__name__)

SECOND_LIST = 5.0
PERIOD = 300.0
SETTLE = 0.5
"""Seconds that a kind waits for its list, so that many reasons cause one list."""


class Sync:
    """Feeds the store.

    Args:
        client: The API.
        store: What is fed.
        period: Seconds between two lists of everything.
        watched: The kinds, each with its label selector.
        namespaces: Where namespaced kinds are listed; everywhere where it is empty.
        on_heard: Told of the kind whenever it was listed or an event came.
    """

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        period: float = PERIOD,
        *,
        watched: Mapping[ResourceType, str] = WATCHED,
        namespaces: Sequence[str] = (),
        on_heard: Callable[[ResourceType], None] = lambda _: None,
    ) -> None:
        self.watched = watched
        self.namespaces = namespaces
        self._client = client
        self._store = store
        self._period = period
        self._on_heard = on_heard
        self._wanted: set[ResourceType] = set()
        self._wake = asyncio.Event()

    async def first(self) -> None:
        """List everything.

        Raises:
            ApiError: the API does not answer, refuses, or does not know one of our kinds (404).
        """
        await asyncio.gather(*(self._list(type) for type in self.watched))

    def event(self, type: ResourceType, event: str | None, obj: JsonObject) -> None:
        """Take in a watch event; its type is None where kopf has listed the object."""
        self._on_heard(type)
        obj = {"apiVersion": type.api_version, "kind": type.kind, **obj}
        if event == "DELETED":
            self._store.remove(type, obj)
            return
        self._store.put(type, obj)

    def relist(self, type: ResourceType) -> None:
        """Have a kind listed soon."""
        if type in self.watched:
            self._wanted.add(type)
            self._wake.set()

    async def refresh(self, *types: ResourceType) -> None:
        """List kinds now; those that are not watched are nobody's here.

        Raises:
            ApiError: the API refuses or does not answer.
        """
        await asyncio.gather(*(self._list(type) for type in types if type in self.watched))

    async def run(self) -> None:
        """List again, on demand and now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + min(SECOND_LIST, self._period)
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
                    await asyncio.sleep(SETTLE)
            except TimeoutError:
                self._wanted.update(self.watched)
                due = loop.time() + self._period
            self._wake.clear()
            for type in list(self._wanted):
                self._wanted.discard(type)
                try:
                    await self._list(type)
                except ApiError as error:
                    logger.warning("%s can't be listed: %s; trying again in %.0f s", type.plural, error, SECOND_LIST)
                    self._wanted.add(type)
                    due = min(due, loop.time() + SECOND_LIST)

    async def _list(self, type: ResourceType) -> None:
        """List a kind; of several namespaces' lists the oldest tells what must have been deleted."""
        places: Sequence[str | None] = self.namespaces if type.namespaced and self.namespaces else (None,)
        lists = [await self._client.list(type, place, label_selector=self.watched[type]) for place in places]
        objects = [obj for listed, _ in lists for obj in listed]
        self._store.replace(type, objects, min((version for _, version in lists), key=lambda text: int(text or 0)))
        self._on_heard(type)
