# SPDX-License-Identifier: Apache-2.0
"""Follows the workers' status streams: the latest document of each, for the next snapshot."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp

from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.actions import Grant, WorkerWatch

V = TypeVar("V")

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
SILENCE = 15.0
"""Seconds without a document (workers send one a second) after which a stream counts as dead."""
GRANT_PERIOD = 1.0
"""Seconds between two grants to a worker that has not published yet: it takes one for 5 s only."""
LONGEST_LINE = 1024 * 1024
"""Bytes. A worker runs users' functions: it must not be able to fill our memory."""


def _of(pod_uids: Sequence[str], known: Mapping[str, V]) -> Mapping[str, V]:
    return {uid: known[uid] for uid in pod_uids if uid in known}


class Streams:
    """One task a worker, for as long as a reconciler wants it.

    Args:
        on_news: Called with the key that wants the worker when its first document arrives and when its phase changes.
        clock: Seconds since 1970.
    """

    def __init__(self, on_news: Callable[[Any], None], clock: Callable[[], float]) -> None:
        self._on_news = on_news
        self._clock = clock
        self._documents: dict[str, JsonObject] = {}
        self._phase_since: dict[str, float] = {}
        self._granted_at: dict[str, float] = {}
        self._tasks: dict[Hashable, dict[str, asyncio.Task[None]]] = {}
        self._granting: dict[Hashable, dict[str, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None

    def documents(self, pod_uids: Sequence[str]) -> Mapping[str, JsonObject]:
        """Return the latest document of each of these pods that has sent one."""
        return _of(pod_uids, self._documents)

    def phase_since(self, pod_uids: Sequence[str]) -> Mapping[str, float]:
        """Return when the phase of each of these pods' documents was first heard of (seconds since 1970)."""
        return _of(pod_uids, self._phase_since)

    def granted_at(self, pod_uids: Sequence[str]) -> Mapping[str, float]:
        """Return when each of these pods was told last that it may publish (seconds since 1970)."""
        return _of(pod_uids, self._granted_at)

    def want(self, key: Hashable, watches: Sequence[WorkerWatch]) -> None:
        """Follow exactly these workers for this key."""
        tasks = self._tasks.setdefault(key, {})
        wanted = {watch.pod_uid: watch for watch in watches}
        for uid in tasks.keys() - wanted.keys():
            tasks.pop(uid).cancel()
        for uid, watch in wanted.items():
            if uid not in tasks:
                tasks[uid] = asyncio.create_task(self._follow(key, watch), name=f"stream of {watch.pod}")
        if not tasks:
            del self._tasks[key]

    def grant(self, key: Hashable, grants: Sequence[Grant]) -> None:
        """Tell exactly these workers of this key that they may publish, until they do."""
        tasks = self._granting.setdefault(key, {})
        wanted = {grant.worker.pod_uid: grant for grant in grants}
        for uid in tasks.keys() - wanted.keys():
            tasks.pop(uid).cancel()
        for uid, grant in wanted.items():
            if uid not in tasks or tasks[uid].done():
                tasks[uid] = asyncio.create_task(self._grant(grant), name=f"grant to {grant.worker.pod}")
        if not tasks:
            del self._granting[key]

    def is_granting(self, key: Hashable, pod_uid: str) -> bool:
        """Tell whether this worker of the key is being told that it may publish."""
        return pod_uid in self._granting.get(key, {})

    def forget(self, pod_uid: str) -> None:
        """Drop a pod's document: the pod is gone, and so is who asks for it."""
        self._documents.pop(pod_uid, None)
        self._phase_since.pop(pod_uid, None)
        self._granted_at.pop(pod_uid, None)

    async def close(self) -> None:
        """End all tasks and give connections back."""
        every = (*self._tasks.values(), *self._granting.values())
        tasks = [task for of_key in every for task in of_key.values()]
        self._tasks.clear()
        self._granting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _follow(self, key: Hashable, watch: WorkerWatch) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async for document in self._read(watch):
                    pause = FIRST_PAUSE
                    before = self._documents.get(watch.pod_uid)
                    self._documents[watch.pod_uid] = document
                    if before is None or before.get("phase") != document.get("phase"):
                        self._phase_since[watch.pod_uid] = self._clock()
                        self._on_news(key)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                # Expected while a worker starts and after it ended; its result comes by the termination message.
                logger.debug("stream of pod %s/%s: %r", watch.namespace, watch.pod, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _grant(self, grant: Grant) -> None:
        watch = grant.worker
        url = f"{watch.url.removesuffix('/stream')}/publish"
        headers = {"Authorization": f"Bearer {watch.token}"}
        timeout = aiohttp.ClientTimeout(total=5)
        told = ""
        while (self._documents.get(watch.pod_uid) or {}).get("phase") == "Publishing":
            self._granted_at[watch.pod_uid] = self._clock()
            try:
                async with self._http().post(
                    url, json={"attempt": grant.attempt}, headers=headers, timeout=timeout, allow_redirects=False
                ) as response:
                    if response.status >= 400:
                        why = f"HTTP {response.status}: {(await response.content.read(200)).decode(errors='replace')}"
                        if why != told:
                            logger.warning("pod %s/%s does not take its grant: %s", watch.namespace, watch.pod, why)
                        told = why
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.debug("grant to pod %s/%s: %r", watch.namespace, watch.pod, error)
            await asyncio.sleep(GRANT_PERIOD)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A worker's address is a pod's or a loopback one: never by way of a proxy (trust_env stays off).
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session

    async def _read(self, watch: WorkerWatch) -> Any:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE)
        headers = {"Authorization": f"Bearer {watch.token}"}
        async with self._http().get(watch.url, headers=headers, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        document = json.loads(line)
                        if not isinstance(document, dict):
                            raise ValueError("a document that is no JSON object")
                        yield document
                if len(rest) > LONGEST_LINE:
                    raise ValueError(f"a line of more than {LONGEST_LINE} bytes")
