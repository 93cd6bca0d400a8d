# SPDX-License-Identifier: Apache-2.0
"""How the kubelet writes to the API: again until it is answered, the newest status only, to this very pod only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.kube.kinds import POD
from accelchain_operators.localkube.kubelet.podspec import JsonObject

NODE = ResourceType("v1", "Node", "nodes", namespaced=False)

FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
GONE = (404, 409)
"""Answers that mean: the pod with this uid is no more."""

T = TypeVar("T")
log = logging.getLogger(__name__)


async def until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the API answers with anything but "not now".

    Raises:
        ApiError: the answer is an error that stays (4xx).
    """
    delay = FIRST_DELAY
    while True:
        try:
            return await call()
        except ApiError as error:
            if not error.transient:
                raise
            log.warning("the API does not answer, trying again in %.1f s: %s", delay, error)
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)


def tell_failure(task: asyncio.Task[None]) -> None:
    """Log the exception of a task that nobody awaits."""
    if not task.cancelled() and task.exception() is not None:
        log.error("the kubelet failed (%s)", task.get_name(), exc_info=task.exception())


class StatusWriter:
    """Writes the status of one pod in the background. While a write is under way only the newest is kept."""

    def __init__(self, client: KubeClient, pod: JsonObject) -> None:
        meta = pod["metadata"]
        self.gone = False
        """The API no longer has this pod."""
        self._client = client
        self._name, self._namespace, self._uid = meta["name"], meta["namespace"], meta["uid"]
        self._wanted: JsonObject | None = None
        self._written: JsonObject | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, status: JsonObject) -> None:
        """Have ``status`` written. An equal one is not written twice."""
        if status == self._wanted:
            return
        self._wanted = status
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name=f"status of pod {self._namespace}/{self._name}")
            self._task.add_done_callback(tell_failure)

    async def flush(self) -> None:
        """Wait until the newest status is written, was refused, or the pod is gone."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Give up what is not written yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _write(self) -> None:
        while self._written is not self._wanted and not self.gone:
            self._written = await until_answered(self._write_newest)

    async def _write_newest(self) -> JsonObject | None:
        status = self._wanted  # read at each attempt: what became old during an outage is never written
        # The uid is a precondition: another pod of the same name answers 409.
        patch = {"metadata": {"uid": self._uid}, "status": status}
        try:
            await self._client.patch(POD, self._name, self._namespace, patch, subresource="status")
        except ApiError as error:
            if error.code not in GONE:
                raise
            self.gone = True
        return status


async def delete_now(client: KubeClient, pod: JsonObject) -> None:
    """Tell the API that nothing of a deleted pod is left on this node."""
    meta = pod["metadata"]
    try:
        await until_answered(
            lambda: client.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"], grace_seconds=0)
        )
    except ApiError as error:
        if error.code not in GONE:
            raise
