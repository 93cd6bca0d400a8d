# SPDX-License-Identifier: Apache-2.0
"""The operators as they run: kopf, the embedded API, and a kubelet that does what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.operators import Operators
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.reconcile.worker_options import LaptopOptions

DEADLINE = 20.0
CHILDREN = (kinds.WB_FUNCTION, kinds.WB_CONNECTION, kinds.POD, kinds.CONFIG_MAP, kinds.SECRET)


MakeFlow = Callable[..., JsonObject]
MakeDocument = Callable[..., JsonObject]


async def test_a_flow_from_creation_to_its_end_takes_few_writes_and_then_none(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    async def ready() -> bool:
        chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
        types, _ = await cluster.client.list(kinds.FUNCTION_TYPE)
        return all((obj.get("status") or {}).get("conditions") for obj in (chain, *types))

    await cluster.until(ready)
    cluster.api.recorder.clear()
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod()
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
    wb = await cluster.client.get(kinds.WB_CONNECTION, "flow.in.frames.soft.frames", "default")
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


async def test_deletion_at_any_stage_leaves_nothing(cluster: Any, make_flow: MakeFlow, document: MakeDocument) -> None:
    client = cluster.client
    await client.create(kinds.DATA_FLOW, make_flow("at-once"))
    await cluster.delete_flow("at-once")

    await client.create(kinds.DATA_FLOW, make_flow("refused", chainRef={"name": "nothing"}))
    await cluster.flow_with("Accepted", "False", "refused")
    await cluster.delete_flow("refused")

    await client.create(kinds.DATA_FLOW, make_flow("placed"))
    await cluster.pod("placed")
    await cluster.delete_flow("placed")

    await client.create(kinds.DATA_FLOW, make_flow("running"))
    pod = await cluster.pod("running")
    await cluster.run_worker(pod, "127.77.0.2", document("Running"))
    await cluster.flow_with("Running", name="running")
    await cluster.delete_flow("running")

    await client.create(kinds.DATA_FLOW, make_flow("done"))
    pod = await cluster.pod("done")
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded")))
    await cluster.flow_with("Succeeded", name="done")
    await cluster.delete_flow("done")


async def test_a_flow_is_deleted_and_created_anew_under_its_name(cluster: Any, make_flow: MakeFlow) -> None:
    uids = set()
    for _ in range(3):
        await cluster.client.create(kinds.DATA_FLOW, make_flow())
        pod = await cluster.pod()
        uids.add(pod["metadata"]["ownerReferences"][0]["uid"])
        await cluster.client.delete(kinds.DATA_FLOW, "flow", "default")
    assert len(uids) >= 1
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")

    async def whole() -> bool:
        return len(await cluster.left_of(flow["metadata"]["uid"])) == 4 + 4 + 3

    await cluster.until(whole)


async def test_flows_of_one_name_in_two_namespaces_are_two_flows(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    namespace = ResourceType("v1", "Namespace", "namespaces", namespaced=False)
    await cluster.client.create(namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
    copy = {**chain, "metadata": {"name": "demo", "namespace": "team"}}
    await cluster.client.create(kinds.FUNCTION_CHAIN, {k: v for k, v in copy.items() if k != "status"})
    for ns, ip in (("default", "127.77.0.3"), ("team", "127.77.0.4")):
        await cluster.client.create(kinds.DATA_FLOW, make_flow(namespace=ns))
        await cluster.run_worker(await cluster.pod("flow", ns), ip, document("Running"))
        await cluster.flow_with("Running", ns=ns)
    await cluster.end_worker(await cluster.pod("flow", "team"), 137)
    lost = await cluster.flow_with("Failed", ns="team")
    reasons = {c["type"]: c["reason"] for c in lost["status"]["conditions"]}
    assert reasons["Failed"] == "WorkerLost"
    other = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
    assert other["status"]["phase"] == "Running"


async def test_a_restart_takes_up_running_flows_by_the_token_in_their_secret(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod()
    await cluster.stop_operators()
    await cluster.run_worker(pod, "127.77.0.5", document("Starting"))
    await cluster.start_operators()
    cluster.say("127.77.0.5", document("Running"))
    await cluster.flow_with("Running")
    await cluster.stop_operators()
    await cluster.client.delete(kinds.POD, pod["metadata"]["name"], "default", grace_seconds=0)
    await cluster.start_operators()
    lost = await cluster.flow_with("Failed")
    assert next(c for c in lost["status"]["conditions"] if c["type"] == "Failed")["reason"] == "WorkerLost"


async def test_a_chain_becomes_ready_when_its_last_type_arrives(cluster: Any, abstracts: list[JsonObject]) -> None:
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
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    faults = cluster.api.faults
    faults.add(Fault(verb="create", resource="pods", code=500, after_write=True))
    faults.add(Fault(verb="create", resource="secrets", code=503, times=2))
    faults.add(Fault(verb="patch", resource="wbfunctions", code=409))
    faults.add(Fault(verb="patch", resource="dataflows", subresource="status", code=429, retry_after=0, times=2))
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod()
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded")))
    await cluster.flow_with("Succeeded")


async def test_an_api_without_our_kinds_ends_the_operators_with_an_error(make_cluster: Callable[..., Any]) -> None:
    api = LocalKube()
    await api.start()
    one = make_cluster(api)
    await one.start_operators()
    assert isinstance(one.failure, ApiError) and one.failure.code == 404
    await one.close()
    await api.stop()


async def test_a_flow_that_is_seen_before_its_chain_is_not_refused(
    abstracts: list[JsonObject], make_flow: MakeFlow
) -> None:
    """Chains and flows come by watches of their own, in any order, and people take a refusal for final."""
    api = LocalKube()
    for obj in (*crds(), *(obj for obj in abstracts if obj["kind"] != "FunctionChain")):
        api.put(obj)
    await api.start()
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
    operators = Operators(client, LaptopOptions())
    await operators.sync.first()
    work = asyncio.create_task(operators.run())
    try:
        for obj in abstracts:
            if obj["kind"] == "FunctionChain":  # created, and its watch has not told yet
                await client.create(kinds.FUNCTION_CHAIN, obj)
        flow = await client.create(kinds.DATA_FLOW, make_flow())
        operators.sync.event(kinds.DATA_FLOW, "ADDED", flow)
        decided = None
        async with asyncio.timeout(DEADLINE):
            while decided is None:
                decided = await _condition(client, "flow", "Accepted")
        assert decided["status"] == "True", decided["message"]
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await client.close()
        await api.stop()


async def _condition(client: HttpClient, flow: str, type: str) -> JsonObject | None:
    obj = await client.get(kinds.DATA_FLOW, flow, "default")
    return next((c for c in (obj.get("status") or {}).get("conditions", ()) if c["type"] == type), None)
