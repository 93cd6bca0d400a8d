# SPDX-License-Identifier: Apache-2.0
"""A KubeClient in memory, a stand-in for the worker, and kubelets that are stopped at the end."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError, ResourceType, WatchEvent
from accelchain_operators.localkube.kubelet import Kubelet
from accelchain_operators.localkube.kubelet.launcher import Commands

STANDIN = Path(__file__).with_name("standin_worker.py")
DEADLINE = 15.0
JsonObject = dict[str, Any]


class MemoryKube:
    """Just what a kubelet needs of the API: objects, watches of pods, graceful deletion, uid preconditions."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], JsonObject] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.statuses: dict[str, list[JsonObject]] = {}
        self.down = False
        self._version = itertools.count(1)
        self._last = 0
        self._watches: list[asyncio.Queue[WatchEvent | None]] = []

    def put(self, kind: str, obj: JsonObject) -> JsonObject:
        key = (kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        new = key not in self.objects
        self._last = next(self._version)
        meta = {"uid": f"uid-{self._last}", **obj["metadata"], "resourceVersion": str(self._last)}
        self.objects[key] = stored = {**copy.deepcopy(obj), "metadata": meta}
        if kind == "Pod":
            self._emit(WatchEvent("ADDED" if new else "MODIFIED", copy.deepcopy(stored)))
        return copy.deepcopy(stored)

    def _emit(self, event: WatchEvent) -> None:
        for queue in self._watches:
            queue.put_nowait(event)

    def break_watches(self) -> None:
        for queue in self._watches:
            queue.put_nowait(None)
        self._watches.clear()

    def drop(self, name: str) -> None:
        """Delete a pod in a gap of the watch: the place in history is gone (410), the list lacks the pod."""
        self._last = next(self._version)
        del self.objects["Pod", "default", name]

    async def until(self, name: str, *phases: str) -> JsonObject:
        """Return the pod when it is in one of the phases; with none, return its last version when it is gone."""
        key = ("Pod", "default", name)
        last: JsonObject = {}
        async with asyncio.timeout(DEADLINE):
            while True:
                if key not in self.objects:
                    if not phases:
                        return last
                else:
                    last = self.objects[key]
                    if (last.get("status") or {}).get("phase") in phases:
                        return copy.deepcopy(last)
                await asyncio.sleep(0.01)

    def _check(self) -> None:
        if self.down:
            raise ApiError(0, "Unreachable", "down for a test")

    def _find(self, type: ResourceType, name: str, namespace: str | None) -> JsonObject:
        self._check()
        try:
            return self.objects[type.kind, namespace, name]
        except KeyError:
            raise ApiError(404, "NotFound", f'{type.plural} "{name}" not found') from None

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        return copy.deepcopy(self._find(type, name, namespace))

    async def list(self, type: ResourceType, namespace: str | None = None, **_: str) -> tuple[list[JsonObject], str]:
        self._check()
        found = [copy.deepcopy(obj) for (kind, _, _), obj in self.objects.items() if kind == type.kind]
        return found, str(self._last)

    async def watch(
        self, type: ResourceType, namespace: str | None = None, *, resource_version: str, **_: str
    ) -> AsyncIterator[WatchEvent]:
        self._check()
        queue: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
        if int(resource_version) < self._last:
            raise ApiError(410, "Expired", "too old")
        self._watches.append(queue)
        while (event := await queue.get()) is not None:
            yield event

    async def apply(self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True) -> JsonObject:
        self._check()
        self.writes.append(("apply", type.kind, obj["metadata"]["name"]))
        return self.put(type.kind, obj)

    async def apply_status(
        self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True
    ) -> JsonObject:
        self._check()
        self.writes.append(("status", type.kind, obj["metadata"]["name"]))
        stored = self._find(type, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        return self.put(type.kind, {**stored, "status": obj["status"]})

    async def patch(
        self, type: ResourceType, name: str, namespace: str | None, patch: Any, *, subresource: str = ""
    ) -> JsonObject:
        stored = self._find(type, name, namespace)
        for field in ("uid", "resourceVersion"):
            if patch.get("metadata", {}).get(field, stored["metadata"][field]) != stored["metadata"][field]:
                raise ApiError(409, "Conflict", field)
        self.writes.append((subresource or "patch", type.kind, name))
        assert subresource == "status", "a kubelet patches nothing but statuses"
        self.statuses.setdefault(name, []).append(patch["status"])
        return self.put(type.kind, {**stored, "status": patch["status"]})

    async def delete(
        self,
        type: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        stored = self._find(type, name, namespace)
        if uid is not None and stored["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "uid")
        if grace_seconds != 0 and stored["spec"].get("nodeName"):
            grace = stored["spec"].get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds
            meta = stored["metadata"] | {"deletionTimestamp": "now", "deletionGracePeriodSeconds": grace}
            self.put(type.kind, {**stored, "metadata": meta})
            return
        del self.objects[type.kind, namespace, name]
        self._emit(WatchEvent("DELETED", stored))

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        assert type.kind == "Binding", "a kubelet creates nothing but Bindings"
        self._check()
        meta = obj["metadata"]
        pod = self.objects.get(("Pod", meta["namespace"], meta["name"]))
        if pod is None:
            raise ApiError(404, "NotFound", meta["name"])
        if pod["metadata"]["uid"] != meta["uid"] or pod["spec"].get("nodeName"):
            raise ApiError(409, "Conflict", "another pod, or bound already")
        self.writes.append(("bind", "Pod", meta["name"]))
        self.put("Pod", {**pod, "spec": {**pod["spec"], "nodeName": obj["target"]["name"]}})
        return {"kind": "Status", "status": "Success"}

    def logs(self, name: str, namespace: str, **_: Any) -> AsyncIterator[str]:
        raise NotImplementedError

    async def close(self) -> None:
        return


@pytest.fixture
def kube() -> MemoryKube:
    return MemoryKube()


@pytest.fixture
def make_pod(kube: MemoryKube) -> Callable[..., JsonObject]:
    return functools.partial(make_worker_pod, kube)


def make_worker_pod(
    kube: MemoryKube, name: str, plan: JsonObject | None = None, *, config: bool = True, **spec: Any
) -> JsonObject:
    """Make a worker pod with its ConfigMap and Secret, in the shape that the operator gives it."""
    if config:
        kube.put("ConfigMap", config_map(name, plan or {}))
    token = base64.b64encode(b"s3cret").decode()
    kube.put("Secret", {"metadata": {"name": name, "namespace": "default"}, "data": {"token": token}})
    container = {
        "name": "worker",
        "image": "registry.example/accelchain-worker:1",
        "args": [
            "--plan=/etc/accelchain/plan/plan.json",
            "--termination-log",
            "/dev/termination-log",
            "--token-file",
            "/etc/accelchain/token/token",
        ],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "ACCELCHAIN_STATUS_ADDRESS", "value": "$(POD_IP):9090"},
            *spec.pop("env", []),
        ],
        "volumeMounts": [
            {"name": "plan", "mountPath": "/etc/accelchain/plan"},
            {"name": "token", "mountPath": "/etc/accelchain/token"},
        ],
        **spec.pop("container", {}),
    }
    pod = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": "laptop"},
            "containers": [container],
            "volumes": [
                {"name": "plan", "configMap": {"name": name}},
                {"name": "token", "secret": {"secretName": name}},
            ],
            **spec,
        },
        "status": {"phase": "Pending"},
    }
    return kube.put("Pod", pod)


