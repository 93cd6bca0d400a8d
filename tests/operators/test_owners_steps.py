# SPDX-License-Identifier: Apache-2.0
"""A step ends before its Workflow: by a timeout, or a stop, after which the handlers on exit still run."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from accelchain_operators.kube import kinds, owners
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType, WatchEvent
from accelchain_operators.reconcile.owner import how_it_ended, look, owners_of

WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "demo", "uid": "u"}
BEGAN, LATER = "2027-01-15T08:00:00Z", "2027-01-15T08:05:00Z"


def flow(node: str = "demo-1", *, uid: str = "f", began: str = BEGAN, complete_when: str = "Finished") -> JsonObject:
    annotations = {
        "accelchain.io/node-id": node,
        "accelchain.io/node-name": f"demo.{node}",
        "accelchain.io/complete-when": complete_when,
    } | ({"accelchain.io/node-started-at": began} if began else {})
    return {
        "metadata": {
            "name": "flow",
            "namespace": "team",
            "uid": uid,
            "creationTimestamp": "2027-01-15T08:00:01Z",
            "annotations": annotations,
            "ownerReferences": [WORKFLOW],
        }
    }


def node(phase: str, began: str = BEGAN, ended: str = "2027-01-15T08:01:00Z") -> JsonObject:
    return {"phase": phase, "startedAt": began, "finishedAt": ended if phase != "Running" else None}


def workflow(*, version: int = 7, shutdown: str = "", phase: str = "Running", **nodes: JsonObject) -> JsonObject:
    """Return a Workflow; ``demo_1`` is the node ``demo-1``."""
    return {
        "metadata": {"name": "demo", "uid": "u", "resourceVersion": str(version)},
        "spec": {"shutdown": shutdown} if shutdown else {},
        "status": {"phase": phase, "nodes": {id_.replace("_", "-"): status for id_, status in nodes.items()}},
    }


def compressed(live: JsonObject) -> JsonObject:
    nodes = live["status"].pop("nodes")
    live["status"]["compressedNodes"] = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    return live


def offloaded(**fields: Any) -> JsonObject:
    live = workflow(**fields)
    live["status"] = {"phase": "Running", "offloadNodeStatusVersion": "fnv:1"}
    return live


def task_set(*tasks: str, uid: str = "u") -> JsonObject:
    spec = {"tasks": {id_: {} for id_ in tasks}} if tasks else {}
    return {"metadata": {"name": "demo", "ownerReferences": [{**WORKFLOW, "uid": uid}]}, "spec": spec}


@pytest.mark.parametrize(
    ("live", "made", "how"),
    [
        (workflow(demo_1=node("Running")), flow(), ""),
        (workflow(demo_1=node("Failed")), flow(), "step demo.demo-1 of Workflow demo has ended (Failed)"),
        (compressed(workflow(demo_1=node("Failed"))), flow(), "has ended (Failed)"),
        (workflow(demo_1=node("Failed")), flow("demo-2"), ""),
        (workflow(), flow(), ""),
        # a stop: the node tells, so that handlers on exit live on
        (workflow(shutdown="Stop", demo_1=node("Running")), flow(), ""),
        (workflow(shutdown="Stop", demo_1=node("Failed")), flow(), "has ended (Failed)"),
        (workflow(shutdown="Terminate", demo_1=node("Running")), flow(), "told to stop (spec.shutdown: Terminate)"),
        # a Stream whose step completed when it ran
        (workflow(demo_1=node("Succeeded")), flow(complete_when="Running"), ""),
        (workflow(demo_1=node("Failed")), flow(complete_when="Running"), "has ended (Failed)"),
        (workflow(shutdown="Stop", demo_1=node("Succeeded")), flow(complete_when="Running"), "told to stop"),
        (
            workflow(phase="Succeeded", demo_1=node("Succeeded")),
            flow(complete_when="Running"),
            "Workflow demo has ended",
        ),
        # argo retry: the node of that id may be the one of the try before
        (workflow(demo_1=node("Failed")), flow(began=LATER), ""),
        (workflow(demo_1=node("Failed")), flow(began=""), "has ended (Failed)"),
        (workflow(demo_1=node("Failed", ended="2027-01-15T07:59:00Z")), flow(began=""), ""),
        # nodes that can't be seen
        (offloaded(), flow(), ""),
        (offloaded(shutdown="Terminate"), flow(), "told to stop"),
    ],
)
def test_when_a_step_has_ended(live: JsonObject, made: JsonObject, how: str) -> None:
    (one,) = owners_of(made)
    found = how_it_ended(one, look(one, live), made)
    assert how in found and bool(how) == bool(found)


class Api:
    """A Workflow and its TaskSet, as the API tells them."""

    def __init__(self, live: JsonObject, tasks: JsonObject | ApiError | None = None) -> None:
        self.live = live
        self.tasks = tasks
        self.events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self.gets: list[str] = []

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        self.gets.append(type.plural)
        found = self.live if type.plural == "workflows" else self.tasks
        if found is None:
            raise ApiError(404, "NotFound", f'{type.plural}.argoproj.io "{name}" not found')
        if isinstance(found, ApiError):
            raise found
        return found

    async def watch(
        self, type: ResourceType, namespace: str | None = None, **options: Any
    ) -> AsyncIterator[WatchEvent]:
        while True:
            yield await self.events.get()

    async def change(self, live: JsonObject) -> None:
        self.live = live
        await self.events.put(WatchEvent("MODIFIED", live))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are looked at often."""
    monkeypatch.setattr(owners, "TASK_PERIOD", 0.01)


A, B = ("team", "a"), ("team", "b")


