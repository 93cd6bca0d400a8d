# SPDX-License-Identifier: Apache-2.0
"""Argo's agent, rule by rule, over the wire: HTTP to the plugins, the Kubernetes API for its WorkflowTaskSet.

Follows argoproj/argo-workflows v4.1.2: workflow/executor/agent.go, workflow/executor/plugins/rpc/plugin.go and
workflow/util/plugin/plugin.go. Time is scaled: what Argo waits for in seconds takes fractions of them here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType

JsonObject = dict[str, Any]

TASK_SET = ResourceType("argoproj.io/v1alpha1", "WorkflowTaskSet", "workflowtasksets")
METHOD = "template.execute"
TIMEOUT = 30.0
"""workflow/executor/plugins/rpc/plugin.go: New."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Backoff{Duration: 1s, Factor: 2, Steps: 5}, without its jitter."""
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ms|s|m|h|us|µs|ns)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class AgentError(Exception):
    """An ``error`` of Go; ``transient`` as util/errors/errors.go: IsTransientErr."""

    def __init__(self, text: str, *, transient: bool = False) -> None:
        super().__init__(text)
        self.transient = transient


@dataclass
class Time:
    """Argo's clock, run faster; keeps what was waited for."""

    scale: float = 0.02
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(seconds * self.scale)


@dataclass
class Plugin:
    """workflow/util/plugin/plugin.go: Client. ``answers`` keeps each code and document that came back."""

    address: str
    token: str
    time: Time
    timeout: float = TIMEOUT
    invalid: set[str] = field(default_factory=set)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    async def call(self, session: aiohttp.ClientSession, args: JsonObject, reply: JsonObject) -> None:
        """workflow/util/plugin/plugin.go: Call."""
        if METHOD in self.invalid:
            return
        for pause in (*PAUSES, None):
            try:
                return await self._once(session, args, reply)
            except AgentError as error:
                if not error.transient or pause is None:
                    raise
            await self.time.sleep(pause)

    async def _once(self, session: aiohttp.ClientSession, args: JsonObject, reply: JsonObject) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        url = f"{self.address}/api/v1/{METHOD}"
        try:
            async with session.post(
                url, data=json.dumps(args), headers=headers, timeout=aiohttp.ClientTimeout(total=self.timeout)
            ) as response:
                text = await response.text()
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise AgentError(f'Post "{url}": {error!r}', transient=True) from None
        self.answers.append((response.status, text))
        if response.status == 200:
            _decode(text, reply)
        elif response.status == 404:
            self.invalid.add(METHOD)
        elif response.status == 503:
            raise AgentError(text, transient=True)
        else:
            raise AgentError(f"{response.status} {response.reason}: {text}")


