# SPDX-License-Identifier: Apache-2.0
"""An embedded API with Argo's kinds, Argo's controller as a fake that follows its code, and the real operator."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accelchain.api.crd import crds
from accelchain.argo.core.identity import NODE_ID, REPORTED, UID_LABEL, node_id
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.recorder import Recorder
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.main import run_operators
from accelchain_operators.reconcile import taskset

DEADLINE = 15.0
RBAC = "rbac.authorization.k8s.io/v1"


def _load(name: str) -> ModuleType:
    """Import a module of this folder: tests are no packages."""
    spec = importlib.util.spec_from_file_location(f"argo_taskset_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fake = _load("fake_controller")
memory = _load("memory_kube")


ROLE = {
    "apiVersion": RBAC,
    "kind": "Role",
    "metadata": {"name": "flows", "namespace": "default"},
    "rules": [{"apiGroups": ["accelchain.io"], "resources": ["dataflows"], "verbs": ["create"]}],
}
BINDING = {
    "apiVersion": RBAC,
    "kind": "RoleBinding",
    "metadata": {"name": "flows", "namespace": "default"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flows"},
    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
}


def template(**more: Any) -> JsonObject:
    """A plugin template of ours, before Argo's substitution."""
    body = {
        "node": "{{node.name}}",
        "attempt": "{{retries}}",
        "dataflow": {
            "chainRef": {"name": "demo"},
            "inputs": {"video": {"uri": "s3://videos/in.mp4"}},
            "outputs": {"film": {"uri": "s3://videos/out.mp4"}},
        },
        **more.pop("body", {}),
    }
    return {"name": "detect", "plugin": {"accelchain": body}, **more}


CONDITIONS = {
    "Scheduled": [("Accepted", "True"), ("Scheduled", "True"), ("Running", "Unknown")],
    "Running": [("Accepted", "True"), ("Scheduled", "True"), ("Running", "True")],
    "Succeeded": [("Accepted", "True"), ("Running", "False"), ("Succeeded", "True")],
    "Failed": [("Accepted", "True"), ("Running", "False"), ("Failed", "True")],
    "Refused": [("Accepted", "False")],
}


def flow_status(phase: str, now: float, reason: str = "", message: str = "", **status: Any) -> JsonObject:
    """What the operators write into a DataFlow's status."""
    conditions = [
        {
            "type": kind,
            "status": value,
            "reason": reason or kind,
            "message": message,
            "lastTransitionTime": fake.stamp(now),
        }
        for kind, value in CONDITIONS[phase]
    ]
    found: JsonObject = {"phase": "Pending" if phase == "Scheduled" else phase, "conditions": conditions}
    if phase in ("Scheduled", "Running"):
        found["placement"] = [{"function": "f", "node": "n1", "device": "cpu0", "implementation": "opencl"}]
    if phase in ("Running", "Succeeded", "Failed"):
        found["startTime"] = fake.stamp(now)
    if phase in ("Succeeded", "Failed"):
        found["completionTime"] = fake.stamp(now)
    return found | status


