# SPDX-License-Identifier: Apache-2.0
"""The plugin's real server, an embedded API as Kubernetes, and Argo's agent as a fake that follows its code."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from accelchain.api.crd import crds
from accelchain.argo.core.identity import NODE_ID, UID_LABEL, node_id
from accelchain.argo.executor import step
from accelchain.argo.executor.executor import Executor
from accelchain.argo.executor.http_server import METHOD, HttpServer, Limits
from accelchain.argo.executor.token import Token
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import DATA_FLOW, WORKFLOW
from accelchain_operators.localkube.server import LocalKube

DEADLINE = 15.0
TOKEN = "a-token-of-thirty-two-characters"


def _load(name: str) -> ModuleType:
    """Import a module of this folder: tests are no packages."""
    spec = importlib.util.spec_from_file_location(f"argo_executor_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fake = _load("fake_agent")


def stamp(seconds_ago: float = 0.0) -> str:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Argo:
    """A cluster with one Workflow of Argo's and one plugin process."""

    def __init__(self, kube: LocalKube, client: HttpClient, stack: AsyncExitStack) -> None:
        self.kube = kube
        self.client = client
        self.stack = stack
        self.time = fake.Time()
        self.name = f"wf-{uuid.uuid4().hex[:5]}"
        self.uid = ""
        self.url = ""
        self.executor: Executor | None = None

    @property
    def workflow(self) -> dict[str, str]:
        return {"name": self.name, "namespace": "default", "uid": self.uid}

    def node(self, name: str) -> str:
        return node_id(self.name, self.full(name))

    def full(self, name: str) -> str:
        return f"{self.name}.{name}"

    async def create_workflow(self, **spec: Any) -> None:
        made = await self.client.create(
            WORKFLOW,
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": {"name": self.name, "namespace": "default"},
                "spec": {"entrypoint": "main", **spec},
                "status": {"phase": "Running", "startedAt": stamp(5), "nodes": {}},
            },
        )
        self.uid = made["metadata"]["uid"]

    async def set_node(self, name: str, phase: str = "Pending", *, started: str | None = None, **fields: Any) -> None:
        """Have the controller write a node."""
        id = self.node(name)
        node = {
            "id": id,
            "name": self.full(name),
            "displayName": name,
            "type": "Plugin",
            "phase": phase,
            "startedAt": started or stamp(1),
            **fields,
        }
        await self.client.patch(WORKFLOW, self.name, "default", {"status": {"nodes": {id: node}}})

    async def patch_workflow(self, patch: JsonObject) -> None:
        await self.client.patch(WORKFLOW, self.name, "default", patch)

    def template(self, name: str, **more: Any) -> JsonObject:
        """A template after Argo's substitution; ``body``: more fields of ours, or other values."""
        body = {
            "node": self.full(name),
            "dataflow": {
                "chainRef": {"name": "demo"},
                "inputs": {"video": {"uri": "s3://videos/in.mp4"}},
                "outputs": {"film": {"uri": "s3://videos/out.mp4"}},
            },
            **more.pop("body", {}),
        }
        return {"name": "detect", "plugin": {"accelchain": body}, **more}

    def tasks(self, *names: str) -> JsonObject:
        return {self.node(name): self.template(name) for name in names}

    async def create_task_set(self, tasks: JsonObject) -> None:
        task_set = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskSet",
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": {"tasks": tasks},
        }
        await self.client.create(fake.TASK_SET, task_set)

    async def delete_task_set(self) -> None:
        await self.client.delete(fake.TASK_SET, self.name, "default")

    async def complete_task_set(self) -> None:
        labels = {"workflows.argoproj.io/completed": "true"}
        await self.client.patch(fake.TASK_SET, self.name, "default", {"metadata": {"labels": labels}})

    async def set_nodes(self, names: list[str]) -> None:
        nodes = {
            self.node(n): {
                "id": self.node(n),
                "name": self.full(n),
                "type": "Plugin",
                "phase": "Pending",
                "startedAt": stamp(1),
            }
            for n in names
        }
        await self.patch_workflow({"status": {"nodes": nodes}})

    @asynccontextmanager
    async def serving(self, *, client: Any = None, limits: Limits | None = None, **options: Any) -> AsyncIterator[str]:
        """One plugin process; its address."""
        # The operators' client with fewer tries would do as well: the server has its own budget for them.
        executor = Executor(client or HttpClient(self.kube.url, self.kube.token, self.kube.ca), **options)
        self.executor = executor
        try:
            async with HttpServer(executor.execute, Token(TOKEN), limits).listening("127.0.0.1", 0) as port:
                yield f"http://127.0.0.1:{port}"
        finally:
            await executor.close()

    async def start(self, **options: Any) -> None:
        """Start the plugin."""
        self.url = await self.stack.enter_async_context(self.serving(**options))

    def plugin(self, url: str = "", token: str = TOKEN, **options: Any) -> Any:
        return fake.Plugin(url or self.url, token, self.time, **options)

    @asynccontextmanager
    async def agent(self, *plugins: Any, **options: Any) -> AsyncIterator[Any]:
        """One agent pod, for as long as the context lasts."""
        one = fake.FakeAgent(self.client, self.workflow, plugins or (self.plugin(),), self.time, **options)
        running = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ask(self, template: JsonObject, **more: Any) -> JsonObject:
        """Ask once, as the agent does."""
        code, document = await self.post({"workflow": {"metadata": self.workflow}, "template": template}, **more)
        assert code == 200, document
        assert isinstance(document, dict)
        return document

    async def post(self, document: Any = None, *, data: Any = None, token: str = TOKEN, path: str = METHOD) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, json=document, data=data, headers=headers) as response,
        ):
            json = response.content_type == "application/json"
            return response.status, await response.json() if json else await response.text()

    async def flows(self) -> list[JsonObject]:
        found, _ = await self.client.list(DATA_FLOW, "default", label_selector=f"{UID_LABEL}={self.uid}")
        return found

    async def flow(self, name: str = "") -> JsonObject | None:
        """The flow of a node, or the only one."""
        found = [
            flow
            for flow in await self.flows()
            if not name or flow["metadata"]["annotations"][NODE_ID] == self.node(name)
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    async def set_status(self, flow: JsonObject, phase: str, reason: str = "", **status: Any) -> None:
        """Have the operators write a flow's status."""
        kinds = {
            "Running": [("Accepted", "True"), ("Running", "True")],
            "Succeeded": [("Accepted", "True"), ("Running", "False"), ("Succeeded", "True")],
            "Failed": [("Accepted", "True"), ("Running", "False"), ("Failed", "True")],
            "Refused": [("Accepted", "False")],
        }
        message = status.pop("message", "")
        conditions = [
            {"type": kind, "status": value, "reason": reason or kind, "message": message, "lastTransitionTime": stamp()}
            for kind, value in kinds[phase]
        ]
        times = {"startTime": stamp(1)} | ({"completionTime": stamp()} if phase in ("Succeeded", "Failed") else {})
        await self.client.patch(
            DATA_FLOW,
            flow["metadata"]["name"],
            "default",
            {"status": {"phase": phase, "conditions": conditions, **times, **status}},
            subresource="status",
        )

    async def finish(self, name: str = "", **status: Any) -> None:
        """Have a node's flow end well."""
        flow = await self.flow(name)
        assert flow is not None
        await self.set_status(flow, "Succeeded", **status)

    async def until(self, condition: Callable[[], Any], what: str = "the condition", seconds: float = DEADLINE) -> Any:
        """Wait for a condition, which may be a coroutine function; return its value."""
        give_up = asyncio.get_running_loop().time() + seconds
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            assert asyncio.get_running_loop().time() < give_up, f"{what} did not come true within {seconds} s"
            await asyncio.sleep(0.02)

    async def task_status(self) -> JsonObject:
        """``status.nodes`` of the TaskSet."""
        task_set = await self.client.get(fake.TASK_SET, self.name, "default")
        nodes: JsonObject = (task_set.get("status") or {}).get("nodes") or {}
        return nodes


@pytest.fixture
async def argo(monkeypatch: pytest.MonkeyPatch, argo_crds: tuple[JsonObject, ...]) -> AsyncIterator[Argo]:
    """A cluster with Argo's kinds and ours, a Workflow, and the plugin."""
    monkeypatch.setattr(step, "FRESH_SECONDS", step.FRESH_SECONDS * fake.Time.scale)  # as all of Argo's times here
    kube = LocalKube()
    for obj in (*crds(), *argo_crds):
        kube.put(obj)
    await kube.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(kube.stop)
        client = HttpClient(kube.url, kube.token, kube.ca, qps=1000, burst=2000)
        stack.push_async_callback(client.close)
        one = Argo(kube, client, stack)
        await one.create_workflow()
        await one.start()
        yield one