def _decode(text: str, reply: JsonObject) -> None:
    """encoding/json into ExecuteTemplateReply: fields that are there overwrite, ``requeue`` is a metav1.Duration."""
    try:
        document = json.JSONDecoder().raw_decode(text.lstrip())[0]
    except ValueError as error:
        raise AgentError(str(error)) from None
    for key, value in (document or {}).items():
        if key == "requeue":
            reply["requeue"] = _duration(value)
        elif key == "node":
            reply["node"] = value


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise AgentError(f"json: cannot unmarshal {value!r} into Go struct field .requeue of type string")
    parts = _DURATION.findall(value)
    if "".join(a + b for a, b in parts) != value or not value:
        raise AgentError(f"time: invalid duration {value!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class FakeAgent:
    """workflow/executor/agent.go: AgentExecutor.

    Args:
        client: The Kubernetes API.
        workflow: ``metadata`` of the Workflow: name, namespace, uid.
        plugins: In the order in which they are asked.
        workers: ARGO_AGENT_TASK_WORKERS.
        patch_rate: ARGO_AGENT_PATCH_RATE in seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        workflow: Mapping[str, str],
        plugins: Sequence[Plugin],
        time: Time,
        *,
        workers: int = 16,
        patch_rate: float = 10.0,
    ) -> None:
        self.client = client
        self.workflow = dict(workflow)
        self.plugins = plugins
        self.time = time
        self.patches: list[JsonObject] = []
        """What was patched into ``status.nodes``."""
        self.calls: list[str] = []
        """Node ids in the order of processing."""
        self._workers = workers
        self._rate = patch_rate
        self._considered: set[str] = set()
        # Go's channel has no room and blocks its writers; nobody here can see the difference.
        self._queue: asyncio.Queue[tuple[str, JsonObject]] = asyncio.Queue()
        self._results: dict[str, JsonObject] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """agent.go: Agent. Returns when the TaskSet is deleted or the Workflow completed."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            self._spawn(self._patch_worker)
            for _ in range(self._workers):
                self._spawn(lambda: self._task_worker(session))
            try:
                await self._watch()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        name, namespace = self.workflow["name"], self.workflow["namespace"]
        selector = f"metadata.name={name}"
        while True:
            found, version = await self.client.list(TASK_SET, namespace, field_selector=selector)
            for task_set in found:
                if self._take(task_set):
                    return
            async for event in self.client.watch(
                TASK_SET, namespace, resource_version=version, field_selector=selector
            ):
                if event.type == "DELETED" or (event.type != "BOOKMARK" and self._take(event.object)):
                    return

    def _take(self, task_set: JsonObject) -> bool:
        """Queue the tasks; tell whether the Workflow completed (agent.go: IsWorkflowCompleted)."""
        if (task_set["metadata"].get("labels") or {}).get("workflows.argoproj.io/completed") == "true":
            return True
        for node, template in (task_set.get("spec", {}).get("tasks") or {}).items():
            self._queue.put_nowait((node, template))
        return False

    async def _task_worker(self, session: aiohttp.ClientSession) -> None:
        """agent.go: taskWorker."""
        while True:
            node, template = await self._queue.get()
            if node in self._considered:
                continue
            self._considered.add(node)
            self.calls.append(node)
            result, requeue = await self._process(session, template)
            if result.get("phase"):
                self._results[node] = result
            if requeue > 0:
                self._spawn(lambda node=node, template=template, requeue=requeue: self._again(node, template, requeue))

    async def _again(self, node: str, template: JsonObject, requeue: float) -> None:
        """agent.go: taskWorker, time.AfterFunc."""
        await self.time.sleep(requeue)
        self._considered.discard(node)
        self._queue.put_nowait((node, template))

    async def _process(self, session: aiohttp.ClientSession, template: JsonObject) -> tuple[JsonObject, float]:
        """agent.go: processTask, executePluginTemplate."""
        args = {"workflow": {"metadata": self.workflow}, "template": template}
        reply: JsonObject = {}
        try:
            if "plugin" not in template:
                raise AgentError("agent cannot execute: unknown task type")
            for plugin in self.plugins:
                await plugin.call(session, args, reply)
                if reply.get("node") is not None:
                    if reply["node"].get("phase") == "Succeeded":
                        return reply["node"], 0.0
                    return reply["node"], reply.get("requeue", 0.0)
            raise AgentError("no plugin executed the template")
        except AgentError as error:
            return {"phase": "Failed", "message": str(error)}, 0.0

    async def _patch_worker(self) -> None:
        """agent.go: patchWorker."""
        name, namespace = self.workflow["name"], self.workflow["namespace"]
        while True:
            await asyncio.sleep(self._rate * self.time.scale)
            if not self._results:
                continue
            nodes = dict(self._results)
            try:
                await self.client.patch(TASK_SET, name, namespace, {"status": {"nodes": nodes}}, subresource="status")
            except ApiError as error:
                if not error.transient:
                    text = (
                        f"HTTP request completed successfully but an error occurred when patching its result: {error}"
                    )
                    self._results |= {node: {"phase": "Error", "message": text} for node in nodes}
                continue
            self.patches.append(nodes)
            self._results = {n: r for n, r in self._results.items() if nodes.get(n) is not r}

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
