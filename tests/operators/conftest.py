# SPDX-License-Identifier: Apache-2.0
"""An API in memory, a whole cluster, and the smallest inventory, types and chain with a branch and a join."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import hashlib
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from accelchain.api.common import API_VERSION
from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.owners import Owners
from accelchain_operators.kube.store import Store, controller_uid
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.main import run_operators
from accelchain_operators.reconcile import schedule
from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.dataflow import reconcile
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.times import rfc3339

DEADLINE = 20.0
CHILDREN = (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.POD, kinds.CONFIG_MAP, kinds.SECRET)

Call = tuple[str, str, str]
"""Verb, kind, name."""


class FakeKube:
    """Objects in memory with server-side apply as far as several managers of one object need it. Counts writes.

    ``fail`` may hold an ApiError for a call: it is raised instead, once.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], JsonObject] = {}
        self.writes: list[Call] = []
        self.events: list[JsonObject] = []
        self.fail: dict[Call, ApiError] = {}
        self.on_change: Callable[[ResourceType, str, JsonObject], None] = lambda *_: None
        self.clock: Callable[[], float] | None = None
        """Where it is set, Pods end when a kubelet says so, as they do; else they are gone at once."""
        self._intents: dict[tuple[Any, ...], dict[str, JsonObject]] = {}
        self._version = 0

    def _begin(self, verb: str, type: ResourceType, name: str) -> None:
        if verb != "get" and type.kind != "Event":
            self.writes.append((verb, type.kind, name))
        if error := self.fail.pop((verb, type.kind, name), None):
            raise error

    def _stored(self, type: ResourceType, name: str, namespace: str | None) -> JsonObject:
        found = self.objects.get((type.kind, namespace, name))
        if found is None:
            raise ApiError(404, "NotFound", f"{type.plural} {name!r} not found")
        return found

    def put(self, type: ResourceType, obj: JsonObject, event: str = "MODIFIED") -> JsonObject:
        self._version += 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self._version)
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("generation", 1)
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        self.objects[type.kind, meta.get("namespace"), meta["name"]] = obj
        self.on_change(type, event, copy.deepcopy(obj))
        return copy.deepcopy(obj)

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        self._begin("get", type, name)
        return copy.deepcopy(self._stored(type, name, namespace))

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        meta = obj["metadata"]
        self._begin("create", type, meta["name"])
        if (type.kind, meta.get("namespace"), meta["name"]) in self.objects:
            raise ApiError(409, "AlreadyExists", f"{meta['name']} already exists")
        if type.kind == "Event":
            self.events.append(obj)
        return self.put(type, copy.deepcopy(obj), "ADDED")

    async def apply(self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True) -> JsonObject:
        meta = obj["metadata"]
        self._begin("apply", type, meta["name"])
        key = (type.kind, meta.get("namespace"), meta["name"])
        live = self.objects.get(key) or {k: v for k, v in obj.items() if k != "spec"}
        new = copy.deepcopy(live)
        new.update(self._merged(key, "", field_manager, {"spec": obj.get("spec", {})}))
        new["metadata"].update({k: v for k, v in copy.deepcopy(meta).items() if k not in ("name", "namespace")})
        if key in self.objects and new.get("spec") != live.get("spec"):
            new["metadata"]["generation"] += 1
        return self._store(type, live, new, key in self.objects)

    async def apply_status(
        self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True
    ) -> JsonObject:
        meta = obj["metadata"]
        self._begin("apply_status", type, meta["name"])
        live = self._stored(type, meta["name"], meta.get("namespace"))
        if meta.get("uid", live["metadata"]["uid"]) != live["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "another object has this name now")
        if meta.get("resourceVersion", live["metadata"]["resourceVersion"]) != live["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        key = (type.kind, meta.get("namespace"), meta["name"])
        new = copy.deepcopy(live)
        new.update(self._merged(key, "status", field_manager, {"status": obj["status"]}))
        return self._store(type, live, new, True)

    def _store(self, type: ResourceType, live: JsonObject, new: JsonObject, exists: bool) -> JsonObject:
        managed = []
        key = (type.kind, new["metadata"].get("namespace"), new["metadata"]["name"])
        for (*owner, subresource), managers in self._intents.items():
            if tuple(owner) == key:
                for manager, intent in managers.items():
                    fields = {"manager": manager, "operation": "Apply", "fieldsV1": fields_v1(intent)}
                    managed.append({**fields, **({"subresource": subresource} if subresource else {})})
        new["metadata"]["managedFields"] = managed
        if exists and new == live:
            return copy.deepcopy(live)
        return self.put(type, new, "MODIFIED" if exists else "ADDED")

    def _merged(self, key: tuple[Any, ...], subresource: str, manager: str, intent: JsonObject) -> JsonObject:
        managers = self._intents.setdefault((*key, subresource), {})
        managers[manager] = copy.deepcopy(intent)
        result: JsonObject = {}
        for one in managers.values():
            result = merge(result, one)
        return result

    async def patch(
        self, type: ResourceType, name: str, namespace: str | None, patch: Any, *, subresource: str = ""
    ) -> JsonObject:
        self._begin("patch", type, name)
        new = merge(copy.deepcopy(self._stored(type, name, namespace)), patch)
        return self.put(type, new)

    async def delete(
        self,
        type: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        **_: Any,
    ) -> None:
        self._begin("delete", type, name)
        found = self._stored(type, name, namespace)
        if uid is not None and uid != found["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "uid")
        if type.kind == "Pod" and self.clock is not None and grace_seconds != 0:
            grace = found["spec"].get("terminationGracePeriodSeconds", 30)
            new = copy.deepcopy(found)
            new["metadata"].setdefault("deletionTimestamp", rfc3339(self.clock() + grace))
            self.put(type, new)
            return
        self.drop(type, name, namespace)

    def drop(self, type: ResourceType, name: str, namespace: str | None = None) -> None:
        found = self.objects.pop((type.kind, namespace, name))
        self._intents = {k: v for k, v in self._intents.items() if k[:3] != (type.kind, namespace, name)}
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self.on_change(type, "DELETED", found)


def merge(base: Any, over: Any, name: str = "") -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{k: merge(base[k], v, k) if k in base else copy.deepcopy(v) for k, v in over.items()}}
    if name == "conditions" and isinstance(base, list):
        new = {c["type"]: c for c in over}
        kept = [new.pop(c["type"], c) for c in base]
        return kept + list(new.values())
    return copy.deepcopy(over)


def fields_v1(value: Any) -> JsonObject:
    fields: JsonObject = {}
    for key, below in value.items():
        if key == "conditions":
            fields["f:conditions"] = {f"k:{json.dumps({'type': c['type']})}": {".": {}, **fields_v1(c)} for c in below}
        else:
            fields[f"f:{key}"] = fields_v1(below) if isinstance(below, dict) else {}
    return fields


def ours(kind: str, name: str, spec: JsonObject, namespace: str | None = None) -> JsonObject:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


def function_type(name: str, **spec: Any) -> JsonObject:
    implementation = {"name": "host", "api": "host", "deviceTypes": ["cpu"], "entrypoint": f"{name}:F"}
    return ours("FunctionType", name, {"version": "1.0.0", "implementations": [implementation], **spec})


FRAMES = {"name": "frames", "type": "frames", "dtype": "uint8", "shape": ["height", "width", 3]}
URI = {"name": "uri", "type": "string", "required": True}


@pytest.fixture
def abstracts() -> list[JsonObject]:
    """Types, a chain with a branch and a join (4 functions, 4 edges), and one node with host and cpu0."""
    devices = [
        {"name": "host", "type": "cpu", "api": "host", "id": "host"},
        {"name": "cpu0", "type": "cpu", "api": "opencl", "id": "PoCL/cpu/0"},
    ]
    links = [
        {"from": a, "to": b, "mechanism": "same-buffer" if a == b else "shared-host"}
        for a in ("host", "cpu0")
        for b in ("host", "cpu0")
    ]
    opencl = {"name": "opencl", "api": "opencl", "deviceTypes": ["cpu"], "entrypoint": "blur:Blur"}
    return [
        function_type("camera", role="source", outputs=[FRAMES], parameters=[{**URI, "format": "uri-input"}]),
        function_type(
            "blur",
            inputs=[FRAMES],
            outputs=[FRAMES],
            parameters=[{"name": "radius", "type": "integer", "minimum": 1, "default": 3}],
            implementations=[opencl],
        ),
        function_type("mix", inputs=[{**FRAMES, "name": "a"}, {**FRAMES, "name": "b"}], outputs=[FRAMES]),
        function_type("film", role="sink", inputs=[FRAMES], parameters=[{**URI, "format": "uri-output"}]),
        ours(
            "FunctionChain",
            "demo",
            {
                "inputs": [{"name": "video"}],
                "outputs": [{"name": "film"}],
                "functions": [
                    {"name": "in", "type": "camera", "parameters": {"uri": "$(inputs.video.uri)"}},
                    {"name": "soft", "type": "blur"},
                    {"name": "both", "type": "mix"},
                    {"name": "out", "type": "film", "parameters": {"uri": "$(outputs.film.uri)"}},
                ],
                "connections": [
                    {"from": "in.frames", "to": "soft.frames"},
                    {"from": "soft.frames", "to": "both.a"},
                    {"from": "in.frames", "to": "both.b"},
                    {"from": "both.frames", "to": "out.frames"},
                ],
            },
            "default",
        ),
        ours("ComputeResource", "laptop", {"nodeName": "laptop", "devices": devices, "links": links}),
    ]


@pytest.fixture
def make_flow() -> Callable[..., JsonObject]:
    def make(name: str = "flow", namespace: str = "default", **spec: Any) -> JsonObject:
        given = {
            "chainRef": {"name": "demo"},
            "inputs": {"video": {"uri": "file:///in.mp4"}},
            "outputs": {"film": {"uri": "file:///out.mp4"}},
            "mode": "Batch",
            **spec,
        }
        return ours("DataFlow", name, {k: v for k, v in given.items() if v is not None}, namespace)

    return make


@pytest.fixture
def fake_kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def document() -> Callable[..., JsonObject]:
    """Make a worker's document for the chain ``demo``."""

    def make(phase: str, **fields: Any) -> JsonObject:
        edges = [("in.frames", "soft.frames"), ("soft.frames", "both.a"), ("in.frames", "both.b")]
        return {
            "phase": phase,
            "frames": 41,
            "total": 100,
            "framesPerSecond": 27.123,
            "functions": [{"name": "in", "frames": 47, "framesPerSecond": 30.2, "microseconds": 2900.1}],
            "edges": [
                {"from": a, "to": b, "mechanism": "shared-host", "copies": 0, "microseconds": 4.2, "verified": True}
                for a, b in [*edges, ("both.frames", "out.frames")]
            ],
            "outputs": {"parameters": {"out.frames": 100}},
            "live": ["/live/out.mjpeg"],
            **fields,
        }

    return make


BEGIN = 1_800_000_000.0


class World:
    """One flow, the operators and a kubelet that does what a test says, without a loop of their own."""

    def __init__(self, kube: Any, objects: list[JsonObject], flow: JsonObject) -> None:
        self.kube = kube
        self.now = BEGIN
        self.documents: dict[str, JsonObject] = {}
        self.since: dict[str, float] = {}
        self.progress_due = False
        self.conflict = ""
        self.departed: list[JsonObject] = []
        self.stale: set[str] = set()
        self.fields: JsonObject = {}
        self.actions = Actions()
        self.store = Store(lambda *_: None)
        kube.on_change = self._changed
        self.applier = Applier(kube, self.store, Recorder(kube, "test", self._clock), lambda _: None, self._clock)
        self.name = flow["metadata"]["name"]
        for obj in [*objects, flow]:
            kube.put(kinds.BY_KIND[obj["apiVersion"], obj["kind"]], obj)
        kube.writes.clear()

    def _clock(self) -> float:
        return self.now

    def _changed(self, type: Any, event: str, obj: JsonObject) -> None:
        if type in kinds.WATCHED:
            self.store.remove(type, obj) if event == "DELETED" else self.store.put(type, obj)
        if type == kinds.POD and event == "DELETED":
            self.departed.append(obj)

    @property
    def flow(self) -> JsonObject:
        found = self.store.get(kinds.DATA_FLOW, "default", self.name)
        assert found is not None
        return found

    @property
    def status(self) -> JsonObject:
        return self.flow.get("status") or {}

    @property
    def pod(self) -> JsonObject | None:
        pods = self.store.owned(kinds.POD, self.flow["metadata"]["uid"])
        return max(pods, key=lambda p: int(p["metadata"]["labels"]["accelchain.io/attempt"]), default=None)

    def condition(self, type: str) -> JsonObject:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == type), {})

    def snapshot(self, **fields: Any) -> FlowSnapshot:
        store, uid = self.store, self.flow["metadata"]["uid"]
        taken = FlowSnapshot(
            flow=self.flow,
            now=self.now,
            chains=store.all(kinds.FUNCTION_CHAIN, "default"),
            types=store.all(kinds.FUNCTION_TYPE),
            resources=store.all(kinds.COMPUTE_RESOURCE),
            pods=self._children(kinds.POD),
            config_maps=self._children(kinds.CONFIG_MAP),
            functions=store.owned(kinds.WB_FUNCTION, uid),
            connections=store.owned(kinds.WB_CONNECTION, uid),
            documents=self.documents,
            phase_since=self.since,
            token="secret",
            progress_due=self.progress_due,
            departed=tuple(self.departed),
            stale_nodes=frozenset(self.stale),
            conflict=self.conflict,
        )
        return dataclasses.replace(taken, **self.fields, **fields)

    def _children(self, type: ResourceType) -> tuple[JsonObject, ...]:
        """Return what the flow controls, and what was made for it and has lost its owner."""
        uid = self.flow["metadata"]["uid"]
        lost = (o for o in self.store.all(type) if not controller_uid(o))
        mine = (o for o in lost if o["metadata"].get("annotations", {}).get("accelchain.io/dataflow-uid") == uid)
        return (*self.store.owned(type, uid), *mine)

    def actions_now(self) -> Actions:
        return reconcile(self.snapshot())

    async def step(self) -> int:
        """Reconcile the flow, then the schedule; return the number of writes."""
        before = len(self.kube.writes)
        self.actions = reconcile(self.snapshot())
        await self.applier.run(self.actions, "accelchain-dataflow")
        await self.place()
        return len(self.kube.writes) - before

    async def place(self) -> None:
        """Have the scheduler look."""
        placed = schedule.reconcile(
            schedule.ScheduleSnapshot(
                flows=self.store.all(kinds.DATA_FLOW),
                chains=self.store.all(kinds.FUNCTION_CHAIN),
                types=self.store.all(kinds.FUNCTION_TYPE),
                resources=self.store.all(kinds.COMPUTE_RESOURCE),
                stale_nodes=frozenset(self.stale),
            )
        )
        await self.applier.run(placed, "accelchain-scheduler")

    async def settle(self) -> None:
        for _ in range(20):
            if not await self.step():
                return
        raise AssertionError(f"no rest after 20 rounds: {self.kube.writes[-8:]}")

    def pod_status(self, phase: str, **container: Any) -> None:
        assert self.pod is not None
        pod = json.loads(json.dumps(self.pod))
        pod["status"] = {"phase": phase, "podIP": "127.9.9.9", "startTime": rfc3339(self.now)}
        if container:
            pod["status"]["containerStatuses"] = [{"name": "worker", "state": container}]
        self.kube.put(kinds.POD, pod)

    def worker_says(self, document: JsonObject) -> None:
        assert self.pod is not None
        uid = self.pod["metadata"]["uid"]
        if self.documents.get(uid, {}).get("phase") != document["phase"]:
            self.since[uid] = self.now
        self.documents[uid] = document

    def pod_ends(self, code: int, message: str = "") -> None:
        ended = {"exitCode": code, "message": message, "finishedAt": "2027-01-15T08:00:05Z"}
        self.pod_status("Failed" if code else "Succeeded", terminated=ended)

    def children(self) -> dict[str, list[str]]:
        uid = self.flow["metadata"]["uid"]
        return {
            type.kind: [o["metadata"]["name"] for o in self.store.owned(type, uid)]
            for type in (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.CONFIG_MAP, kinds.POD)
        }

    def change(self, type: ResourceType, name: str, **fields: Any) -> None:
        """Change top-level fields of an object; a spec is merged, and makes a new generation."""
        obj = copy.deepcopy(self.kube.objects[type.kind, "default", name])
        if spec := fields.pop("spec", None):
            obj["spec"] = {k: v for k, v in {**obj["spec"], **spec}.items() if v is not None}
            obj["metadata"]["generation"] += 1
        self.kube.put(type, {**obj, **fields})

    def begins(self, document: JsonObject) -> None:
        """Have the Pod of the current attempt run, and its worker speak."""
        self.pod_status("Running", running={})
        self.worker_says(document)

    def terminating(self, **status: Any) -> None:
        """Have somebody delete the Pod, as the API does it: it is there until the kubelet says that it ended."""
        assert self.pod is not None
        pod = copy.deepcopy(self.pod)
        pod["metadata"]["deletionTimestamp"] = rfc3339(self.now + pod["spec"]["terminationGracePeriodSeconds"])
        pod["status"] = {**pod.get("status", {}), **status}
        self.kube.put(kinds.POD, pod)

    def plan(self) -> JsonObject:
        (config_map,) = self.store.owned(kinds.CONFIG_MAP, self.flow["metadata"]["uid"])
        plan: JsonObject = json.loads(config_map["data"]["plan.json"])
        return plan


