# SPDX-License-Identifier: Apache-2.0
"""The operators as they run: kopf, the embedded API, and a kubelet that does what a test says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.main import run_operators

DEADLINE = 20.0
CHILDREN = (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.POD, kinds.CONFIG_MAP, kinds.SECRET)


class Cluster:
    """The API, its client, the operators' thread, and a worker for every pod."""

    def __init__(self, api: LocalKube) -> None:
        self.api = api
        self.client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
        self._documents: dict[str, JsonObject] = {}
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

    async def pod(self, name: str, ns: str = "default") -> JsonObject:
        pod: JsonObject = await self.until(lambda: self.maybe(kinds.POD, name, ns))
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

        app = web.Application()
        app.router.add_get("/stream", stream)
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
        ended = {"exitCode": code, "message": message, "finishedAt": "2027-01-15T08:00:05Z"}
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


MakeFlow = Callable[..., JsonObject]
MakeDocument = Callable[..., JsonObject]


async def test_a_flow_from_creation_to_its_end_takes_few_writes_and_then_none(
    cluster: Cluster, make_flow: MakeFlow, document: MakeDocument
) -> None:
    async def ready() -> bool:
        chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
        types, _ = await cluster.client.list(kinds.FUNCTION_TYPE)
        return all((obj.get("status") or {}).get("conditions") for obj in (chain, *types))

    await cluster.until(ready)
    cluster.api.recorder.clear()
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod("flow-laptop")
    await cluster.run_worker(pod, "127.77.0.1", document("Running"))
    running = await cluster.flow_with("Running")
    assert running["status"]["phase"] == "Running"
    assert running["status"]["workers"][0]["address"] == "127.77.0.1:9090"
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded", frames=100, functions=[])))
    done = await cluster.flow_with("Succeeded")
    assert done["status"]["progress"]["frames"] == 100
    assert {c["type"] for c in done["status"]["conditions"]} == {
        "Accepted",
        "Scheduled",
        "Running",
        "Succeeded",
        "Failed",
    }
    wb = await cluster.client.get(kinds.WB_CONNECTION, "flow-in-frames-soft-frames", "default")
    assert (wb["status"]["phase"], wb["status"]["mechanism"]) == ("Succeeded", "shared-host")
    writes = cluster.api.recorder.writes(without={"events"})
    assert writes <= 38  # 4 functions, 4 edges, 2 writes of this kubelet; 45 is the limit for 5 functions and 4 writes
    # At rest: everything is listed and looked at again, and nobody writes.
    lists = cluster.api.recorder.rights()
    await cluster.stop_operators()
    await cluster.start_operators()

    async def listed_again() -> bool:
        now = cluster.api.recorder.rights()
        # Our list, kopf's, and ours again because of kopf's: half a second after the flow was looked at.
        return all(
            now[right] >= count + 3
            for right, count in lists.items()
            if (right.verb, right.resource) == ("list", "dataflows")
        )

    await cluster.until(listed_again)
    assert cluster.api.recorder.writes(without={"events"}) == writes


async def test_deletion_at_any_stage_leaves_nothing(
    cluster: Cluster, make_flow: MakeFlow, document: MakeDocument
) -> None:
    client = cluster.client
    await client.create(kinds.DATA_FLOW, make_flow("at-once"))
    await cluster.delete_flow("at-once")

    await client.create(kinds.DATA_FLOW, make_flow("refused", chainRef={"name": "nothing"}))
    await cluster.flow_with("Accepted", "False", "refused")
    await cluster.delete_flow("refused")

    await client.create(kinds.DATA_FLOW, make_flow("placed"))
    await cluster.pod("placed-laptop")
    await cluster.delete_flow("placed")

    await client.create(kinds.DATA_FLOW, make_flow("running"))
    pod = await cluster.pod("running-laptop")
    await cluster.run_worker(pod, "127.77.0.2", document("Running"))
    await cluster.flow_with("Running", name="running")
    await cluster.delete_flow("running")

    await client.create(kinds.DATA_FLOW, make_flow("done"))
    pod = await cluster.pod("done-laptop")
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded")))
    await cluster.flow_with("Succeeded", name="done")
    await cluster.delete_flow("done")


