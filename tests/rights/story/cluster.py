# SPDX-License-Identifier: Apache-2.0
"""The embedded API with what is installed, and a node whose kubelet does what a scene says."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from accelchain.api.common import API_VERSION
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.recorder import Recorder
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.reconcile.times import rfc3339

TEAM = "team"
"""Where flows are."""
NODE, STAGE_NODE = "machine", "stage"
"""The node with a kubelet, and the one without: its workers live and end as scenes tell."""
DEADLINE = 60.0
REQUESTS = 1_000_000


def _of_argo(kind: str, *subresources: str) -> JsonObject:
    """Return a CRD of Argo's as its minimal manifests have it: any field."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {name: {} for name in subresources},
    }
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


OF_ARGO = (_of_argo("Workflow"), _of_argo("WorkflowTaskSet", "status"))
OF_THE_CHART = {"app.kubernetes.io/name": "accelchain", "app.kubernetes.io/instance": "accelchain"}
INSTALLED = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "FunctionType")
RBAC = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")

CHAIN = {
    "inputs": [{"name": "video"}],
    "outputs": [{"name": "film"}],
    "functions": [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        {"name": "copy", "type": "copy"},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.film.uri)"}},
    ],
    "connections": [
        {"from": "decode.frames", "to": "copy.frames"},
        {"from": "copy.frames", "to": "encode.frames"},
    ],
}
RESULT = '{"phase": "Succeeded", "frames": 7, "total": 7}'
"""What a worker leaves behind that has done its work."""


def ours(kind: str, name: str, spec: JsonObject, namespace: str | None = None) -> JsonObject:
    """Return an object of accelchain's."""
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": copy.deepcopy(spec)}


class Cluster:
    """The API as the administrator sees it, and as its users write to it."""

    def __init__(self, installed: Sequence[JsonObject]) -> None:
        self.api = LocalKube()
        self.api.recorder = Recorder(REQUESTS)
        for wanted in (*INSTALLED, *RBAC):
            for obj in installed:
                if obj["kind"] == wanted:
                    self.api.put(copy.deepcopy(obj))
        for crd in OF_ARGO:
            self.api.put(copy.deepcopy(crd))
        self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
        self.api.put(ours("FunctionChain", "film", CHAIN, TEAM))
        for kind in ("ConnectionType", "SchedulingStrategy"):
            self.api.put(ours(kind, "charted", {}) | {"metadata": {"name": "charted", "labels": OF_THE_CHART}})
        self.api.put(ours("ComputeResource", STAGE_NODE, {"nodeName": STAGE_NODE, "devices": [HOST], "links": [LINK]}))
        self.api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": STAGE_NODE}, "status": READY})

    async def start(self) -> None:
        await self.api.start()
        self.client = HttpClient(connection=Connection(self.api.url, self.api.token, ca=self.api.ca))

    async def stop(self) -> None:
        await self.client.close()
        await self.api.stop()

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Wait for a condition, and return its value."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not (found := await condition()):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"in {DEADLINE:.0f} s there was no {what}") from None
        return found

    async def maybe(self, type: ResourceType, name: str, namespace: str | None = TEAM) -> JsonObject | None:
        """Return an object; None: there is none."""
        try:
            return await self.client.get(type, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def submit(self, name: str, *, node: str = STAGE_NODE, meta: JsonObject | None = None, **spec: Any) -> str:
        """Create a flow of the chain on a node, and return its uid."""
        given = {
            "chainRef": {"name": "film"},
            "inputs": {"video": {"uri": "file:///in.mp4"}},
            "outputs": {"film": {"uri": f"file:///{name}.mp4"}},
            "placement": {"rules": [{"nodes": [node]}]},
            **spec,
        }
        flow = ours("DataFlow", name, given, TEAM)
        flow["metadata"] |= meta or {}
        created = await self.client.create(kinds.DATA_FLOW, flow)
        return str(created["metadata"]["uid"])

    async def change(self, name: str, **spec: Any) -> None:
        """Change a flow's spec, as its user does."""
        await self.client.patch(kinds.DATA_FLOW, name, TEAM, {"spec": spec})

    async def condition(self, name: str, type: str, status: str = "True", reason: str = "") -> JsonObject:
        """Wait for a condition of a flow, and return the flow."""

        async def found() -> JsonObject | None:
            flow = await self.client.get(kinds.DATA_FLOW, name, TEAM)
            for one in (flow.get("status") or {}).get("conditions") or ():
                if (one["type"], one["status"]) == (type, status) and reason in ("", one["reason"]):
                    return flow
            return None

        flow: JsonObject = await self.until(found, f"{type}={status} {reason} of flow {name}")
        return flow

    async def gone(self, type: ResourceType, name: str) -> None:
        """Wait until an object is no more."""

        async def found() -> bool:
            return await self.maybe(type, name) is None

        await self.until(found, f"end of {type.kind} {name}")

    async def pod(self, flow: str, attempt: int = 1) -> JsonObject:
        """Wait for the worker's Pod of an attempt."""
        selector = f"accelchain.io/dataflow={flow},accelchain.io/attempt={attempt}"

        async def found() -> JsonObject | None:
            pods, _ = await self.client.list(kinds.POD, TEAM, label_selector=selector)
            return pods[0] if pods else None

        pod: JsonObject = await self.until(found, f"Pod of attempt {attempt} at flow {flow}")
        return pod

    async def ends(self, pod: JsonObject, code: int, message: str = "") -> None:
        """Have a worker on the stage end."""
        ended = {"exitCode": code, "message": message, "finishedAt": rfc3339(time.time())}
        state = {"name": "worker", "state": {"terminated": ended}, "ready": False}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [state]}
        meta = pod["metadata"]
        await self.client.patch(kinds.POD, meta["name"], TEAM, {"status": status}, subresource="status")


HOST = {"name": "host", "type": "cpu", "api": "host", "id": "host"}
LINK = {"from": "host", "to": "host", "mechanism": "same-buffer"}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
