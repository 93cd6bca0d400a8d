# SPDX-License-Identifier: Apache-2.0
"""Operators apart: each process watches what it needs, and together they do what one does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.separation import CONTROLLERS, OPTIONAL, READS, lease_name, watched
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.main import run_operators

DEADLINE = 20.0
MakeFlow = Callable[..., JsonObject]


def test_what_each_controller_watches() -> None:
    assert set(READS) == {*CONTROLLERS, *OPTIONAL}
    assert {type.plural for type in watched(["chain"])} == {"functionchains", "functiontypes"}
    # A scheduler sees no Pod, no plan, and nothing that is made for a flow.
    assert {type.plural for type in watched(["scheduler"])} == {
        "dataflows",
        "functionchains",
        "functiontypes",
        "connectiontypes",
        "schedulingstrategies",
        "computeresources",
    }
    assert watched(CONTROLLERS) == kinds.WATCHED
    assert watched(["dataflow"])[kinds.POD] == kinds.MANAGED_BY
    assert lease_name("dataflow") == "accelchain-dataflow"


@pytest.mark.parametrize("names", [(), ("chains",), ("chain", "x")])
def test_a_controller_that_there_is_not(names: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="choose among chain, dataflow, scheduler"):
        watched(names)


class Apart:
    """Operators in threads of their own, on one API."""

    def __init__(self, make_cluster: Callable[[LocalKube], Any], api: LocalKube) -> None:
        self.cluster = make_cluster(api)
        self._threads: list[tuple[threading.Thread, threading.Event]] = []
        self.failures: list[BaseException] = []

    async def start(self, *controllers: str, namespaces: Sequence[str] = ()) -> None:
        stop, ready = threading.Event(), threading.Event()
        connection = self.cluster.client.connection

        def run() -> None:
            try:
                run_operators(
                    lambda: HttpClient(connection=connection),
                    stop,
                    ready,
                    controllers=controllers,
                    namespaces=namespaces,
                )
            except BaseException as error:
                self.failures.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append((thread, stop))
        assert await asyncio.to_thread(ready.wait, DEADLINE)

    async def stop(self) -> None:
        for _, stop in self._threads:
            stop.set()
        for thread, _ in self._threads:
            await asyncio.to_thread(thread.join, DEADLINE)
            assert not thread.is_alive()

    async def close(self) -> None:
        await self.stop()
        await self.cluster.close()


@pytest.fixture
async def apart(make_cluster: Callable[[LocalKube], Any], abstracts: list[JsonObject]) -> AsyncIterator[Apart]:
    api = LocalKube()
    for obj in (*crds(), *abstracts):
        api.put(obj)
    await api.start()
    one = Apart(make_cluster, api)
    yield one
    await one.close()
    await api.stop()
    assert one.failures == []


async def test_three_processes_do_what_one_does(apart: Apart, make_flow: MakeFlow) -> None:
    await asyncio.gather(*(apart.start(name) for name in CONTROLLERS))
    cluster = apart.cluster
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    await cluster.flow_with("Accepted")
    await cluster.flow_with("Scheduled")
    pod = await cluster.pod()
    assert pod["metadata"]["ownerReferences"][0]["name"] == "flow"
    chain = await cluster.client.get(kinds.FUNCTION_CHAIN, "demo", "default")
    assert chain["status"]["conditions"][0]["type"] == "Ready"


async def test_what_no_process_does_stays_undone(apart: Apart, make_flow: MakeFlow) -> None:
    await apart.start("dataflow")
    cluster = apart.cluster
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    await cluster.flow_with("Accepted")
    flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
    assert "placement" not in flow["status"]
    await apart.start("scheduler")
    await cluster.flow_with("Scheduled")
    await cluster.pod()


async def test_a_process_that_looks_after_chains_asks_for_nothing_else(apart: Apart) -> None:
    await apart.start("chain")
    chain = apart.cluster.client

    async def looked_after() -> bool:
        return bool((await chain.get(kinds.FUNCTION_CHAIN, "demo", "default")).get("status"))

    await apart.cluster.until(looked_after)
    await apart.stop()
    rights = [right for right in apart.cluster.api.recorder.rights() if right.resource and right.verb != "get"]
    assert {right.resource.split("/")[0] for right in rights} == {"functionchains", "functiontypes"}
    assert {right.verb for right in rights} <= {"list", "watch", "patch"}


async def test_operators_of_some_namespaces_leave_the_others_alone(
    apart: Apart, make_flow: MakeFlow, abstracts: list[JsonObject]
) -> None:
    cluster = apart.cluster
    chain = next(obj for obj in abstracts if obj["kind"] == "FunctionChain")
    for name in ("ours", "too", "theirs"):
        cluster.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster.api.put({**chain, "metadata": {"name": "demo", "namespace": name}})
    await apart.start(*CONTROLLERS, namespaces=("ours", "too"))
    for name in ("theirs", "ours", "too"):
        await cluster.client.create(kinds.DATA_FLOW, make_flow(namespace=name))
    for name in ("ours", "too"):
        await cluster.flow_with("Scheduled", ns=name)
        await cluster.pod(ns=name)
    assert "status" not in await cluster.client.get(kinds.DATA_FLOW, "flow", "theirs")
    asked = {request.namespace for request in cluster.api.recorder.requests if request.resource == "pods"}
    assert "" not in asked  # nothing of a namespace was listed everywhere