async def test_a_flow_is_deleted_and_created_anew_under_its_name(cluster: Cluster, make_flow: MakeFlow) -> None:
    uids = set()
    for _ in range(3):
        await cluster.client.create(kinds.DATA_FLOW, make_flow())
        pod = await cluster.pod("flow-laptop")
        uids.add(pod["metadata"]["ownerReferences"][0]["uid"])
        await cluster.client.delete(kinds.DATA_FLOW, "flow", "default")
    assert len(uids) >= 1
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")

    async def whole() -> bool:
        return len(await cluster.left_of(flow["metadata"]["uid"])) == 4 + 4 + 3

    await cluster.until(whole)


async def test_flows_of_one_name_in_two_namespaces_are_two_flows(
    cluster: Cluster, make_flow: MakeFlow, document: MakeDocument
) -> None:
    namespace = ResourceType("v1", "Namespace", "namespaces", namespaced=False)
    await cluster.client.create(namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
    copy = {**chain, "metadata": {"name": "demo", "namespace": "team"}}
    await cluster.client.create(kinds.FUNCTION_CHAIN, {k: v for k, v in copy.items() if k != "status"})
    for ns, ip in (("default", "127.77.0.3"), ("team", "127.77.0.4")):
        await cluster.client.create(kinds.DATA_FLOW, make_flow(namespace=ns))
        await cluster.run_worker(await cluster.pod("flow-laptop", ns), ip, document("Running"))
        await cluster.flow_with("Running", ns=ns)
    await cluster.end_worker(await cluster.pod("flow-laptop", "team"), 137)
    lost = await cluster.flow_with("Failed", ns="team")
    reasons = {c["type"]: c["reason"] for c in lost["status"]["conditions"]}
    assert reasons["Failed"] == "WorkerLost"
    other = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
    assert other["status"]["phase"] == "Running"


async def test_a_restart_takes_up_running_flows_by_the_token_in_their_secret(
    cluster: Cluster, make_flow: MakeFlow, document: MakeDocument
) -> None:
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod("flow-laptop")
    await cluster.stop_operators()
    await cluster.run_worker(pod, "127.77.0.5", document("Starting"))
    await cluster.start_operators()
    cluster.say("127.77.0.5", document("Running"))
    await cluster.flow_with("Running")
    await cluster.stop_operators()
    await cluster.client.delete(kinds.POD, "flow-laptop", "default", grace_seconds=0)
    await cluster.start_operators()
    lost = await cluster.flow_with("Failed")
    assert next(c for c in lost["status"]["conditions"] if c["type"] == "Failed")["reason"] == "WorkerLost"


async def test_a_chain_becomes_ready_when_its_last_type_arrives(cluster: Cluster, abstracts: list[JsonObject]) -> None:
    async def ready(status: str) -> bool:
        chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
        conditions = (chain.get("status") or {}).get("conditions", ())
        return any((c["type"], c["status"]) == ("Ready", status) for c in conditions)

    await cluster.until(lambda: ready("True"))
    await cluster.client.delete(kinds.FUNCTION_TYPE, "mix")
    await cluster.until(lambda: ready("False"))
    mix = next(o for o in abstracts if o["metadata"]["name"] == "mix")
    await cluster.client.create(kinds.FUNCTION_TYPE, mix)
    await cluster.until(lambda: ready("True"))


async def test_errors_of_the_api_delay_a_flow_and_do_not_lose_it(
    cluster: Cluster, make_flow: MakeFlow, document: MakeDocument
) -> None:
    faults = cluster.api.faults
    faults.add(Fault(verb="create", resource="pods", code=500, after_write=True))
    faults.add(Fault(verb="create", resource="secrets", code=503, times=2))
    faults.add(Fault(verb="patch", resource="wbfunctions", code=409))
    faults.add(Fault(verb="patch", resource="dataflows", subresource="status", code=429, retry_after=0, times=2))
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod("flow-laptop")
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded")))
    await cluster.flow_with("Succeeded")


async def test_an_api_without_our_kinds_ends_the_operators_with_an_error() -> None:
    api = LocalKube()
    await api.start()
    one = Cluster(api)
    await one.start_operators()
    assert isinstance(one.failure, ApiError) and one.failure.code == 404
    await one.close()
    await api.stop()
