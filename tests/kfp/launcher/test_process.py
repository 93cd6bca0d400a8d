# SPDX-License-Identifier: Apache-2.0
"""The launcher as a process: what it makes, how it ends, and what it says when things go wrong."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from accelchain.kfp.install import LAUNCHER_RULES
from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.kinds import DATA_FLOW
from accelchain_operators.localkube.faults import Fault

Api = Any

NAMESPACE = "kubeflow"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:pipeline-runner"
CRD = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)
BINDINGS = ResourceType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
DONE = {
    "outputs": {"parameters": [{"name": "write.detections", "value": "7"}]},
    "progress": {"frames": 10, "total": 10, "framesPerSecond": 5.0},
    "placement": [
        {"function": name, "node": "n1", "device": "gpu0", "implementation": "opencl", "version": "1.0.0"}
        for name in ("decode", "write")
    ],
}


async def test_a_task_from_begin_to_end(api: Api) -> None:
    launcher = await api.launch()
    flow = await api.made()
    assert flow["spec"]["inputs"] == {"video": {"uri": "s3://bucket/a.mp4"}}
    assert flow["spec"]["outputs"] == {"lines": {"uri": "s3://bucket/lines.jsonl"}}
    assert flow["metadata"]["annotations"]["accelchain.io/heartbeat"]
    await api.becomes(flow, "Running")
    await api.becomes(flow, "Succeeded", message="10 frames", **DONE)
    assert await launcher.code() == 0, launcher.said
    assert any("decode: n1/gpu0 (opencl)" in line for line in launcher.said)
    assert (api.folder / "task/people").read_text() == "7"
    told = json.loads((api.folder / "task/executor_output.json").read_text())
    assert told["parameterValues"] == {"people": 7}
    assert {name: entry["artifacts"][0]["uri"] for name, entry in told["artifacts"].items()} == {
        "lines": "s3://bucket/lines.jsonl",
        "metrics": "s3://bucket/metrics",
        "report": "s3://bucket/report",
        "summary": "s3://bucket/summary",
    }
    assert told["artifacts"]["metrics"]["artifacts"][0]["metadata"]["frames"] == 10.0
    assert "<svg" in (api.folder / "task/report.html").read_text()
    assert "| decode | n1/gpu0 | opencl |" in (api.folder / "task/summary.md").read_text()
    assert len(await api.flows()) == 1, "what became of it can be looked at"


async def test_a_failure_is_the_last_line_and_is_told_to_kfp(api: Api) -> None:
    launcher = await api.launch()
    await api.becomes(await api.made(), "Failed", "FunctionFailed", "decode: the video ends early")
    assert await launcher.code() == 1
    assert launcher.last == "accelchain: FunctionFailed: decode: the video ends early"
    assert json.loads((api.folder / "task/executor_output.json").read_text())["parameterValues"] == {}


async def test_a_refusal_is_wrong_input(api: Api) -> None:
    launcher = await api.launch()
    await api.becomes(await api.made(), "Refused", "InvalidParameter", "spec.chain: there is no such function")
    assert await launcher.code() == 2
    assert "there is no such function" in launcher.last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_deletes_the_flow_first(api: Api, number: signal.Signals) -> None:
    launcher = await api.launch()
    await api.becomes(await api.made(), "Running")
    launcher.signal(number)
    assert await launcher.code() == 128 + number
    assert await api.flows() == []


async def test_a_signal_while_the_flow_is_being_made_leaves_none(api: Api) -> None:
    slow = api.kube.faults.add(Fault(verb="create", resource="dataflows", latency=0.3))
    launcher = await api.launch()
    async with asyncio.timeout(20):
        while not slow.hits:
            await asyncio.sleep(0.01)
    launcher.signal(signal.SIGTERM)
    assert await launcher.code() == 128 + signal.SIGTERM
    assert await api.flows() == []


async def test_after_kill_9_the_next_try_goes_on_with_the_same_flow(api: Api) -> None:
    first = await api.launch()
    flow = await api.made()
    await api.becomes(flow, "Running")
    first.signal(signal.SIGKILL)
    await first.code()
    second = await api.launch()
    async with asyncio.timeout(20):
        while not any("it goes on" in line for line in second.said):
            await asyncio.sleep(0.02)
    await api.becomes(flow, "Succeeded", **DONE)
    assert await second.code() == 0
    assert [each["metadata"]["uid"] for each in await api.flows()] == [flow["metadata"]["uid"]]


async def test_a_flow_that_failed_is_made_anew_by_the_next_try(api: Api) -> None:
    first = await api.launch()
    flow = await api.made()
    await api.becomes(flow, "Failed", "WorkerLost", "its node went away")
    assert await first.code() == 1
    second = await api.launch()
    (anew,) = await api.until(lambda flows: flows and flows[0]["metadata"]["uid"] != flow["metadata"]["uid"])
    await api.becomes(anew, "Succeeded", **DONE)
    assert await second.code() == 0


async def test_two_at_once_share_one_flow(api: Api) -> None:
    launchers = [await api.launch(), await api.launch()]
    flow = await api.made()
    async with asyncio.timeout(20):
        while not any("it goes on" in line for each in launchers for line in each.said):
            await asyncio.sleep(0.02)
    await api.becomes(flow, "Succeeded", **DONE)
    assert [await each.code() for each in launchers] == [0, 0]


async def test_the_name_of_somebody_elses_flow_is_left_alone(api: Api) -> None:
    first = await api.launch()
    flow = await api.made()
    first.signal(signal.SIGKILL)
    await first.code()
    change = {"metadata": {"annotations": {"accelchain.io/launched-for": "another"}}}
    await api.client.patch(DATA_FLOW, flow["metadata"]["name"], NAMESPACE, change)
    second = await api.launch()
    assert await second.code() == 1
    assert "the name is taken" in second.last and flow["metadata"]["name"] in second.last
    assert len(await api.flows()) == 1


async def test_an_api_that_is_away_is_waited_for(api: Api) -> None:
    api.kube.faults.add(Fault(verb="create", resource="dataflows", code=503, times=2, retry_after=0))
    api.kube.faults.add(Fault(verb="create", resource="dataflows", code=504, after_write=True, skip=2))
    launcher = await api.launch()
    await api.becomes(await api.made(), "Succeeded", **DONE)
    assert await launcher.code() == 0, launcher.said
    assert len(await api.flows()) == 1


@pytest.mark.parametrize("code", [410, 500])
async def test_a_lost_watch_loses_no_end(api: Api, code: int) -> None:
    api.kube.faults.add(Fault(verb="watch", resource="dataflows", code=code, times=2))
    launcher = await api.launch()
    await api.becomes(await api.made(), "Succeeded", **DONE)
    assert await launcher.code() == 0, launcher.said


async def test_missing_rights_are_told_with_the_command_that_gives_them(api: Api) -> None:
    for found in (await api.client.list(BINDINGS, NAMESPACE))[0]:
        await api.client.delete(BINDINGS, found["metadata"]["name"], NAMESPACE)
    launcher = await api.launch()
    assert await launcher.code() == 1
    assert f"accelchain kfp install -n {NAMESPACE} | kubectl apply -f -" in launcher.last
    assert "create dataflows" in launcher.last


async def test_a_cluster_without_our_kinds_is_named(api: Api) -> None:
    await api.client.delete(CRD, "dataflows.accelchain.io")
    launcher = await api.launch()
    assert await launcher.code() == 1
    assert "helm install accelchain" in launcher.last


async def test_a_flow_that_somebody_deletes_fails_the_task(api: Api) -> None:
    launcher = await api.launch()
    flow = await api.made()
    await api.client.delete(DATA_FLOW, flow["metadata"]["name"], NAMESPACE)
    assert await launcher.code() == 1
    assert "was deleted while it ran" in launcher.last
    assert json.loads((api.folder / "task/executor_output.json").read_text())["parameterValues"] == {}


async def test_a_flow_that_nobody_takes_up_is_given_up_in_time(api: Api) -> None:
    launcher = await api.launch("--ready-timeout", "0.3")
    assert await launcher.code() == 1
    assert "was not running after 0.3 s" in launcher.last
    assert await api.flows() == []


async def test_a_deployment_outlives_its_task(api: Api) -> None:
    launcher = await api.launch("--name", "camera", command="deploy")
    flow = await api.made()
    assert flow["metadata"]["name"] == "count" and flow["spec"]["mode"] == "Batch"
    assert "ownerReferences" not in flow["metadata"]
    assert "accelchain.io/heartbeat" not in flow["metadata"]["annotations"]
    workers = [{"pod": "w", "address": "10.0.0.1:9090", "live": ["/live/annotated"]}]
    await api.becomes(flow, "Running", workers=workers, **{k: v for k, v in DONE.items() if k == "outputs"})
    assert await launcher.code() == 0, launcher.said
    assert len(await api.flows()) == 1


async def test_what_is_asked_is_what_the_role_grants(api: Api) -> None:
    launcher = await api.launch()
    flow = await api.made()
    await api.becomes(flow, "Running")
    await api.becomes(flow, "Succeeded", **DONE)
    assert await launcher.code() == 0
    used = {(right.group, right.resource, right.verb) for right in api.kube.recorder.rights(user=ACCOUNT)}
    granted = {(rule.group, rule.resource, verb) for rule in LAUNCHER_RULES for verb in rule.verbs}
    assert used <= granted
    # Of its own Pod, of an earlier try, of logs and of its end: tests/realkube/test_kfp.py, and the tests above. A
    # watch that its client ends is not recorded.
    assert {right for right in granted - used if right[2] != "watch"} <= {
        ("", "pods", "get"),
        ("", "pods/log", "get"),
        ("accelchain.io", "dataflows", "get"),
        ("accelchain.io", "dataflows", "patch"),
        ("accelchain.io", "dataflows", "delete"),
    }
