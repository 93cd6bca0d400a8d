# SPDX-License-Identifier: Apache-2.0
"""Flows' lives by the operators as they run: attempts, grants, owners, time to live, adoption."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject

MakeFlow = Callable[..., JsonObject]
MakeDocument = Callable[..., JsonObject]


async def test_a_lost_worker_is_followed_by_another_attempt_which_alone_may_publish(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    await cluster.client.create(kinds.DATA_FLOW, make_flow(retries={"limit": 1}))
    first = await cluster.pod()
    await cluster.run_worker(first, "127.78.0.1", document("Running"))
    await cluster.flow_with("Running")
    await cluster.end_worker(first, 137)
    second = await cluster.pod(attempt=2)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    cluster.say("127.78.0.1", document("Publishing"))  # the first worker thaws
    await cluster.run_worker(second, "127.78.0.2", document("Publishing"))
    await cluster.until(lambda: _value(cluster.grants))
    assert {name for name, _ in cluster.grants} == {second["metadata"]["name"]}
    assert cluster.grants[0][1] == {"attempt": 2}
    await cluster.end_worker(second, 0, json.dumps(document("Succeeded")))
    done = await cluster.flow_with("Succeeded")
    assert (done["status"]["attempt"], done["status"]["failedAttempts"]) == (2, 1)
    assert "exit code 137" in done["status"]["failures"][0]["message"]


async def test_a_worker_that_is_suspended_and_one_that_is_cancelled(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    await cluster.pod()
    await cluster.client.patch(kinds.DATA_FLOW, "flow", "default", {"spec": {"suspend": True}})

    async def suspended() -> bool:
        flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
        scheduled = next(c for c in flow["status"]["conditions"] if c["type"] == "Scheduled")
        left = [x for x in await cluster.left_of(flow["metadata"]["uid"]) if not x.startswith("Pod")]
        return scheduled["reason"] == "Suspended" and "placement" not in flow["status"] and not left

    await cluster.until(suspended)
    await cluster.client.patch(kinds.DATA_FLOW, "flow", "default", {"spec": {"suspend": False}})
    await cluster.pod(attempt=2)
    await cluster.client.patch(kinds.DATA_FLOW, "flow", "default", {"spec": {"cancel": True}})
    failed = await cluster.flow_with("Failed")
    assert next(c for c in failed["status"]["conditions"] if c["type"] == "Failed")["reason"] == "Cancelled"


async def test_a_flow_ends_when_its_owner_has(cluster: Any, make_flow: MakeFlow) -> None:
    step = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "step", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    }
    owner = await cluster.client.create(kinds.POD, step)
    flow = make_flow()
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": owner["metadata"]["uid"]}
    flow["metadata"]["ownerReferences"] = [reference]
    await cluster.client.create(kinds.DATA_FLOW, flow)
    await cluster.pod()
    await cluster.client.patch(kinds.POD, "step", "default", {"status": {"phase": "Failed"}}, subresource="status")
    failed = await cluster.flow_with("Failed")
    condition = next(c for c in failed["status"]["conditions"] if c["type"] == "Failed")
    assert (condition["reason"], condition["message"]) == ("OwnerEnded", "cancelled: Pod step has ended (Failed)")


async def test_a_flow_of_any_length_of_name_is_removed_when_its_time_has_come(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    name = "f" * 253
    await cluster.client.create(kinds.DATA_FLOW, make_flow(name, ttlSecondsAfterFinished=0))

    async def pod_of() -> JsonObject | None:
        pods, _ = await cluster.client.list(kinds.POD, "default")
        return pods[0] if pods else None

    pod = await cluster.until(pod_of)
    flow = await cluster.client.get(kinds.DATA_FLOW, name, "default")
    await cluster.end_worker(pod, 0, json.dumps(document("Succeeded")))

    async def gone() -> bool:
        left = await cluster.left_of(flow["metadata"]["uid"])
        return await cluster.maybe(kinds.DATA_FLOW, name, "default") is None and not left

    await cluster.until(gone)


async def test_children_that_lose_their_owner_get_it_back_and_the_flow_runs_on(
    cluster: Any, make_flow: MakeFlow, document: MakeDocument
) -> None:
    await cluster.client.create(kinds.DATA_FLOW, make_flow())
    pod = await cluster.pod()
    await cluster.run_worker(pod, "127.78.0.3", document("Running"))
    flow = await cluster.flow_with("Running")
    uid, name = flow["metadata"]["uid"], pod["metadata"]["name"]
    whole = sorted(await cluster.left_of(uid))
    for type in (kinds.POD, kinds.CONFIG_MAP):
        await cluster.client.patch(type, name, "default", {"metadata": {"ownerReferences": None}})
    await cluster.client.patch(kinds.WB_FUNCTION, "flow.soft", "default", {"metadata": {"ownerReferences": None}})

    async def whole_again() -> bool:
        return sorted(await cluster.left_of(uid)) == whole

    await cluster.until(whole_again)
    after = await cluster.client.get(kinds.POD, name, "default")
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
    assert (flow["status"]["phase"], flow["status"]["attempt"]) == ("Running", 1)


async def test_a_secret_that_a_flow_names_is_waited_for(
    cluster: Any, make_flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelchain_operators.reconcile.waiting.SECRET_PERIOD", 0.1)
    inputs = {"video": {"uri": "file:///in.mp4", "credentialsRef": {"name": "camera"}}}
    await cluster.client.create(kinds.DATA_FLOW, make_flow(inputs=inputs))

    async def told() -> bool:
        flow = await cluster.client.get(kinds.DATA_FLOW, "flow", "default")
        conditions = (flow.get("status") or {}).get("conditions", ())
        return any(c["reason"] == "SecretNotFound" for c in conditions)

    await cluster.until(told)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "camera", "namespace": "default"}}
    await cluster.client.create(kinds.SECRET, secret)
    pod = await cluster.pod()
    assert {"camera", pod["metadata"]["name"]} == {
        v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v
    }


async def _value(found: Any) -> Any:
    return found
