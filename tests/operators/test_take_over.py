# SPDX-License-Identifier: Apache-2.0
"""``accelchain operator`` as a container runs it: take-over, its end, what it serves, and why it does not begin."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from accelchain.api.crd import crds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import FUNCTION_CHAIN, LEASE
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import service_account

DEADLINE = 20.0
QUICK = ("--lease-duration", "4", "--renew-deadline", "3", "--retry-period", "0.5")
NOWHERE = ("--health-address", "0", "--metrics-address", "0")


class Shop:
    """The embedded API with accelchain's kinds, and operators beside it as processes."""

    def __init__(self, machine: Any, api: LocalKube, folder: Path) -> None:
        self.api = api
        self.client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
        self.kubeconfig = folder / "kubeconfig"
        api.write_kubeconfig(self.kubeconfig)
        self._machine = machine

    def start(self, *options: object, addresses: tuple[str, ...] = NOWHERE) -> Any:
        command = ("operator", "--controllers", "chain", "--kubeconfig", self.kubeconfig, *addresses, *options)
        return self._machine.start(*command, env={"POD_NAMESPACE": "kube-system"})

    async def says(self, running: Any, text: str) -> None:
        await asyncio.to_thread(running.until, text, DEADLINE)

    async def end(self, running: Any) -> int:
        code: int = await asyncio.to_thread(running.end, DEADLINE)
        return code

    async def pair(self, *options: object) -> tuple[Any, Any]:
        """Start two, and return the one that leads and the one that stands by."""
        one, two = self.start(*options), self.start(*options)
        async with asyncio.timeout(DEADLINE):
            while not ("standing by" in one.err and "leading" in two.err):
                if "standing by" in two.err and "leading" in one.err:
                    return one, two
                await asyncio.sleep(0.02)
        return two, one

    async def holder(self) -> str:
        lease = await self.client.get(LEASE, "accelchain-chain", "kube-system")
        return str(lease["spec"]["holderIdentity"])

    async def check_a_chain(self, chain: JsonObject) -> None:
        """See that somebody does the work."""
        await self.client.create(FUNCTION_CHAIN, chain)
        async with asyncio.timeout(DEADLINE):
            while not (await self.client.get(FUNCTION_CHAIN, "demo", "default")).get("status"):
                await asyncio.sleep(0.02)


@pytest.fixture
async def shop(machine: Any, tmp_path: Path) -> AsyncIterator[Shop]:
    api = LocalKube()
    for crd in crds():
        api.put(crd)
    await api.start()
    one = Shop(machine, api, tmp_path)
    yield one
    await asyncio.to_thread(machine.close)
    await one.client.close()
    await api.stop()


@pytest.fixture
def chain(abstracts: list[JsonObject]) -> JsonObject:
    return next(obj for obj in abstracts if obj["kind"] == "FunctionChain")


async def test_on_sigterm_the_standby_takes_over_at_once(shop: Shop, chain: JsonObject) -> None:
    leader, standby = await shop.pair("--lease-duration", "60")  # nobody waits for its end in this test
    leader.signal(signal.SIGTERM)
    await shop.says(standby, "leading")
    assert await shop.end(leader) == 0
    await shop.check_a_chain(chain)


async def test_after_kill_9_the_standby_takes_over_when_the_lease_is_over(shop: Shop, chain: JsonObject) -> None:
    leader, standby = await shop.pair(*QUICK)
    leader.process.kill()
    await shop.says(standby, "leading")
    await shop.check_a_chain(chain)


async def test_a_leader_that_was_frozen_ends_with_1_and_one_sentence(shop: Shop) -> None:
    leader, standby = await shop.pair(*QUICK)
    leader.signal(signal.SIGSTOP)
    await shop.says(standby, "leading")
    holder = await shop.holder()
    leader.signal(signal.SIGCONT)
    assert await shop.end(leader) == 1
    last = json.loads(leader.err.splitlines()[-1])
    assert last["level"] == "critical"
    assert last["message"].startswith("the Lease kube-system/accelchain-chain ")
    assert await shop.holder() == holder


async def test_probes_metrics_and_log_of_a_running_operator(shop: Shop, chain: JsonObject) -> None:
    ports = ("--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
    running = shop.start(addresses=ports)
    await shop.says(running, "leading")
    await shop.check_a_chain(chain)
    health, metrics = (
        re.search(rf'{path}[^"]* served at port (\d+)', running.err)[1]  # type: ignore[index]
        for path in ("/readyz", "/metrics")
    )

    def get(port: str, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    async def ready() -> bool:
        return (await asyncio.to_thread(get, health, "/readyz"))[0] == 200

    async with asyncio.timeout(DEADLINE):
        while not await ready():
            await asyncio.sleep(0.05)
    code, text = await asyncio.to_thread(get, health, "/healthz")
    assert code == 200
    assert "[+]watch of functionchains ok" in text
    _, text = await asyncio.to_thread(get, metrics, "/metrics")
    assert 'controller_runtime_reconcile_total{controller="functionchain",result="success"} 1.0' in text
    assert 'leader_election_master_status{name="accelchain-chain"} 1.0' in text
    assert re.search(r'rest_client_requests_total{code="200",host="127.0.0.1:\d+",method="PATCH"} ', text)
    assert "demo" not in text  # names of users' objects are no labels
    running.signal(signal.SIGTERM)
    assert await shop.end(running) == 0
    lines = [json.loads(line) for line in running.err.splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    assert shop.api.token not in running.err


async def test_a_right_that_is_missing(shop: Shop) -> None:
    token = shop.api.users.add(service_account("kube-system", "chain"))
    shop.api.write_kubeconfig(shop.kubeconfig, token)
    running = shop.start()
    assert await shop.end(running) == 1, running.err
    message = json.loads(running.err.splitlines()[-1])["message"]
    assert message.startswith("a right is missing: ")
    assert re.search('cannot list resource "function(chains|types)" in API group "accelchain.io"', message)
