# SPDX-License-Identifier: Apache-2.0
"""Argo's agent and the plugin, together: from the WorkflowTaskSet to the node's result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from accelchain.argo.core.identity import NODE_ID
from accelchain_operators.localkube.faults import Fault


async def test_a_step_becomes_a_flow_and_its_end_the_nodes(argo: Any) -> None:
    await argo.set_node("detect")
    await argo.create_task_set(argo.tasks("detect"))
    async with argo.agent() as agent:
        flow = await argo.until(lambda: argo.flow("detect"), "a DataFlow")
        assert flow["spec"]["chainRef"] == {"name": "demo"}
        assert flow["metadata"]["ownerReferences"][0]["uid"] == argo.uid
        assert await argo.task_status() == {}
        await argo.finish("detect")
        nodes = await argo.until(argo.task_status, "a result")
        assert nodes[argo.node("detect")]["phase"] == "Succeeded"
        calls = len(agent.calls)
        await argo.time.sleep(20)
        assert len(agent.calls) == calls, "a node that ended is not asked about again"
    assert agent.patches == [nodes]


async def test_polls_cause_no_patch_and_no_call_of_the_api(argo: Any) -> None:
    await argo.create_task_set(argo.tasks("detect"))
    await argo.set_node("detect")
    async with argo.agent() as agent:
        flow = await argo.until(lambda: argo.flow("detect"))
        await argo.set_status(flow, "Running")
        await argo.until(lambda: len(agent.calls) > 3)
        argo.kube.recorder.clear()
        asked = len(agent.calls)
        await argo.until(lambda: len(agent.calls) > asked + 10)
        asked_for = argo.kube.recorder.rights(manager="accelchain-operators")
        assert sum(asked_for.values()) <= 1, "the Workflow at most, once in ten seconds"
        assert argo.kube.recorder.writes() == 0
    assert not agent.patches


async def test_an_agent_that_starts_anew_replays_its_tasks_and_nothing_is_made_twice(argo: Any) -> None:
    await argo.create_task_set(argo.tasks("a", "b", "c"))
    for name in "abc":
        await argo.set_node(name)
    async with argo.agent():
        await argo.until(lambda: _count(argo, 3))
    before = {flow["metadata"]["uid"] for flow in await argo.flows()}
    await argo.finish("b")
    async with argo.serving() as url, argo.agent(argo.plugin(url)) as agent:  # both containers of the pod are new
        nodes = await argo.until(argo.task_status)
        assert list(nodes) == [argo.node("b")]
        await argo.until(lambda: len(set(agent.calls)) == 3)
    assert {flow["metadata"]["uid"] for flow in await argo.flows()} == before


async def test_two_agents_at_once_make_one_flow(argo: Any) -> None:
    """A node that was cut off: its agent goes on while the next one starts."""
    await argo.create_task_set(argo.tasks(*"abcdefgh"))
    async with argo.serving() as other, argo.agent(), argo.agent(argo.plugin(other)):
        await argo.until(lambda: _count(argo, 8))
        for name in "abcdefgh":
            await argo.set_node(name)
            await argo.finish(name)
        nodes = await argo.until(lambda: _ended(argo, 8))
    assert {node["phase"] for node in nodes.values()} == {"Succeeded"}
    assert len(await argo.flows()) == 8


async def test_argo_retry_runs_the_step_again_under_the_same_name(argo: Any) -> None:
    await argo.create_task_set(argo.tasks("detect"))
    await argo.set_node("detect", started=argo_stamp(30))
    async with argo.agent():
        flow = await argo.until(lambda: argo.flow("detect"))
        await argo.until(lambda: _annotated(argo, flow))
        await argo.set_status(flow, "Failed", "InvalidInput", message="no such file")
        nodes = await argo.until(argo.task_status)
        assert nodes[argo.node("detect")]["phase"] == "Failed"
        assert "no such file" in nodes[argo.node("detect")]["message"]
    # argo retry: the node is removed, then begun again with its old id; the TaskSet and the agent are new
    await argo.delete_task_set()
    await argo.create_task_set(argo.tasks("detect"))
    await argo.set_node("detect", started=argo_stamp(0))
    async with argo.serving() as url, argo.agent(argo.plugin(url)):
        again = await argo.until(lambda: _another(argo, flow))
        assert again["metadata"]["name"] == flow["metadata"]["name"]
        await argo.finish("detect")
        nodes = await argo.until(argo.task_status)
        assert nodes[argo.node("detect")]["phase"] == "Succeeded"


async def test_an_old_result_is_not_told_before_the_workflow_has_the_node_again(argo: Any) -> None:
    """After argo retry the TaskSet is there before the Workflow has the node: who reads it then must wait."""
    await argo.ask(argo.template("detect"))
    flow = await argo.flow("detect")
    await argo.set_status(flow, "Failed", "InvalidInput", message="of the try before")
    async with argo.serving() as argo.url:
        assert (await argo.ask(argo.template("detect")))["node"] == {}
        await argo.set_node("detect", started=argo_stamp(-60))
        await argo.until(lambda: _asked_until_another(argo, flow))


async def test_each_plugin_of_an_agent_takes_its_own(argo: Any) -> None:
    async def other(request: web.Request) -> web.Response:
        body = await request.json()
        mine = "hello" in body["template"]["plugin"]
        return web.json_response({"node": {"phase": "Succeeded", "message": "hi"}} if mine else {})

    app = web.Application()
    app.router.add_post("/api/v1/template.execute", other)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        hello = {"name": "hello", "plugin": {"hello": {"dataflow": {}}}}
        nobody = {"name": "x", "plugin": {"unheard-of": {}}}
        tasks = {**argo.tasks("detect"), argo.node("hello"): hello, argo.node("nobody"): nobody}
        await argo.create_task_set(tasks)
        await argo.set_node("detect")
        async with argo.agent(argo.plugin(), argo.plugin(url)):
            await argo.until(lambda: _count(argo, 1))
            await argo.finish("detect")
            nodes = await argo.until(lambda: _ended(argo, 3))
    finally:
        await runner.cleanup()
    assert nodes[argo.node("detect")]["message"] != "hi"
    assert nodes[argo.node("hello")]["message"] == "hi"
    assert nodes[argo.node("nobody")] == {"phase": "Failed", "message": "no plugin executed the template"}


async def test_a_plugin_that_starts_late_loses_no_node(argo: Any) -> None:
    plugin = argo.plugin("http://127.0.0.1:9")
    await argo.create_task_set(argo.tasks("detect"))
    async with argo.agent(plugin):
        await argo.until(lambda: argo.time.pauses[:2] == [1.0, 2.0], "two refused connections")
        plugin.address = argo.url
        await argo.until(lambda: argo.flow("detect"))
    assert await argo.task_status() == {}


async def test_an_api_that_is_down_for_a_while_loses_no_node(argo: Any) -> None:
    async with argo.serving(budget=0.3) as url:
        down = argo.kube.faults.add(Fault(resource="dataflows", code=503, times=None))
        await argo.create_task_set(argo.tasks("a", "b"))
        async with argo.agent(argo.plugin(url)) as agent:
            await argo.until(lambda: len(agent.calls) >= 4)
            assert down.hits
            assert await argo.task_status() == {}
            argo.kube.faults.clear()
            await argo.until(lambda: _count(argo, 2))
            for name in "ab":
                await argo.set_node(name)
                await argo.finish(name)
            nodes = await argo.until(lambda: _ended(argo, 2))
    assert {node["phase"] for node in nodes.values()} == {"Succeeded"}


async def test_an_api_that_breaks_while_flows_run_loses_no_node(argo: Any) -> None:
    argo.kube.faults.add(Fault(resource="dataflows", verb="watch", drop_after=1, times=1))
    async with argo.serving(budget=0.3) as url:
        await argo.create_task_set(argo.tasks("detect"))
        await argo.set_node("detect")
        async with argo.agent(argo.plugin(url)) as agent:
            flow = await argo.until(lambda: argo.flow("detect"))
            down = argo.kube.faults.add(Fault(resource="dataflows", subresource="", code=503, times=None))
            await argo.until(lambda: down.hits > 3, "polls that ask the API")
            assert await argo.task_status() == {}
            await argo.set_status(flow, "Succeeded")
            argo.kube.faults.clear()
            nodes = await argo.until(argo.task_status)
            assert agent.calls
    assert nodes[argo.node("detect")]["phase"] == "Succeeded"


async def test_conflicts_and_a_busy_api_are_passed_over(argo: Any) -> None:
    argo.kube.faults.add(Fault(resource="dataflows", verb="create", code=429, retry_after=0, times=2))
    argo.kube.faults.add(Fault(resource="dataflows", verb="create", code=409, times=1))
    argo.kube.faults.add(Fault(resource="dataflows", verb="create", code=503, times=1, after_write=True))
    await argo.create_task_set(argo.tasks(*"abcdef"))
    for name in "abcdef":
        await argo.set_node(name)
    async with argo.agent():
        await argo.until(lambda: _count(argo, 6))
        for name in "abcdef":
            await argo.finish(name)
        nodes = await argo.until(lambda: _ended(argo, 6))
    assert {node["phase"] for node in nodes.values()} == {"Succeeded"}


async def test_sixty_four_steps_at_once(argo: Any) -> None:
    names = [f"n{i}" for i in range(64)]
    await argo.create_task_set(argo.tasks(*names))
    async with argo.agent():
        await argo.until(lambda: _count(argo, 64))
        flows = await argo.flows()
        assert {flow["metadata"]["annotations"][NODE_ID] for flow in flows} == {argo.node(name) for name in names}
        await argo.set_nodes(names)
        for flow in flows:
            await argo.set_status(flow, "Succeeded")
        nodes = await argo.until(lambda: _ended(argo, 64))
    assert {node["phase"] for node in nodes.values()} == {"Succeeded"}


async def test_a_step_is_done_while_another_one_waits_for_a_dead_api(argo: Any) -> None:
    """One hung call holds nobody up."""
    argo.kube.faults.add(Fault(verb="create", resource="dataflows", latency=8.0, times=1))
    await argo.create_task_set(argo.tasks("first", "second"))
    async with argo.agent():
        await argo.until(lambda: _count(argo, 1), seconds=7)


def argo_stamp(ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _count(argo: Any, number: int) -> bool:
    return len(await argo.flows()) == number


async def _ended(argo: Any, number: int) -> Any:
    nodes = await argo.task_status()
    return nodes if len(nodes) == number else None


async def _annotated(argo: Any, flow: Any) -> bool:
    live = await argo.flow()
    assert live["metadata"]["uid"] == flow["metadata"]["uid"]
    return "accelchain.io/node-started-at" in live["metadata"]["annotations"]


async def _another(argo: Any, flow: Any) -> Any:
    live = await argo.flow()
    return live if live is not None and live["metadata"]["uid"] != flow["metadata"]["uid"] else None


async def _asked_until_another(argo: Any, flow: Any) -> Any:
    assert (await argo.ask(argo.template("detect")))["node"] == {}
    return await _another(argo, flow)