async def test_each_flow_ends_with_its_own_step(follow: Any, until: Any) -> None:
    api = Api(workflow(demo_1=node("Running"), demo_2=node("Running")))
    one, news = follow(api)
    one.want(A, flow("demo-1", uid="a"))
    one.want(B, flow("demo-2", uid="b"))
    await api.change(workflow(version=8, demo_1=node("Failed"), demo_2=node("Running")))
    await until(lambda: news == [A])
    assert "(Failed)" in one.ended(A) and one.ended(B) == ""
    await api.change(workflow(version=9, demo_1=node("Failed"), demo_2=node("Succeeded")))
    await until(lambda: news == [A, B])
    assert "(Succeeded)" in one.ended(B)


async def test_a_flow_of_a_new_try_outlives_what_is_known_of_the_old_one(follow: Any, until: Any) -> None:
    """The front that made it has seen more of the Workflow than we have."""
    api = Api(workflow(version=8, demo_1=node("Running")))
    one, news = follow(api)
    one.want(A, flow(uid="old"))
    await api.change(workflow(version=9, phase="Failed", demo_1=node("Failed")))
    await until(lambda: news == [A])
    api.live = workflow(version=12, demo_1=node("Running", began=LATER))  # and the watch tells later
    reads = len(api.gets)
    one.want(A, flow(uid="new", began=LATER))
    await until(lambda: len(api.gets) > reads)
    await api.events.put(WatchEvent("MODIFIED", workflow(version=10, phase="Failed", demo_1=node("Failed"))))
    await until(api.events.empty)
    assert one.ended(A) == "" and news == [A]
    await api.change(workflow(version=13, demo_1=node("Failed", began=LATER)))
    await until(lambda: news == [A, A])
    assert "(Failed)" in one.ended(A)


async def test_a_flow_that_comes_after_the_end_is_ended_once_that_is_sure(follow: Any, until: Any) -> None:
    api = Api(workflow(phase="Failed", demo_1=node("Failed")))
    one, news = follow(api)
    one.want(A, flow("demo-1", uid="a"))
    await until(lambda: news == [A])
    one.want(B, flow("demo-2", uid="b"))
    assert one.ended(B) == "", "what is known may be from before argo retry"
    await until(lambda: news == [A, B])
    assert "Workflow demo has ended (Failed)" in one.ended(B)


async def test_where_nodes_are_offloaded_the_tasks_tell(follow: Any, until: Any) -> None:
    api = Api(offloaded(), task_set("demo-1", "demo-2"))
    one, news = follow(api)
    one.want(A, flow("demo-1", uid="a"))
    one.want(B, flow("demo-2", uid="b"))
    await until(lambda: api.gets.count("workflowtasksets") >= 2)
    api.tasks = None
    await until(lambda: api.gets.count("workflowtasksets") >= 4)
    assert news == [], "a TaskSet that somebody deleted ends nothing"
    api.tasks = task_set("demo-1", uid="another")
    await until(lambda: api.gets.count("workflowtasksets") >= 6)
    assert news == [], "nor does another Workflow's"
    api.tasks = task_set("demo-2")
    await until(lambda: news == [A])
    assert "step demo.demo-1 of Workflow demo has ended" in one.ended(A) and one.ended(B) == ""
    api.tasks = task_set()
    await until(lambda: news == [A, B])


async def test_a_task_that_was_never_there_has_not_left(follow: Any, until: Any) -> None:
    """The flow of a handler on exit, say, whose task comes in a moment."""
    api = Api(offloaded(), task_set("demo-2"))
    one, news = follow(api)
    one.want(A, flow("demo-1"))
    await until(lambda: api.gets.count("workflowtasksets") >= 3)
    assert news == []


async def test_tasks_are_not_looked_at_where_nodes_are_known(follow: Any, until: Any) -> None:
    api = Api(offloaded(), task_set("demo-1"))
    one, news = follow(api)
    one.want(A, flow("demo-1"))
    await until(lambda: "workflowtasksets" in api.gets)
    await api.change(workflow(version=8, demo_1=node("Running")))
    await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name().endswith(": tasks")])
    assert news == []


async def test_the_right_to_see_tasks_is_asked_for(follow: Any, until: Any) -> None:
    api = Api(offloaded(), ApiError(403, "Forbidden", "workflowtasksets is forbidden"))
    one, news = follow(api)
    one.want(A, flow("demo-1"))
    await until(lambda: news == [A])
    assert "may not get workflowtasksets.argoproj.io in namespace team (they need the verb get)" in one.problem(A)
    assert one.ended(A) == ""


async def test_nodes_that_cannot_be_unpacked_are_seen_by_their_tasks(follow: Any, until: Any) -> None:
    live = workflow()
    live["status"]["compressedNodes"] = "%"
    api = Api(live, task_set("demo-1"))
    one, news = follow(api)
    one.want(A, flow("demo-1"))
    await until(lambda: "workflowtasksets" in api.gets)
    api.tasks = task_set("demo-9")
    await until(lambda: news == [A])


@pytest.mark.parametrize("labels", [{}, {"workflows.argoproj.io/workflow": "demo", "mine": "x"}])
async def test_worker_pods_carry_the_workflows_label_and_no_other(
    world: Callable[..., Any], labels: dict[str, str]
) -> None:
    """``argo logs`` finds them by it. ``completed`` would hand them to Argo's controller, which must not have them."""
    one = world()
    await one.kube.patch(kinds.DATA_FLOW, one.name, "default", {"metadata": {"labels": labels}})
    await one.settle()
    found = {k: v for k, v in one.pod["metadata"]["labels"].items() if "workflow" in k or k in ("mine", "completed")}
    assert found == {k: v for k, v in labels.items() if k != "mine"}
