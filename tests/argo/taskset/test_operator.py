# SPDX-License-Identifier: Apache-2.0
"""The operator as a process: rights that it lacks, restarts, replicas, TaskSets that vanish, a cluster without Argo."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.life import Post
from accelchain_operators.kube.preflight import PreflightError
from accelchain_operators.kube.separation import CONTROLLERS, FOREIGN, OPTIONAL, READS, watched
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.main import run_operators


async def test_it_lends_its_rights_to_nobody(bare: Any) -> None:
    await bare.start_operator()
    await bare.submit("detect")
    told = await bare.until_told("detect", "Error")
    assert told["message"] == (
        "ServiceAccount default of this Workflow may not create dataflows.accelchain.io in namespace default: "
        "kubectl create role accelchain-workflow -n default --verb=create,get --resource=dataflows.accelchain.io && "
        "kubectl create rolebinding accelchain-workflow-default -n default --role=accelchain-workflow "
        "--serviceaccount=default:default"
    )
    assert await bare.flows() == []


async def test_a_role_that_comes_together_with_the_workflow_is_in_time(
    bare: Any, grant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelchain_operators.kube.access.BELIEVED", 5.0)
    await bare.start_operator()
    await bare.submit("detect")
    await bare.until(lambda: bare.asked("subjectaccessreviews"), "first question")
    await grant(bare)
    await bare.flow("detect")


async def test_an_operator_that_may_not_ask_says_so_and_creates_nothing(
    bare: Any, grant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelchain_operators.kube.access.UNABLE", 0.5)
    await grant(bare)
    bare.kube.faults.add(Fault(verb="create", resource="subjectaccessreviews", code=403, times=None))
    await bare.start_operator()
    await bare.submit("detect")
    told = await bare.until_told("detect", "Error")
    assert told["message"].startswith("the task-set operator lacks a right: apply accelchain's manifests anew")
    assert await bare.flows() == []


async def test_another_account_s_rights_do_not_count(bare: Any, grant: Any) -> None:
    await grant(bare)
    await bare.start_operator()
    await bare.submit("detect", serviceAccountName="robot")
    told = await bare.until_told("detect", "Error")
    assert told["message"].startswith("ServiceAccount robot of this Workflow may not create")


async def test_a_restart_loses_nothing_and_repeats_nothing(argo: Any) -> None:
    await argo.submit("a", "b", "c")
    for name in ("a", "b", "c"):
        await argo.flow(name)
    await argo.set_flow("a", "Succeeded")
    await argo.until_told("a", "Succeeded")
    await argo.stop_operator()
    await argo.set_flow("b", "Failed", reason="InvalidInput")
    await argo.start_operator()
    await argo.until_told("b", "Failed")
    await argo.set_flow("c", "Succeeded")
    await argo.until_told("c", "Succeeded")
    await argo.operate()
    assert {name: (await argo.node(name))["phase"] for name in "abc"} == {
        "a": "Succeeded",
        "b": "Failed",
        "c": "Succeeded",
    }
    assert argo.asked("dataflows", "create") == 3


async def test_a_task_set_that_vanishes_is_served_again(argo: Any) -> None:
    await argo.submit("detect")
    await argo.flow("detect")
    await argo.client.delete(kinds.TASK_SET, argo.name, "default")
    await argo.set_flow("detect", "Succeeded")
    await argo.operate()  # it is made anew
    await argo.until_told("detect", "Succeeded")
    await argo.operate()
    assert (await argo.workflow())["status"]["phase"] == "Succeeded"
    assert len(await argo.flows()) == 1


async def test_a_workflow_of_the_same_name_is_another_one(argo: Any) -> None:
    await argo.submit("detect")
    first = await argo.flow("detect")
    await argo.client.delete(kinds.TASK_SET, argo.name, "default")
    await argo.client.delete(kinds.WORKFLOW, argo.name, "default")
    await argo.submit("detect")

    async def second() -> Any:
        return next((f for f in await argo.flows() if f["metadata"]["name"] != first["metadata"]["name"]), None)

    new = await argo.until(second, "flow of the second")
    assert new["metadata"]["ownerReferences"][0]["uid"] == (await argo.workflow())["metadata"]["uid"]


async def test_of_two_replicas_one_works(bare: Any, grant: Any) -> None:
    await grant(bare)
    post = Post("default", LeaseOptions(4, 3.0, 0.3))
    await bare.start_operator(post=post)
    await bare.start_operator(post=post)
    await bare.submit("a", "b")
    await bare.flow("a")
    lease = await bare.client.get(kinds.LEASE, "accelchain-taskset", "default")
    await bare.stop_operator()  # the first one, which leads; or the other one
    await bare.set_flow("a", "Succeeded")
    await bare.set_flow("b", "Succeeded")
    await bare.until_told("a", "Succeeded")
    await bare.until_told("b", "Succeeded")
    assert lease["spec"]["holderIdentity"]
    assert len(await bare.flows()) == 2


async def test_a_cluster_without_argo_is_told_so() -> None:
    kube = LocalKube()
    for obj in crds():
        kube.put(obj)
    await kube.start()
    try:
        failure: list[BaseException] = []

        def run() -> None:
            try:
                run_operators(
                    lambda: HttpClient(kube.url, kube.token, kube.ca),
                    threading.Event(),
                    threading.Event(),
                    controllers=("taskset",),
                )
            except PreflightError as error:
                failure.append(error)

        await asyncio.wait_for(asyncio.to_thread(run), 15)
        (error,) = failure
        assert str(error).startswith(
            "the controller taskset needs Argo Workflows, and this cluster has no workflows.argoproj.io"
        )
    finally:
        await kube.stop()


def test_it_is_run_where_it_is_asked_for() -> None:
    assert OPTIONAL == ("taskset",) and not set(OPTIONAL) & set(CONTROLLERS)
    assert set(READS) == {*CONTROLLERS, *OPTIONAL} and set(FOREIGN) <= set(READS)
    alone = watched(OPTIONAL)
    assert {type.plural: selector for type, selector in alone.items()} == {
        "workflowtasksets": "",
        "dataflows": "accelchain.io/workflow-uid",
    }
    assert watched(("taskset", "scheduler"))[kinds.DATA_FLOW] == ""
