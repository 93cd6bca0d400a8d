# SPDX-License-Identifier: Apache-2.0
"""What probes answer, what is waited for at the start, and when clocks are told to be apart."""

from __future__ import annotations

import copy
import logging
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from accelchain.api.crd import crds
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.health import Check, Signs, liveness, readiness, report
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.preflight import PreflightError, check_kinds, missing_fields, until_it_answers
from accelchain_operators.kube.serve import Address, serve_probes
from accelchain_operators.kube.skew import Skew
from accelchain_operators.localkube.server import LocalKube


def test_a_watch_that_neither_hears_nor_asks_is_dead() -> None:
    signs = Signs(heard={"pods": 1000.0, "dataflows": 700.0}, tried={"dataflows": 950.0}, synced=True)
    assert report(liveness(signs, ["pods", "dataflows"], {}, 1100.0))[0]
    well, text = report(liveness(signs, ["pods", "dataflows"], {}, 1200.0))
    assert not well
    assert text.splitlines() == ["[-]watch of pods failed: silent for 200 s",
                                 "[-]watch of dataflows failed: silent for 250 s", "failed"]  # fmt: skip


def test_before_the_first_lists_nothing_is_held_against_a_watch() -> None:
    assert report(liveness(Signs(), ["pods"], {}, 1e6))[0]


def test_work_that_never_ends_is_dead() -> None:
    signs = Signs(synced=True)
    assert report(liveness(signs, [], {"dataflow": (3.0, 599.0)}, 0.0))[0]
    well, text = report(liveness(signs, [], {"dataflow": (3.0, 601.0), "scheduler": ()}, 0.0))
    assert not well
    assert "[-]queue of dataflow failed: a key is at work for 601 s" in text
    assert "[+]queue of scheduler ok" in text


def test_an_api_that_is_silent_makes_a_process_not_ready() -> None:
    signs = Signs(answered=100.0)
    assert readiness(signs, 110.0)[0] == Check("caches", "not filled yet")
    signs.synced = True
    assert report(readiness(signs, 110.0))[0]
    assert not report(readiness(signs, 191.0))[0]


async def test_probes_answer_over_http() -> None:
    checks = [Check("caches")]
    port = unused_port()
    async with (
        serve_probes(Address("127.0.0.1", port), {"/readyz": lambda: checks}),
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "[+]caches ok\nok\n")
        checks[0] = Check("caches", "not filled yet")
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "[-]caches failed: not filled yet\nfailed\n")


async def test_a_port_of_two_networks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    port = unused_port()
    with caplog.at_level("INFO", "accelchain_operators.kube.serve"):
        async with serve_probes(Address(None, port), {"/healthz": list, "/readyz": list}):
            pass
    assert caplog.messages == [f"/healthz, /readyz served at port {port}"]


def test_addresses() -> None:
    assert Address.parse(":8081") == Address(None, 8081)
    assert Address.parse("[::1]:80") == Address("::1", 80)
    assert Address.parse("0") is None
    for wrong in ("8081", "localhost", ":http", ":99999"):
        with pytest.raises(ValueError, match="is no address"):
            Address.parse(wrong)


class Answers:
    def __init__(self, failures: list[ApiError]) -> None:
        self.failures = failures
        self.asked = 0

    async def document(self, path: str) -> JsonObject:
        assert path == "/version"
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return {}


def down(times: int) -> list[ApiError]:
    return [ApiError(0, "Unreachable", "the Kubernetes API at https://k does not answer") for _ in range(times)]


@pytest.mark.looptime
async def test_an_api_that_starts_later_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    api = Answers(down(5))
    await until_it_answers(api)  # type: ignore[arg-type]
    assert api.asked == 6
    assert "does not answer; trying again in 0.5 s" in caplog.text


@pytest.mark.looptime
async def test_an_api_that_does_not_start_is_given_up_after_a_minute() -> None:
    api = Answers(down(1000))
    with pytest.raises(PreflightError, match="at https://k does not answer; tried for 60 s"):
        await until_it_answers(api)  # type: ignore[arg-type]
    assert api.asked < 20


@pytest.mark.looptime
async def test_an_api_that_refuses_us_is_not_asked_again() -> None:
    api = Answers([ApiError(401, "Unauthorized", "Unauthorized")])
    with pytest.raises(ApiError, match="401"):
        await until_it_answers(api)  # type: ignore[arg-type]
    assert api.asked == 1


def schema(name: str) -> Any:
    crd = next(crd for crd in crds() if crd["spec"]["names"]["kind"] == name)
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_fields_that_a_served_schema_lacks_are_found_at_any_depth() -> None:
    served = copy.deepcopy(schema("ComputeResource"))
    assert list(missing_fields(schema("ComputeResource"), served)) == []
    del served["properties"]["spec"]["properties"]["devices"]["items"]["properties"]["numaNode"]
    served["properties"]["spec"]["properties"]["ofTomorrow"] = {"type": "string"}  # a newer CRD is no fault
    assert list(missing_fields(schema("ComputeResource"), served)) == ["spec.devices[].numaNode"]


async def kinds_of(definitions: list[JsonObject]) -> None:
    """Check the kinds of an API that serves some definitions."""
    api = LocalKube()
    for crd in definitions:
        api.put(crd)
    await api.start()
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
    try:
        await check_kinds(client, patience=0.0)
    finally:
        await client.close()
        await api.stop()


async def test_an_api_that_knows_our_kinds_as_this_version_needs_them() -> None:
    await kinds_of(crds())


async def test_an_api_without_our_kinds() -> None:
    some = [crd for crd in crds() if crd["spec"]["names"]["kind"] != "WBFunction"]
    with pytest.raises(PreflightError, match=r"of accelchain are not installed: wbfunctions\.accelchain\.io; apply"):
        await kinds_of(some)
    with pytest.raises(PreflightError, match=r"not installed: dataflows.accelchain.io, functionchains.accelchain.io, "):
        await kinds_of([])


async def test_an_api_with_older_kinds() -> None:
    definitions = crds()
    for crd in definitions:
        if crd["spec"]["names"]["kind"] == "DataFlow":
            fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
            del fields["workers"]
    with pytest.raises(PreflightError, match=r"older than these operators: DataFlow.status.workers unknown to the API"):
        await kinds_of(definitions)


def test_a_clock_that_is_off_is_told_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    wall, clock = [1_800_000_000.0], [0.0]
    skew = Skew(lambda: wall[0], lambda: clock[0])

    def answer_from(server: float) -> None:
        skew.look({"Date": formatdate(server, usegmt=True)})

    with caplog.at_level(logging.WARNING):
        answer_from(wall[0] - 20)
        clock[0] += 61
        answer_from(wall[0] + 100)
        for _ in range(50):
            clock[0] += 61
            answer_from(wall[0] + 100)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "this machine's clock is 100 s behind that of the Kubernetes API"
    ]
    clock[0] += 3600
    answer_from(wall[0] - 50)
    assert "50 s ahead of" in caplog.text
