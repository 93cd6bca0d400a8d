# SPDX-License-Identifier: Apache-2.0
"""The shell of the dataflow reconciler: what it asks the API for, and what it keeps."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.flows import Flows
from accelchain_operators.kube.owners import Owners
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import Sync
from accelchain_operators.reconcile.actions import Grant
from accelchain_operators.reconcile.worker_options import LaptopOptions

KEY = ("default", "flow")
Document = Callable[..., JsonObject]
Started = Callable[..., Any]


class QuietStreams(Streams):
    """Streams that follow nobody: documents are what a test says, and grants are noted."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, lambda: 0.0)
        self.granted: list[Grant] = []
        self.forgotten: list[str] = []

    def want(self, key: Any, watches: Any) -> None:
        """Follow nobody."""

    def grant(self, key: Any, grants: Any) -> None:
        """Note the grants."""
        self.granted = list(grants)

    def is_granting(self, key: Any, pod_uid: str) -> bool:
        """Tell whether it was granted in the look before."""
        return any(grant.worker.pod_uid == pod_uid for grant in self.granted)

    def forget(self, pod_uid: str) -> None:
        """Note whose document is dropped."""
        self.forgotten.append(pod_uid)
        super().forget(pod_uid)


def shell(one: Any) -> tuple[Flows, QuietStreams]:
    streams = QuietStreams()
    streams._documents = one.documents  # what its workers said
    owners = Owners(one.kube, lambda _: None)
    sync = Sync(one.kube, one.store)
    flows = Flows(one.kube, one.store, sync, streams, one.applier, owners, LaptopOptions(), frozenset, lambda: one.now)
    return flows, streams


async def test_a_worker_is_granted_on_the_word_of_the_api_and_not_of_the_cache(
    started: Started, document: Document
) -> None:
    one = await started()
    flows, streams = shell(one)
    one.worker_says(document("Publishing"))
    await flows.work(KEY)
    assert [grant.attempt for grant in streams.granted] == [1]
    streams.granted = []
    cancelled = copy.deepcopy(one.flow)
    cancelled["spec"]["cancel"] = True
    cancelled["metadata"]["resourceVersion"] = str(int(cancelled["metadata"]["resourceVersion"]) + 1000)
    one.kube.objects["DataFlow", *KEY] = cancelled  # nobody has told the operators yet
    await flows.work(KEY)
    assert streams.granted == [], "the flow is cancelled"


async def test_a_conflict_has_the_flow_read_anew(started: Started, document: Document) -> None:
    one = await started()
    flows, _ = shell(one)
    one.pod_ends(1, json.dumps(document("Failed", reason="InvalidInput")))
    noted = copy.deepcopy(one.flow)
    noted["metadata"]["labels"] = {"by": "a user"}
    noted["metadata"]["resourceVersion"] = str(int(noted["metadata"]["resourceVersion"]) + 1000)
    one.kube.objects["DataFlow", *KEY] = noted  # nobody has told the operators yet
    with pytest.raises(ApiError, match="modified"):
        await flows.work(KEY)
    assert one.flow == noted and one.status["phase"] == "Running"
    await flows.work(KEY)
    assert one.kube.objects["DataFlow", *KEY]["status"]["phase"] == "Failed"


async def test_no_answer_of_the_api_is_no_grant(started: Started, document: Document) -> None:
    one = await started()
    flows, streams = shell(one)
    one.worker_says(document("Publishing"))
    one.kube.fail["get", "DataFlow", "flow"] = ApiError(0, "NoAnswer", "the network is gone")
    with pytest.raises(ApiError):
        await flows.work(KEY)
    assert streams.granted == []


async def test_what_a_vanished_pod_said_is_kept_until_the_flow_was_looked_at(
    started: Started, document: Document
) -> None:
    one = await started(mode="Stream", retries={"limit": 1})
    flows, streams = shell(one)
    pod = one.pod
    one.worker_says(document("Succeeded", reason="Stopped", position=70))
    one.kube.drop(kinds.POD, pod["metadata"]["name"], "default")
    flows.pod_gone(pod)
    assert streams.forgotten == []
    await flows.work(KEY)
    assert (one.status["attempt"], one.status["position"]) == (2, 70)
    assert streams.forgotten == [pod["metadata"]["uid"]]


async def test_every_attempt_has_a_token_of_its_own(started: Started, document: Document) -> None:
    one = await started(retries={"limit": 1})
    flows, _ = shell(one)
    one.pod_ends(137)
    for _ in range(3):
        await flows.work(KEY)
        await one.place()
    one.now += 1
    await flows.work(KEY)
    secrets = [o["data"]["token"] for k, o in one.kube.objects.items() if k[0] == "Secret"]
    assert len(secrets) == 1 and one.plan()["attempt"]["number"] == 2
    assert secrets[0] != "c2VjcmV0", "not the first attempt's"


async def test_a_secret_that_may_not_be_read_counts_as_there(world: Callable[..., Any]) -> None:
    inputs = {"video": {"uri": "file:///in.mp4", "credentialsRef": {"name": "camera"}}}
    one = world(inputs=inputs)
    flows, _ = shell(one)
    for _ in range(2):
        await flows.work(KEY)
        await one.place()
    one.kube.fail["get", "Secret", "camera"] = ApiError(403, "Forbidden", "no")
    await flows.work(KEY)
    assert one.pod is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on"


async def test_a_secret_that_lacks_a_key_is_told_until_it_has_it(world: Callable[..., Any]) -> None:
    keys = {f"{which}KeySecret": {"name": "minio", "key": which} for which in ("access", "secret")}
    one = world(inputs={"video": {"uri": "s3://bucket/in.mp4", "s3": keys}})
    flows, _ = shell(one)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio", "namespace": "default"}}
    one.kube.objects["Secret", "default", "minio"] = secret | {"data": {"access": "eA=="}}
    for _ in range(3):
        await flows.work(KEY)
        await one.place()
    assert one.pod is None
    assert "spec.inputs.video.s3.secretKeySecret: Secret minio has no key secret" in one.condition("Running")["message"]
    one.kube.objects["Secret", "default", "minio"] = secret | {"data": {"access": "eA==", "secret": "eA=="}}
    one.now += 10
    await flows.work(KEY)
    assert one.pod is not None