@pytest.fixture
def world(
    fake_kube: FakeKube, abstracts: list[JsonObject], make_flow: Callable[..., JsonObject]
) -> Callable[..., World]:
    """Make a world with one flow, named and specified as said; in a second call with an API of its own."""

    def make(**spec: Any) -> World:
        kube = FakeKube() if fake_kube.objects else fake_kube
        return World(kube, copy.deepcopy(abstracts), make_flow(spec.pop("name", "flow"), **spec))

    return make


@pytest.fixture
def started(world: Callable[..., World], document: Callable[..., JsonObject]) -> Callable[..., Awaitable[World]]:
    """Make a world whose worker runs."""

    async def make(**spec: Any) -> World:
        one = world(**spec)
        await one.settle()
        one.begins(document("Running"))
        await one.settle()
        assert one.status["phase"] == "Running"
        return one

    return make


class Cluster:
    """The API, its client, the operators' thread, and a worker for every pod."""

    def __init__(self, api: LocalKube) -> None:
        self.api = api
        self.client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
        self._documents: dict[str, JsonObject] = {}
        self.grants: list[tuple[str, JsonObject]] = []
        """Pod and body of each grant to publish."""
        self._runners: list[web.AppRunner] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    async def start_operators(self) -> None:
        self._stop, ready = threading.Event(), threading.Event()
        connection = self.client.connection

        def run() -> None:
            try:
                run_operators(lambda: HttpClient(connection=connection), self._stop, ready)
            except BaseException as error:
                self.failure = error
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert await asyncio.to_thread(ready.wait, DEADLINE)

    async def stop_operators(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, DEADLINE)
            assert not self._thread.is_alive()

    async def close(self) -> None:
        await self.stop_operators()
        await self.client.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for a condition and return its value."""
        async with asyncio.timeout(DEADLINE):
            while not (found := await condition()):
                await asyncio.sleep(0.02)
        return found

    async def maybe(self, type: ResourceType, name: str, namespace: str) -> JsonObject | None:
        try:
            return await self.client.get(type, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def flow_with(self, type: str, status: str = "True", name: str = "flow", ns: str = "default") -> JsonObject:
        async def found() -> JsonObject | None:
            flow = await self.client.get(kinds.DATA_FLOW, name, ns)
            conditions = (flow.get("status") or {}).get("conditions", ())
            return flow if any((c["type"], c["status"]) == (type, status) for c in conditions) else None

        flow: JsonObject = await self.until(found)
        return flow

    async def pod(self, flow: str = "flow", ns: str = "default", attempt: int = 1) -> JsonObject:
        """Wait for the worker's Pod of an attempt at a flow."""
        selector = f"accelchain.io/dataflow={flow},accelchain.io/attempt={attempt}"

        async def found() -> JsonObject | None:
            pods, _ = await self.client.list(kinds.POD, ns, label_selector=selector)
            return pods[0] if pods else None

        pod: JsonObject = await self.until(found)
        return pod

    async def run_worker(self, pod: JsonObject, ip: str, document: JsonObject) -> None:
        """Do what a kubelet and a worker do at the start: three writes at most."""
        ns, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        plan = json.loads((await self.client.get(kinds.CONFIG_MAP, name, ns))["data"]["plan.json"])
        self._documents[ip] = document

        async def stream(request: web.Request) -> web.StreamResponse:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            if hashlib.sha256(token.encode()).hexdigest() != plan["tokenSha256"]:
                raise web.HTTPForbidden
            response = web.StreamResponse()
            await response.prepare(request)
            while request.transport is not None and not request.transport.is_closing():
                await response.write(json.dumps(self._documents[ip]).encode() + b"\n")
                await asyncio.sleep(0.05)
            return response

        async def publish(request: web.Request) -> web.Response:
            self.grants.append((name, await request.json()))
            return web.json_response({})

        app = web.Application()
        app.router.add_get("/stream", stream)
        app.router.add_post("/publish", publish)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, ip, 9090).start()
        state = {"name": "worker", "state": {"running": {}}, "ready": True}
        status = {"phase": "Running", "podIP": ip, "startTime": "2027-01-15T08:00:00Z", "containerStatuses": [state]}
        await self._status(name, ns, status)

    def say(self, ip: str, document: JsonObject) -> None:
        self._documents[ip] = document

    async def end_worker(self, pod: JsonObject, code: int, message: str = "") -> None:
        ended = {"exitCode": code, "message": message, "finishedAt": rfc3339(time.time())}
        state = {"name": "worker", "state": {"terminated": ended}, "ready": False}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [state]}
        await self._status(pod["metadata"]["name"], pod["metadata"]["namespace"], status)

    async def _status(self, name: str, ns: str, status: JsonObject) -> None:
        await self.client.patch(kinds.POD, name, ns, {"status": status}, subresource="status")

    async def left_of(self, uid: str) -> list[str]:
        """Return what is owned by an object, by kind and name."""
        left = []
        for type in CHILDREN:
            for obj in (await self.client.list(type))[0]:
                if any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences", ())):
                    left.append(f"{type.kind} {obj['metadata']['name']}")
        return left

    async def delete_flow(self, name: str = "flow", ns: str = "default") -> None:
        """Delete a flow, and see that nothing of it is left."""
        flow = await self.client.get(kinds.DATA_FLOW, name, ns)
        await self.client.delete(kinds.DATA_FLOW, name, ns)
        uid = flow["metadata"]["uid"]

        async def gone() -> bool:
            return await self.maybe(kinds.DATA_FLOW, name, ns) is None and not await self.left_of(uid)

        await self.until(gone)


@pytest.fixture
def make_cluster() -> Callable[[LocalKube], Cluster]:
    """Make the operators and clients of an API that was started."""
    return Cluster


@pytest.fixture
async def cluster(abstracts: list[JsonObject]) -> AsyncIterator[Cluster]:
    api = LocalKube()
    for obj in (*crds(), *abstracts):
        api.put(obj)
    await api.start()
    one = Cluster(api)
    await one.start_operators()
    assert one.failure is None
    yield one
    await one.close()
    await api.stop()
    assert one.failure is None


@pytest.fixture
async def follow() -> AsyncIterator[Callable[[Any], tuple[Owners, list[Any]]]]:
    """Watches owners by an API, and tells which flows it had news for."""
    made: list[Owners] = []

    def make(api: Any) -> tuple[Owners, list[Any]]:
        news: list[Any] = []
        made.append(Owners(api, news.append))
        return made[-1], news

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits for a condition of this process."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
