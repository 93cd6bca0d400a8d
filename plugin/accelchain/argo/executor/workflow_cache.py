# SPDX-License-Identifier: Apache-2.0
"""The Workflow object, read no more often than it is needed: one call at a time, however many steps want it."""

from __future__ import annotations

import asyncio
import logging

from accelchain.argo.core.identity import WorkflowId
from accelchain.argo.core.workflow import WorkflowView, view
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import WORKFLOW

logger = logging.getLogger(__name__)

DENIED_SECONDS = 60.0
"""Between two tries to read what may not be read."""
_SHARE = 20.0
"""A Workflow of thousands of nodes takes long to read: no more than 1/20 of the time goes into it."""


class WorkflowGoneError(Exception):
    """The Workflow was deleted."""


class WorkflowCache:
    """One Workflow.

    Args:
        client: The API.
        id: Which one.
    """

    def __init__(self, client: KubeClient, id: WorkflowId) -> None:
        self._client = client
        self._id = id
        self._view: WorkflowView | None = None
        self._read_at = float("-inf")
        self._cost = 0.0
        self._denied_until = float("-inf")
        self._reading: asyncio.Task[WorkflowView | None] | None = None

    async def get(self, max_age: float) -> WorkflowView | None:
        """Return the Workflow as it was at most ``max_age`` seconds ago; None: we may not read it.

        Raises:
            ApiError: the API does not answer.
            WorkflowGoneError: it was deleted.
        """
        now = asyncio.get_running_loop().time()
        if now < self._denied_until:
            return None
        if now - self._read_at <= max(max_age, _SHARE * self._cost):
            return self._view
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name=f"workflow {self._id.name}")
            # Nobody may be left to hear of an error: calls have a budget of their own.
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: the others that wait for it must not suffer where one of them runs out of time.
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        """End a call that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> WorkflowView | None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            live = await self._client.get(WORKFLOW, self._id.name, self._id.namespace)
        except ApiError as error:
            if error.code == 404 and self._id.name in error.message:
                raise WorkflowGoneError(self._id.name) from error
            if error.code not in (403, 404):
                raise
            self._do_without(error, asked)
            return None
        if live["metadata"].get("uid") != self._id.uid:
            raise WorkflowGoneError(self._id.name)
        got = loop.time()
        try:
            self._view = view(live)
        except ValueError as error:
            self._do_without(error, asked)
            return None
        self._read_at, self._cost = asked, loop.time() - got
        return self._view

    def _do_without(self, why: Exception, now: float) -> None:
        """Have the steps go on without it for a while."""
        logger.warning("no argo retry, parallelism or deadline is seen: the Workflow can't be read: %s", why)
        self._view = None
        self._denied_until = now + DENIED_SECONDS
