# SPDX-License-Identifier: Apache-2.0
"""One Workflow, read no more often than is needed: of one with hundreds of steps that takes a while."""

from __future__ import annotations

import asyncio
import logging

from accelchain.argo.core.identity import WorkflowId
from accelchain.argo.core.workflow import WorkflowView, view
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.kinds import WORKFLOW

logger = logging.getLogger(__name__)


class WorkflowReader:
    """What is known of a Workflow.

    Args:
        client: The API.
        id: Which one.
    """

    def __init__(self, client: KubeClient, id: WorkflowId) -> None:
        self._client = client
        self._id = id
        self.view: WorkflowView | None = None
        """As it was read last; None: it is gone. The same object while it is the same."""
        self._version = ""
        self._read_at = float("-inf")

    @property
    def age(self) -> float:
        """Seconds since it was read; infinite: never."""
        return asyncio.get_running_loop().time() - self._read_at

    async def read(self) -> bool:
        """Read it anew; tell whether it has changed.

        Raises:
            ApiError: the API does not answer, or we may not read it.
        """
        asked = asyncio.get_running_loop().time()
        live: JsonObject | None = None
        try:
            live = await self._client.get(WORKFLOW, self._id.name, self._id.namespace)
        except ApiError as error:
            if error.code != 404 or self._id.name not in error.message:
                raise
        self._read_at = asked
        if live is not None and live["metadata"]["uid"] != self._id.uid:
            live = None
        version = live["metadata"]["resourceVersion"] if live is not None else "gone"
        if version == self._version:
            return False
        self._version = version
        self.view = None if live is None else _view(live)
        return True


def _view(live: JsonObject) -> WorkflowView:
    try:
        return view(live)
    except ValueError as error:
        logger.warning("Workflow %s: %s: its nodes count as unknown", live["metadata"]["name"], error)
        return view(live | {"status": {**live["status"], "compressedNodes": "", "offloadNodeStatusVersion": "-"}})
