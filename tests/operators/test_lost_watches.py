# SPDX-License-Identifier: Apache-2.0
"""A watch that is lost (410): what was deleted meanwhile is noticed soon, though kopf tells nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accelchain_operators.kube import kinds, sync
from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.localkube.faults import Fault

GAP = 1.5
"""Seconds for which the API answers no watch of the kind."""


async def delete_in_the_gap(cluster: Any, type: ResourceType, name: str, namespace: str | None = None) -> None:
    """Delete an object, the last of its kind, while kopf's watch is broken, and wait until kopf has listed again.

    The operators are started anew, so that their watch is one that breaks after its first event.
    """

    def lists() -> int:
        counts = cluster.api.recorder.rights()
        return sum(n for right, n in counts.items() if (right.verb, right.resource) == ("list", type.plural))

    async def after(count: int) -> None:
        async def reached() -> bool:
            return lists() >= count

        await cluster.until(reached)

    await cluster.stop_operators()
    cluster.api.faults.add(Fault(verb="watch", resource=type.plural, drop_after=1))
    lost = cluster.api.faults.add(Fault(verb="watch", resource=type.plural, code=410, latency=GAP))
    before = lists()
    await cluster.start_operators()
    await after(before + 3)  # ours, kopf's, and ours because of kopf's
    await cluster.client.patch(type, name, namespace, {"metadata": {"labels": {"touched": "yes"}}})

    async def broken() -> bool:
        return bool(lost.hits)

    await cluster.until(broken)
    before = lists()
    await cluster.client.delete(type, name, namespace)
    await after(before + 1)


@pytest.fixture(autouse=True)
def _no_list_but_those_that_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "SECOND_LIST", 300.0)


async def test_a_node_that_was_deleted_meanwhile_gets_no_flow(
    cluster: Any, make_flow: Callable[..., JsonObject]
) -> None:
    await delete_in_the_gap(cluster, kinds.COMPUTE_RESOURCE, "laptop")
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    flow = await cluster.flow_with("Scheduled", "False")
    assert next(c for c in flow["status"]["conditions"] if c["type"] == "Scheduled")["reason"] == "NoInventory"


async def test_a_flow_that_was_deleted_meanwhile_holds_no_device(
    cluster: Any, make_flow: Callable[..., JsonObject]
) -> None:
    node = await cluster.client.get(kinds.COMPUTE_RESOURCE, "laptop")
    devices = [{**device, "maxFunctions": 3} for device in node["spec"]["devices"]]
    await cluster.client.patch(kinds.COMPUTE_RESOURCE, "laptop", None, {"spec": {"devices": devices}})
    await cluster.client.create(kinds.DATA_FLOW, make_flow("old"))
    await cluster.flow_with("Scheduled", name="old")
    await delete_in_the_gap(cluster, kinds.DATA_FLOW, "old", "default")
    await cluster.client.create(kinds.DATA_FLOW, make_flow("new"))
    await cluster.flow_with("Scheduled", name="new")
