# SPDX-License-Identifier: Apache-2.0
"""All that is kept of a Workflow between two calls; a new process begins without it."""

from __future__ import annotations

from accelchain.argo.core.identity import WorkflowId
from accelchain.argo.executor.facts import Facts
from accelchain.argo.executor.flow_cache import FlowCache
from accelchain.argo.executor.open_steps import OpenSteps
from accelchain.argo.executor.workflow_cache import WorkflowCache
from accelchain_operators.kube.client import KubeClient


class WorkflowState:
    """The caches of one Workflow, and what was told of it."""

    def __init__(self, client: KubeClient, id: WorkflowId) -> None:
        self.id = id
        self.workflow = WorkflowCache(client, id)
        self.flows = FlowCache(client, id)
        self.steps = OpenSteps()
        self.facts = Facts(id)

    def start(self) -> None:
        """Begin to watch."""
        self.flows.start()

    async def close(self) -> None:
        """End what is under way."""
        await self.flows.close()
        await self.workflow.close()
