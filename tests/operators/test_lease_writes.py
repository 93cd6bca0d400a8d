# SPDX-License-Identifier: Apache-2.0
"""A process that lost its Lease writes nothing more, and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.controller import Controller
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import CONFIG_MAP
from accelchain_operators.kube.lease import LeaseLostError
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube

OBJECT: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}


def lost() -> None:
    raise LeaseLostError("the Lease is lost")


async def test_no_write_leaves_the_process_and_reads_do() -> None:
    api = LocalKube()
    await api.start()
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
    try:
        await client.create(CONFIG_MAP, OBJECT)
        api.recorder.clear()
        client.guard = lost
        for write in (
            client.create(CONFIG_MAP, OBJECT),
            client.apply(CONFIG_MAP, OBJECT, field_manager="m"),
            client.patch(CONFIG_MAP, "x", "default", {"data": {"a": "b"}}),
            client.delete(CONFIG_MAP, "x", "default"),
        ):
            with pytest.raises(LeaseLostError):
                await write
        assert await client.get(CONFIG_MAP, "x", "default")
        assert api.recorder.writes() == 0
    finally:
        await client.close()
        await api.stop()


async def test_a_write_that_is_tried_again_is_asked_for_its_lease_each_time() -> None:
    api = LocalKube()
    await api.start()
    client = HttpClient(connection=Connection(api.url, api.token, ca=api.ca))
    api.faults.add(Fault(verb="create", resource="configmaps", code=503, times=None))
    asked = 0

    def lost_after_the_first_try() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            lost()

    client.guard = lost_after_the_first_try
    try:
        with pytest.raises(LeaseLostError):
            await client.create(CONFIG_MAP, OBJECT)
    finally:
        await client.close()
        await api.stop()


async def test_a_controller_tries_failures_again_and_ends_with_its_lease() -> None:
    failures: list[Exception] = [
        ApiError(409, "Conflict", "again"),
        ValueError("a defect"),
        LeaseLostError("it is lost"),
    ]

    async def work(_: str) -> float | None:
        raise failures.pop(0)

    controller: Controller[str] = Controller("chain", work)
    controller.queue.add("key")
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as caught:
            await controller.run()
    assert caught.group_contains(LeaseLostError, match="it is lost")
    assert failures == []
