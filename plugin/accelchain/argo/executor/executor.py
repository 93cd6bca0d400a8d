# SPDX-License-Identifier: Apache-2.0
"""Executes templates: look at the step's DataFlow, decide, do it, answer. Everything that is kept can be lost.

A call ends within ``BUDGET_SECONDS``: the agent gives up after 30 s, and with the fifth time the node has Failed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.identity import WorkflowId
from accelchain.argo.executor import faults, replies, requests
from accelchain.argo.executor.step import Step
from accelchain.argo.executor.workflow_cache import WorkflowGoneError
from accelchain.argo.executor.workflow_state import WorkflowState
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.connection import ConfigError

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 20.0
DENIED_SECONDS = 15.0
"""How long an API server may say that we lack a right before a node has to fail for it."""
_DENIED_AGAIN = 2.0
_WORKFLOWS = 8
"""An agent has one Workflow; more than a few at once are a test."""


class Executor:
    """Answers requests of Argo's agent.

    Args:
        client: The Kubernetes API; it is closed by ``close``.
        clock: Seconds since 1970.
        budget: Seconds that a call may take.
    """

    def __init__(
        self, client: KubeClient, *, clock: Callable[[], float] = time.time, budget: float = BUDGET_SECONDS
    ) -> None:
        self._client = client
        self._clock = clock
        self._budget = budget
        self._states: OrderedDict[str, WorkflowState] = OrderedDict()
        self._denied_since: float | None = None

    async def execute(self, body: bytes) -> JsonObject:
        """Answer a request's body."""
        try:
            request = requests.parse(body)
        except requests.RequestError as error:
            logger.warning("%s", error)
            return replies.failure("Failed", str(error))
        if not is_ours(request.template):
            return replies.foreign()
        id = request.workflow
        try:
            async with asyncio.timeout(self._budget):
                step = Step(self._client, await self._state(id), request.template, self._clock)
                reply = await step.run()
            self._denied_since = None
            return reply
        except TimeoutError:
            logger.warning("no answer within %.0f s; the agent asks again", self._budget)
            return replies.quiet(faults.AGAIN_SECONDS)
        except WorkflowGoneError:
            return replies.quiet(None)
        except ApiError as error:
            return self._api_error(error, id)
        except ConfigError as error:
            logger.error("%s", error)
            return replies.quiet(faults.AGAIN_SECONDS)
        except Exception as error:
            logger.exception("a defect of the plugin")
            return replies.failure("Error", f"a defect of accelchain's plugin: {type(error).__name__}: {error}")

    async def close(self) -> None:
        """End all watches, and give connections back."""
        states = list(self._states.values())
        self._states.clear()
        await asyncio.gather(*(state.close() for state in states))
        await self._client.close()

    def _api_error(self, error: ApiError, id: WorkflowId) -> JsonObject:
        if (after := faults.passing(error)) is not None:
            logger.warning("%s; the agent asks again in %.0f s", error, after)
            return replies.quiet(after)
        if faults.denied(error):
            now = asyncio.get_running_loop().time()
            self._denied_since = now if self._denied_since is None else self._denied_since
            if now - self._denied_since < DENIED_SECONDS:
                logger.warning("%s; the agent asks again in %.0f s", error, _DENIED_AGAIN)
                return replies.quiet(_DENIED_AGAIN)
        logger.error("%s", error)
        return faults.node_failure(error, id.namespace)

    async def _state(self, id: WorkflowId) -> WorkflowState:
        key = f"{id.namespace}/{id.name}/{id.uid}"
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = WorkflowState(self._client, id)
            state.start()
        self._states.move_to_end(key)
        while len(self._states) > _WORKFLOWS:
            await self._states.popitem(last=False)[1].close()
        return state
