# SPDX-License-Identifier: Apache-2.0
"""Scenes of Argo Workflows: steps that the task-set operator serves, and one whose node is in Argo's database."""

from __future__ import annotations

import asyncio
from typing import Any

from accelchain.argo.core.identity import NODE_ID, UID_LABEL, WORKFLOW_LABEL, WorkflowId, flow_name, node_id
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject, ResourceType
from story.cluster import RESULT, STAGE_NODE, TEAM, Cluster, ours

RBAC = "rbac.authorization.k8s.io"
SPEC = {
    "chainRef": {"name": "film"},
    "inputs": {"video": {"uri": "file:///in.mp4"}},
    "outputs": {"film": {"uri": "file:///out.mp4"}},
    "placement": {"rules": [{"nodes": [STAGE_NODE]}]},
}


class Workflow:
    """A Workflow with plugin steps, as Argo's controller has it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name, self.uid = cluster, name, ""

    async def create(self, **status: Any) -> Workflow:
        made = await self.cluster.client.create(
            kinds.WORKFLOW, self._object(kinds.WORKFLOW, status={"phase": "Running", "nodes": {}, **status})
        )
        self.uid = made["metadata"]["uid"]
        return self

    async def begin(self, *steps: str, started: str = "2026-01-01T00:00:00Z") -> None:
        """Have steps begin: first their tasks, then their nodes."""
        tasks = {self.id(step): self._template(step) for step in steps}
        task_set = self._object(kinds.TASK_SET, spec={"tasks": tasks})
        task_set["metadata"]["ownerReferences"] = [self.owner()]
        if await self.cluster.maybe(kinds.TASK_SET, self.name) is None:
            await self.cluster.client.create(kinds.TASK_SET, task_set)
        for step in steps:
            node = {"phase": "Pending", "type": "Plugin", "name": f"{self.name}.{step}", "startedAt": started}
            await self.cluster.client.patch(
                kinds.WORKFLOW, self.name, TEAM, {"status": {"nodes": {self.id(step): node}}}
            )

    async def told(self, step: str, phase: str) -> None:
        """Wait until the TaskSet tells a phase of a step."""

        async def found() -> bool:
            task_set = await self.cluster.client.get(kinds.TASK_SET, self.name, TEAM)
            nodes = (task_set.get("status") or {}).get("nodes") or {}
            return nodes.get(self.id(step), {}).get("phase") == phase

        await self.cluster.until(found, f"{phase} told of {step} of {self.name}")

    async def take(self, step: str) -> None:
        """Take what is told of a step, as the controller does when a Workflow's update is lost."""
        patch = {"status": {"nodes": {self.id(step): None}}}
        await self.cluster.client.patch(kinds.TASK_SET, self.name, TEAM, patch, subresource="status")

    def flow(self, step: str) -> str:
        return flow_name(WorkflowId(TEAM, self.name, self.uid), f"{self.name}.{step}", 0)

    def id(self, step: str) -> str:
        return node_id(self.name, f"{self.name}.{step}")

    def owner(self) -> JsonObject:
        return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": self.name, "uid": self.uid}

    def _object(self, type: ResourceType, **fields: Any) -> JsonObject:
        meta = {"name": self.name, "namespace": TEAM}
        return {"apiVersion": type.api_version, "kind": type.kind, "metadata": meta, **fields}

    def _template(self, step: str) -> JsonObject:
        return {"name": step, "plugin": {"accelchain": {"node": f"{self.name}.{step}", "dataflow": SPEC}}}


async def may_create_flows(cluster: Cluster) -> None:
    """Give the team's ServiceAccount what its Workflows need."""
    name = {"name": "workflow", "namespace": TEAM}
    role = {"rules": [{"apiGroups": ["accelchain.io"], "resources": ["dataflows"], "verbs": ["create"]}]}
    binding = {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "workflow"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": TEAM}],
    }
    for kind, fields in (("Role", role), ("RoleBinding", binding)):
        type = ResourceType(f"{RBAC}/v1", kind, f"{kind.lower()}s")
        await cluster.client.create(type, {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": name, **fields})


async def steps_of_a_workflow(cluster: Cluster) -> None:
    await may_create_flows(cluster)
    workflow = await Workflow(cluster, "served").create()
    taken = ours("DataFlow", workflow.flow("taken"), SPEC, TEAM)
    await cluster.client.create(kinds.DATA_FLOW, taken)
    await workflow.begin("detect", "taken")
    await workflow.told("taken", "Error")
    name = workflow.flow("detect")
    await cluster.ends(await cluster.pod(name), 0, RESULT)
    await workflow.told("detect", "Succeeded")
    first = await cluster.client.get(kinds.DATA_FLOW, name, TEAM)
    # argo retry: the same node begins anew
    await workflow.take("detect")
    await workflow.begin("detect", started="2026-01-01T00:10:00Z")

    async def another() -> bool:
        flow = await cluster.maybe(kinds.DATA_FLOW, name)
        return flow is not None and flow["metadata"]["uid"] != first["metadata"]["uid"]

    await cluster.until(another, f"new flow {name}")


async def step_whose_node_is_elsewhere(cluster: Cluster) -> None:
    """The dataflow operator looks at the tasks of a Workflow whose nodes are in Argo's database."""
    workflow = await Workflow(cluster, "offloaded").create(offloadNodeStatusVersion="v1")
    meta = {
        "labels": {UID_LABEL: workflow.uid, WORKFLOW_LABEL: workflow.name},
        "annotations": {NODE_ID: workflow.id("detect")},
        "ownerReferences": [workflow.owner()],
    }
    await cluster.submit("offloaded", meta=meta)
    await cluster.pod("offloaded")

    async def looked() -> bool:
        await asyncio.sleep(0)
        return any(
            (r.resource, r.verb, r.name) == ("workflowtasksets", "get", "offloaded")
            and r.user.endswith(":accelchain-dataflow")
            for r in cluster.api.recorder.requests
        )

    await cluster.until(looked, "look at the tasks")