@pytest.fixture
def config_map_of() -> Callable[[str, JsonObject], JsonObject]:
    return config_map


def config_map(name: str, plan: JsonObject) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"plan.json": json.dumps(plan)}}


@pytest.fixture
async def start(kube: MemoryKube, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start kubelets of node ``laptop``; all are stopped at the end."""
    running: list[Kubelet] = []

    async def make(pool_size: int = 0, environment: dict[str, str] | None = None, **options: Any) -> Kubelet:
        commands = Commands(worker=(sys.executable, "-I", str(STANDIN)), prepare=())
        folder = options.pop("folder", tmp_path / "state")
        made = Kubelet(kube, "laptop", folder, pool_size, environment, commands=commands, **options)
        running.append(made)
        await made.start()
        return made

    yield make
    for made in running:
        await made.stop()


@pytest.fixture
def gone() -> Callable[[int], Any]:
    """Wait until a process has ended (a zombie has)."""

    async def wait(pid: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while is_alive(pid):
                await asyncio.sleep(0.01)

    return wait


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def alive() -> Callable[[int], bool]:
    return is_alive


@pytest.fixture
def said(tmp_path: Path) -> Callable[[str], Any]:
    """Return what the stand-in said about itself, when it did."""

    async def wait(name: str) -> JsonObject:
        async with asyncio.timeout(DEADLINE):
            while True:
                for log in (tmp_path / "state" / "pods").glob(f"default_{name}_*/worker.log"):
                    for line in log.read_text().splitlines():
                        if line.startswith("{"):
                            return json.loads(line)
                await asyncio.sleep(0.01)

    return wait


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def children_of() -> Callable[[int], list[int]]:
    return children


@pytest.fixture
def warm_pids() -> Callable[[], list[int]]:
    """Return the processes of warm workers, with or without work, the oldest first."""

    def find() -> list[int]:
        return sorted(pid for pid in children(os.getpid()) if "--warm" in Path(f"/proc/{pid}/cmdline").read_text())

    return find


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """Every test ends without a child process; servers of the session's other tests may be there."""
    others = children(os.getpid())
    yield
    assert set(children(os.getpid())) <= set(others)
