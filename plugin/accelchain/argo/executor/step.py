# SPDX-License-Identifier: Apache-2.0
"""One call for one step: decide, act, look again, until there is something to answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from accelchain.argo.core.flow import cancellation
from accelchain.argo.core.identity import NODE_ID, NODE_NAME
from accelchain.argo.core.steps import (
    Create,
    Decision,
    Foreign,
    Patch,
    Replace,
    Report,
    Situation,
    Wait,
    decide,
    flow_name_of,
)
from accelchain.argo.core.workflow import WorkflowView
from accelchain.argo.executor import faults, pacing, replies
from accelchain.argo.executor.workflow_state import WorkflowState
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.kinds import DATA_FLOW

FRESH_SECONDS = 1.0
"""Age of the Workflow object that something is done by."""
STALE_SECONDS = 10.0
"""Its age where a flow runs on and nothing is done."""
_ROUNDS = 8
_GONE_POLL = 0.2
_ENDED = frozenset({"Succeeded", "Failed", "Refused"})


class Step:
    """One call.

    Args:
        client: The API.
        state: What is kept of the Workflow.
        template: The template to execute.
        clock: Seconds since 1970.
    """

    def __init__(
        self, client: KubeClient, state: WorkflowState, template: JsonObject, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._state = state
        self._template = template
        self._clock = clock
        self._node = str(template.get("name") or "")
        self._name = ""
        self._place: int | None = None

    async def run(self) -> JsonObject:
        """Return the reply.

        Raises:
            ApiError: the API does not answer, or refuses.
            WorkflowGoneError: the Workflow was deleted.
        """
        name = flow_name_of(self._template, self._state.id)
        if name is None:  # the decision says why
            return self._answer(self._decide_by(None, None), None)
        self._name = name
        flow = await self._state.flows.get(name)
        if flow is not None:
            self._node = (flow["metadata"].get("annotations") or {}).get(NODE_NAME, self._node)
        for _ in range(_ROUNDS):
            decision = await self._decide(flow)
            match decision:
                case Create(new):
                    made = await self._create(new)
                    if made is not None:
                        return replies.quiet(pacing.SHORTEST)
                    flow = await self._state.flows.fetch(name)
                case Replace(old, _):
                    self._tell(f"DataFlow {name} is of an earlier try: it is made anew")
                    await self._delete(old)
                    flow = None
                case Patch(metadata):
                    flow = await self._patch(flow, {"metadata": metadata})
                case Report(result, True):
                    if flow is not None and not (flow.get("spec") or {}).get("cancel"):
                        flow = await self._patch(flow, cancellation(result))
                    return self._answer(decision, flow)
                case _:
                    return self._answer(decision, flow)
        self._tell(f"DataFlow {name} changes faster than it can be looked at", logging.WARNING)
        return replies.quiet(faults.AGAIN_SECONDS)

    async def _decide(self, flow: JsonObject | None) -> Decision:
        """Decide; by a fresh Workflow unless a flow simply runs on."""
        runs = flow is not None and (flow.get("status") or {}).get("phase") not in _ENDED
        workflow = await self._state.workflow.get(STALE_SECONDS if runs else FRESH_SECONDS)
        decision = self._decide_by(workflow, flow)
        if not runs or isinstance(decision, Wait):
            return decision
        fresh = await self._state.workflow.get(FRESH_SECONDS)
        return decision if fresh is workflow else self._decide_by(fresh, flow)

    def _decide_by(self, workflow: WorkflowView | None, flow: JsonObject | None) -> Decision:
        situation = Situation(workflow, self._state.id, self._template, None, flow, self._clock())
        decision = decide(situation)
        self._place = None
        if not isinstance(decision, Create):
            return decision
        # Only now: what parallelism counts is what would get a flow otherwise.
        annotations = decision.flow["metadata"]["annotations"]
        node, self._node = annotations[NODE_ID], annotations[NODE_NAME]
        self._state.steps.called(node, asyncio.get_running_loop().time())
        if workflow is not None:
            self._place = self._state.steps.place(node, workflow, self._state.flows.all())
        return decision if self._place is None else decide(replace(situation, admitted=False))

    async def _create(self, flow: JsonObject) -> JsonObject | None:
        """Create the flow; None: there is one of that name."""
        with self._state.steps.making(flow["metadata"]["annotations"][NODE_ID]):
            try:
                made = await self._client.create(DATA_FLOW, flow)
            except ApiError as error:
                if error.code == 409:
                    return None
                raise
            self._state.flows.put(made)
        self._tell(f"DataFlow {self._name} created")
        return made

    async def _delete(self, old: JsonObject) -> None:
        """Delete exactly this flow, and wait until it is gone."""
        uid = old["metadata"]["uid"]
        try:
            await self._client.delete(
                DATA_FLOW, self._name, self._state.id.namespace, uid=uid, propagation="Background"
            )
        except ApiError as error:
            if error.code not in (404, 409):  # it is gone, or another one has its name
                raise
        while (left := await self._state.flows.fetch(self._name)) is not None and left["metadata"]["uid"] == uid:
            await asyncio.sleep(_GONE_POLL)

    async def _patch(self, flow: JsonObject | None, patch: dict[str, Any]) -> JsonObject | None:
        """Merge-patch exactly this flow; return what the name stands for afterwards."""
        if flow is None:
            return None
        metadata = {**patch.get("metadata", {}), "uid": flow["metadata"]["uid"]}
        try:
            patched = await self._client.patch(
                DATA_FLOW, self._name, self._state.id.namespace, {**patch, "metadata": metadata}
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return await self._state.flows.fetch(self._name)
        self._state.flows.put(patched)
        return patched

    def _answer(self, decision: Decision, flow: JsonObject | None) -> JsonObject:
        match decision:
            case Foreign():
                return replies.foreign()
            case Report(result, _):
                self._tell(f"{result.get('phase')}: {result.get('message') or ''}")
                return replies.ended(result)
            case Wait(after, message):
                self._tell(message)
                if self._place is not None:
                    return replies.quiet(pacing.in_the_queue(self._place, after))
                return replies.quiet(pacing.until_news(flow, self._clock(), after))
        raise AssertionError(f"{type(decision).__name__} is no answer")

    def _tell(self, text: str, level: int = logging.INFO) -> None:
        self._state.facts.tell(self._node, self._name, text, level=level)