class Argo:
    """A cluster with Argo's controller and our operator."""

    def __init__(self, kube: LocalKube, client: HttpClient, stack: AsyncExitStack) -> None:
        self.kube, self.client, self.stack = kube, client, stack
        self.skew = 0.0
        """Seconds that Argo's clock, which has whole seconds only, is ahead."""
        self.controller = fake.FakeController(client, lambda: time.time() + self.skew)
        self.name = "wf"
        self._operators: list[tuple[threading.Thread, threading.Event]] = []
        self.failures: list[BaseException] = []

    async def start_operator(self, **options: Any) -> None:
        """Start one replica of the operator."""
        stop, ready = threading.Event(), threading.Event()
        connection = Connection(self.kube.url, self.kube.token, ca=self.kube.ca, namespace="default")

        def run() -> None:
            try:
                run_operators(
                    lambda: HttpClient(connection=connection, qps=1000, burst=2000),
                    stop,
                    ready,
                    controllers=("taskset",),
                    **options,
                )
            except BaseException as error:
                self.failures.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._operators.append((thread, stop))
        assert await asyncio.to_thread(ready.wait, DEADLINE)

    async def stop_operator(self) -> None:
        """Stop the oldest replica."""
        thread, stop = self._operators.pop(0)
        stop.set()
        await asyncio.to_thread(thread.join, DEADLINE)
        assert not thread.is_alive()

    async def close(self) -> None:
        while self._operators:
            await self.stop_operator()
        assert self.failures == []

    async def submit(self, *steps: Any, **spec: Any) -> None:
        """Submit a Workflow, and have the controller look at it once."""
        await self.controller.submit(self.name, [s if not isinstance(s, str) else step(s) for s in steps], **spec)
        await self.operate()

    async def operate(self, times: int = 1) -> None:
        for _ in range(times):
            await self.controller.operate(self.name)

    def id(self, step: str) -> str:
        return node_id(self.name, f"{self.name}.{step}")

    async def workflow(self) -> JsonObject:
        return await self.client.get(kinds.WORKFLOW, self.name, "default")

    async def node(self, step: str) -> JsonObject:
        nodes = (await self.workflow())["status"]["nodes"]
        found: JsonObject = nodes[self.id(step)]
        return found

    async def task_set(self) -> JsonObject:
        return await self.client.get(kinds.TASK_SET, self.name, "default")

    async def told(self, step: str) -> JsonObject | None:
        """What ``status.nodes`` of the TaskSet holds for a step."""
        nodes: JsonObject = ((await self.task_set()).get("status") or {}).get("nodes") or {}
        return nodes.get(self.id(step))

    async def flows(self) -> list[JsonObject]:
        found, _ = await self.client.list(kinds.DATA_FLOW, "default")
        return found

    async def flow(self, step: str = "", **meta: Any) -> JsonObject:
        """Wait for the flow of a step."""

        async def there() -> JsonObject | None:
            found = [
                f for f in await self.flows()
                if UID_LABEL in (f["metadata"].get("labels") or {})
                and (not step or f["metadata"]["annotations"][NODE_ID] == self.id(step))
            ]  # fmt: skip
            return found[0] if found else None

        found: JsonObject = await self.until(there, f"a flow of {step}")
        return found

    async def set_flow(self, step: str, phase: str, **more: Any) -> None:
        """Have the operators write a flow's status."""
        await self.write_status(await self.flow(step), phase, **more)

    async def write_status(self, flow: JsonObject, phase: str, **more: Any) -> None:
        status = flow_status(phase, self.controller.clock(), **more)
        await self.client.patch(
            kinds.DATA_FLOW, flow["metadata"]["name"], "default", {"status": status}, subresource="status"
        )

    async def until_noted(self, step: str) -> dict[str, str]:
        """Wait until the flow of a step says that its end was told; return its annotations."""

        async def noted() -> dict[str, str] | None:
            notes: dict[str, str] = (await self.flow(step))["metadata"]["annotations"]
            return notes if REPORTED in notes else None

        found: dict[str, str] = await self.until(noted, "note in the flow")
        return found

    def asked(self, resource: str, verb: str = "") -> int:
        """How often somebody asked for a kind."""
        return sum(r.resource == resource and verb in ("", r.verb) for r in self.kube.recorder.requests)

    async def until_told(self, step: str, phase: str | None) -> JsonObject | None:
        """Wait until the TaskSet tells a phase of a step; None: nothing."""

        async def there() -> Any:
            told = await self.told(step)
            return (told is None) if phase is None else (told if told and told["phase"] == phase else None)

        found = await self.until(there, f"{phase} told of {step}")
        return found if phase is not None else None

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition, which may be a coroutine function; return its value."""
        give_up = asyncio.get_running_loop().time() + DEADLINE
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            assert asyncio.get_running_loop().time() < give_up, f"there was no {what} in {DEADLINE:.0f} s"
            await asyncio.sleep(0.02)


def step(name: str, *depends: str, retries: int | None = None, on_exit: bool = False, **more: Any) -> Any:
    """A step of a Workflow; what is left goes into its template."""
    return fake.Step(name, template(**more), depends, retries, on_exit)


@pytest.fixture
def make_step() -> Callable[..., Any]:
    return step


@pytest.fixture
def parts() -> tuple[Any, Any, Any]:
    """The fake controller, the API in memory, and how a flow's status looks."""
    return fake, memory, flow_status


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's pauses, shortened as all of Argo's times are here."""
    monkeypatch.setattr(taskset, "SETTLE", 0.05)
    monkeypatch.setattr(taskset, "LOST", 0.3)
    monkeypatch.setattr(taskset, "ACCESS_AGAIN", 0.2)
    for name in ("SOON", "ROOM", "LATE"):
        monkeypatch.setattr(taskset, name, (0.05, 0.2))
    monkeypatch.setattr("accelchain_operators.kube.access.BELIEVED", 0.1)


@pytest.fixture
async def bare(quick: None, argo_crds: tuple[JsonObject, ...]) -> AsyncIterator[Argo]:
    """The cluster without the operator, and without the Role."""
    kube = LocalKube()
    kube.recorder = Recorder(100_000)
    for obj in (*crds(), *argo_crds):
        kube.put(copy.deepcopy(obj))
    await kube.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(kube.stop)
        client = HttpClient(kube.url, kube.token, kube.ca, qps=1000, burst=2000)
        stack.push_async_callback(client.close)
        one = Argo(kube, client, stack)
        stack.push_async_callback(one.close)
        yield one


@pytest.fixture
async def argo(bare: Argo) -> Argo:
    """The cluster with all that a step needs."""
    await grant(bare)
    await bare.start_operator()
    return bare


async def grant(argo: Argo) -> None:
    """Let the Workflow's ServiceAccount create DataFlows."""
    for obj in (ROLE, BINDING):
        plural = f"{obj['kind'].lower()}s"
        await argo.client.create(kinds.ResourceType(RBAC, str(obj["kind"]), plural), copy.deepcopy(obj))


@pytest.fixture(name="grant")
def grant_fixture() -> Any:
    return grant
