# SPDX-License-Identifier: Apache-2.0
"""Argo's controller, watches, flows, people and the operator in any order: in the end every node has its result."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelchain.argo.core.identity import NODE_ID
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.store import Store
from accelchain_operators.kube.tasksets import TaskSets

KEY = ("default", "wf")
ROUNDS = 80
ARGO = (kinds.WORKFLOW, kinds.TASK_SET)
ENDED = ("Succeeded", "Failed", "Error")
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["operate", "work", "work", "lose update", "lose removal", "old task set"]), st.just(0)
        ),
        st.tuples(st.sampled_from(["stop", "terminate", "retry", "restart", "forget task set", "owners"]), st.just(0)),
        st.tuples(st.sampled_from(["calm", "calm", "late agent"]), st.just(0)),
        st.tuples(st.just("intrude"), st.integers(0, 7)),
        st.tuples(st.just("deliver"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["advance"]), st.sampled_from([1, 3, 7, 20])),
        st.tuples(st.sampled_from(["Scheduled", "Running", "Succeeded", "Failed"]), st.integers(0, 3)),
    ),
    max_size=40,
)


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock a test moves."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


class World:
    """Everything that is there, moved step by step."""

    def __init__(self, loop: Loop, fake: Any, memory: Any, flow_status: Callable[..., JsonObject]) -> None:
        self._loop = loop
        self._flow_status = flow_status
        self.stamp = fake.stamp
        self.kube = memory.MemoryKube(lambda: self.stamp(self.now()))
        self.controller = fake.FakeController(self.kube, self.now)
        self.retries = 0
        self.losses = 0
        """What may have results handed over again."""
        self.intrusion = -1
        """The operator looks when the controller has made so many more writes."""
        self.pushes: Counter[tuple[str, str]] = Counter()
        self.kube.before_write = self._before_write
        self.start()

    def now(self) -> float:
        return 1_800_000_000.0 + self._loop.offset

    def start(self) -> None:
        """Start the operator: it lists all there is."""
        self.store = Store(self._changed)
        self.task_sets: Any = None
        self.news = 0
        self._works = False
        self.due = 0.0
        """When the operator looks again by itself, by the loop's clock."""
        self.task_sets = TaskSets(self.kube, self.store, self._look_again, lambda _: None, self.now)
        self.kube.pending.clear()
        for type in (kinds.TASK_SET, kinds.DATA_FLOW):
            for obj in self.kube.all(type):
                self.store.put(type, obj)

    def _changed(self, type: Any, before: JsonObject | None, after: JsonObject | None) -> None:
        if type == kinds.DATA_FLOW:
            self.task_sets.flow_changed(before, after)

    def _look_again(self, _key: Any) -> None:
        self.news += 1

    async def work(self) -> None:
        """Do what the queue does: what changes during the work is looked at right after it."""
        before, self._works = -1, True
        while before != self.news:
            before = self.news
            again = await self.task_sets.work(KEY)
            self.due = float("inf") if again is None else self._loop.time() + again
        self._works = False

    async def _before_write(self, type: Any, patch: Any) -> None:
        if self._works:
            if type == kinds.TASK_SET:
                self._check_told(patch)
            return
        if type in (kinds.TASK_SET, kinds.WORKFLOW) and self.intrusion >= 0:
            self.intrusion -= 1
            if self.intrusion < 0:
                self.kube.deliver(self.store, len(self.kube.pending))
                await self.work()

    def _check_told(self, patch: JsonObject) -> None:
        """The controller copies keys over nodes that have ended, and stops at those that it does not have."""
        known = self.nodes()
        for id_, told in patch["status"]["nodes"].items():
            task_set = next(iter(self.kube.all(kinds.TASK_SET)), {"metadata": {}})
            if told is None or task_set["metadata"].get("resourceVersion") != patch["metadata"]["resourceVersion"]:
                continue  # the API refuses it
            assert id_ in task_set["spec"]["tasks"], "the step has left"
            assert id_ in known, "the controller stops at it"
            assert known[id_]["phase"] not in ENDED, "it would come back"
            if told["phase"] in ENDED:
                flows = {f["metadata"]["annotations"][NODE_ID]: f for f in self.kube.all(kinds.DATA_FLOW)}
                uid = flows[id_]["metadata"]["uid"] if id_ in flows else known[id_]["startedAt"]
                self.pushes[id_, uid] += 1

    def nodes(self) -> dict[str, JsonObject]:
        found: dict[str, JsonObject] = self.workflow()["status"].get("nodes") or {}
        return found

    async def calm(self) -> None:
        """Let the operator notice all there is, and check what it leaves."""
        self._loop.offset += 31
        self.kube.deliver(self.store, len(self.kube.pending))
        await self.work()
        stopped = self.workflow()["spec"].get("shutdown")
        for task_set in self.kube.all(kinds.TASK_SET):
            for id_, told in ((task_set.get("status") or {}).get("nodes") or {}).items():
                if told["phase"] not in ENDED:
                    assert not stopped and self.nodes()[id_]["phase"] not in ENDED, "it would come back"

    async def late_agent(self) -> None:
        """An agent answers late for a step of ours that has left the TaskSet."""
        made = {flow["metadata"]["annotations"][NODE_ID] for flow in self.kube.all(kinds.DATA_FLOW)}
        for task_set in self.kube.all(kinds.TASK_SET):
            for id_ in made & self.nodes().keys():
                if id_ not in task_set["spec"]["tasks"]:
                    patch = {"status": {"nodes": {id_: {"phase": "Running", "message": "late"}}}}
                    await self.kube.patch(kinds.TASK_SET, "wf", "default", patch, subresource="status")

    async def do(self, what: str, number: int) -> None:
        match what:
            case "operate":
                await self.controller.operate("wf")
                self.controller.old_task_set = None
            case "work":
                await self.work()
            case "calm":
                await self.calm()
            case "late agent":
                await self.late_agent()
            case "intrude":
                self.intrusion = number
            case "lose update":
                self.controller.lose_update = 1
                self.losses += 1
            case "lose removal":
                self.controller.lose_removal = 1
            case "old task set":
                self.losses += 1
                self.controller.old_task_set = next(iter(self.kube.all(kinds.TASK_SET)), None)
            case "stop" | "terminate":
                if not self.ended():
                    await self.controller.stop("wf", what.capitalize())
            case "retry":
                await self.retry()
            case "restart":
                self.start()
            case "forget task set":
                self.losses += 1
                if self.kube.all(kinds.TASK_SET):
                    await self.kube.delete(kinds.TASK_SET, "wf")
            case "owners":
                await self.owners()
            case "deliver":
                self.kube.deliver(self.store, number)
            case "advance":
                self._loop.offset += number
            case phase:
                flows = self.kube.all(kinds.DATA_FLOW)
                if number < len(flows):
                    await self.set_flow(flows[number], phase)

    async def retry(self) -> None:
        if self.workflow()["status"].get("phase") in ("Failed", "Error"):
            await self.owners()
            self._loop.offset += 7  # a node's time has whole seconds, and clocks differ
            await self.controller.retry("wf")
            self.retries += 1

    async def owners(self) -> None:
        """What the dataflow operator does: flows end with their steps."""
        nodes = self.nodes()
        for flow in self.kube.all(kinds.DATA_FLOW):
            phase = nodes.get(flow["metadata"]["annotations"][NODE_ID], {}).get("phase", "")
            if self.ended() or phase in ENDED or flow["spec"].get("cancel"):
                await self.set_flow(flow, "Failed", "OwnerEnded")

    async def set_flow(self, flow: JsonObject, phase: str, reason: str = "") -> None:
        if (flow.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        reason = reason or ("FunctionFailed" if phase == "Failed" else "")
        status = self._flow_status(phase, self.now(), reason)
        await self.kube.patch(
            kinds.DATA_FLOW, flow["metadata"]["name"], "default", {"status": status}, subresource="status"
        )

    def workflow(self) -> JsonObject:
        (found,) = self.kube.all(kinds.WORKFLOW)
        return {"status": {}} | found

    def ended(self) -> bool:
        return (self.workflow()["metadata"].get("labels") or {}).get("workflows.argoproj.io/completed") == "true"

    async def pass_by(self, seconds: float, requeue: float, happens: Mapping[float, str]) -> None:
        """Let time pass: the controller reacts after its fixed pause (rate_limiters.go), the operator at once.

        Args:
            seconds: how long.
            requeue: DEFAULT_REQUEUE_TIME.
            happens: phases that the flow takes, by time; from the last one on it has new figures every 10 s.
        """
        begun, seen, reacts = self._loop.time(), "", float("inf")
        left, figures = dict(happens), 0
        while (passed := self._loop.time() - begun) < seconds:
            for at in [at for at in left if at <= passed]:
                phase = left.pop(at)
                (flow,) = self.kube.all(kinds.DATA_FLOW)
                await self.set_flow(flow, phase)
            if not left and passed // 10 > figures:
                figures = int(passed // 10)
                (flow,) = self.kube.all(kinds.DATA_FLOW)
                patch = {"status": {"progress": {"frames": figures}}}
                await self.kube.patch(kinds.DATA_FLOW, flow["metadata"]["name"], "default", patch, subresource="status")
            versions = str([o["metadata"]["resourceVersion"] for k in ARGO for o in self.kube.all(k)])
            if versions != seen:
                seen, reacts = versions, min(reacts, self._loop.time() + requeue)
            if reacts <= self._loop.time():
                reacts = float("inf")
                await self.controller.operate("wf")
            if self.kube.pending or self.due <= self._loop.time():
                self.kube.deliver(self.store, len(self.kube.pending))
                await self.work()
            self._loop.offset += 0.25

    async def settle(self) -> None:
        """Let everybody go on undisturbed."""
        self.kube.deliver(self.store, len(self.kube.pending))
        await self.work()
        for flow in self.kube.all(kinds.DATA_FLOW):
            await self.set_flow(flow, "Failed" if flow["spec"].get("cancel") else "Succeeded")
        await self.owners()
        self.kube.deliver(self.store, len(self.kube.pending))
        await self.work()
        await self.do("operate", 0)
        self._loop.offset += 11


@pytest.fixture
def virtual(request: pytest.FixtureRequest) -> Callable[[Callable[[Loop], Coroutine[Any, Any, None]]], None]:
    def run(work: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
        loop = Loop()
        try:
            loop.run_until_complete(work(loop))
        finally:
            loop.close()

    return run


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, lose_all_removals=st.booleans())
def test_every_node_ends_once_and_nothing_comes_back(
    actions: list[tuple[str, int]], lose_all_removals: bool, virtual: Any, parts: Any, make_step: Any
) -> None:
    async def work(loop: Loop) -> None:
        world = World(loop, *parts)
        steps = [
            make_step("a"),
            make_step("b", timeout="60s"),
            make_step("c", "a", retries=1),
            make_step("tidy", on_exit=True),
        ]
        await world.controller.submit("wf", steps)
        await world.do("operate", 0)
        for what, number in actions:
            await world.do(what, number)
        if lose_all_removals:
            world.controller.lose_removal = ROUNDS
        for _ in range(ROUNDS):
            if world.ended():
                break
            await world.settle()
        workflow = world.workflow()
        assert world.ended(), workflow["status"]
        open = [n for n in workflow["status"]["nodes"].values() if n["phase"] not in ENDED]
        assert not open
        assert max(world.kube.created.values(), default=0) <= 1 + world.retries
        assert max(world.pushes.values(), default=0) <= 1 + world.losses, "told once, and again where that was lost"
        for _ in range(4):
            await world.settle()
        assert world.workflow()["status"] == workflow["status"], "nothing comes back"
        for task_set in world.kube.all(kinds.TASK_SET):
            assert not (task_set.get("status") or {}).get("nodes"), "no key is left for a next try"

    virtual(work)


@pytest.mark.parametrize("requeue", [10.0, 1.0])
def test_a_step_that_runs_for_ten_minutes_costs_few_writes_of_its_workflow(
    requeue: float, virtual: Any, parts: Any, make_step: Any
) -> None:
    async def work(loop: Loop) -> None:
        world = World(loop, *parts)
        await world.controller.submit("wf", [make_step("a")])
        await world.do("operate", 0)
        world.kube.deliver(world.store, len(world.kube.pending))
        await world.work()
        reads = world.kube.calls["get", "workflows"]
        await world.pass_by(600, requeue, {2: "Scheduled", 5: "Running"})
        assert world.nodes()[next(iter(world.nodes()))]["message"].startswith("Running on n1/cpu0")
        assert world.controller.workflow_writes <= 10
        assert world.kube.calls["get", "workflows"] - reads <= 100
        await world.pass_by(60, requeue, {0: "Succeeded"})
        assert world.ended() and world.controller.workflow_writes <= 10

    virtual(work)
