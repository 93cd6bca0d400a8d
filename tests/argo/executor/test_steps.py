# SPDX-License-Identifier: Apache-2.0
"""One step at a time: what is asked, what is answered, what stands in the cluster afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accelchain.argo.executor import executor as executor_module
from accelchain.argo.executor.http_server import METHOD
from accelchain.argo.install.rights import PLUGIN_RULES
from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import DATA_FLOW
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.users import service_account

ROLE = ResourceType("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = ResourceType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
QUIET = {"node": {}, "requeue": "1000ms"}


def stamp(ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_foreign_template_is_somebody_elses(argo: Any) -> None:
    for template in (
        {"name": "x", "plugin": {"hello": {}}},
        {"name": "x", "http": {"url": "http://x"}},
        {"plugin": []},
    ):
        assert await argo.ask(template) == {}
    assert await argo.flows() == []


MISTAKES: list[tuple[Any, str]] = [
    ({"dataflw": {}}, "plugin.accelchain.dataflw"),
    ({"node": ""}, "plugin.accelchain.node"),
    ({"attempt": "many"}, "plugin.accelchain.attempt"),
    ({"dataflow": {"chainRef": {"name": "demo"}, "mode": "Sometimes"}}, "plugin.accelchain.dataflow.mode"),
    ({"dataflow": {"chainRef": {"name": "demo"}, "cancel": True}}, "plugin.accelchain.dataflow.cancel"),
    ({"dataflow": "x" * 100_000}, "plugin.accelchain.dataflow"),
]


async def test_an_authors_mistake_fails_the_node_at_once_and_names_the_field(argo: Any) -> None:
    for body, said in MISTAKES:
        reply = await argo.ask(argo.template("detect", body=body))
        assert reply["node"]["phase"] == "Failed"
        assert reply["node"]["message"].startswith(said)
        assert len(reply["node"]["message"]) <= 1024
        assert "requeue" not in reply
    assert await argo.flows() == []


async def test_a_body_that_is_no_request_is_answered_and_never_404(argo: Any) -> None:
    for data in (b"", b"{", b"null", b"\xff" * 100, b"[" * 50_000, json.dumps("x" * 1000).encode()):
        code, reply = await argo.post(data=data)
        assert (code, reply["node"]["phase"]) == (200, "Failed")
    assert await argo.ask(argo.template("detect")) == QUIET


async def test_ten_megabytes_fail_the_node(argo: Any) -> None:
    reply = await argo.ask(argo.template("detect", description="x" * 10_000_000))
    assert reply["node"]["phase"] == "Failed"
    assert "smaller" in reply["node"]["message"]
    assert await argo.ask(argo.template("detect")) == QUIET


async def test_without_the_token_nothing_is_made(argo: Any) -> None:
    request = {"workflow": {"metadata": argo.workflow}, "template": argo.template("detect")}
    assert (await argo.post(request, token=""))[0] == 401
    assert (await argo.post(request, token="of-another-pod"))[0] == 403
    assert await argo.flows() == []


async def test_asking_again_makes_nothing_again(argo: Any) -> None:
    replies = await asyncio.gather(*(argo.ask(argo.template("detect")) for _ in range(16)))
    assert all(reply["node"] == {} for reply in replies)
    assert len(await argo.flows()) == 1


async def test_attempts_are_flows_of_their_own(argo: Any) -> None:
    retried = {"retryStrategy": {"limit": "2"}}
    for attempt in ("0", "1"):
        await argo.ask(argo.template("detect", body={"attempt": attempt}, **retried))
    assert len({flow["metadata"]["name"] for flow in await argo.flows()}) == 2


async def test_what_the_api_refuses_fails_the_node(argo: Any) -> None:
    argo.kube.faults.add(
        Fault(resource="dataflows", verb="create", code=422, matches=lambda info: info.subresource == "")
    )
    reply = await argo.ask(argo.template("detect"))
    assert reply["node"]["phase"] == "Failed"
    assert "plugin.accelchain.dataflow" in reply["node"]["message"]


async def test_a_refused_flow_fails_its_node_and_is_ended(argo: Any) -> None:
    await argo.set_node("detect")
    await argo.ask(argo.template("detect"))
    flow = await argo.flow()
    await argo.set_status(flow, "Refused", "UnknownChain", message="spec.chainRef.name: there is no chain 'demo'")
    reply = await argo.until(lambda: _answer(argo, argo.template("detect")))
    assert reply["node"]["phase"] == "Failed"
    assert "there is no chain 'demo'" in reply["node"]["message"]
    ended = await argo.flow()
    assert ended["spec"]["cancel"] is True
    await argo.set_status(ended, "Failed", "Cancelled", message="cancelled by spec.cancel")
    async with argo.serving() as argo.url:  # another agent, as the answer was lost
        again = await argo.until(lambda: _answer(argo, argo.template("detect")))
    assert again["node"] == reply["node"]


async def test_a_lost_worker_is_an_error_and_a_wrong_input_a_failure(argo: Any) -> None:
    for name, reason, phase in (("a", "WorkerLost", "Error"), ("b", "InvalidInput", "Failed")):
        await argo.set_node(name)
        await argo.ask(argo.template(name))
        await argo.set_status(await argo.flow(name), "Failed", reason, message="why")
        reply = await argo.until(lambda name=name: _answer(argo, argo.template(name)))
        assert reply["node"]["phase"] == phase
        assert "requeue" not in reply


async def test_a_deadline_of_the_templates_ends_node_and_flow(argo: Any) -> None:
    template = argo.template("detect", timeout="2m")
    await argo.set_node("detect")
    assert await argo.ask(template) == QUIET
    async with argo.serving(clock=lambda: time.time() + 130) as argo.url:  # nothing need be remembered
        reply = await argo.ask(template)
    assert reply["node"]["phase"] == "Failed"
    assert "DeadlineExceeded" in reply["node"]["message"]
    assert "requeue" not in reply
    assert (await argo.flow())["spec"]["cancel"] is True


async def test_a_stopped_workflow_gets_no_flow_and_no_result(argo: Any) -> None:
    await argo.patch_workflow({"spec": {"shutdown": "Terminate"}})
    async with argo.serving() as argo.url:
        assert (await argo.ask(argo.template("detect")))["node"] == {}
    assert await argo.flows() == []


async def test_a_deleted_workflow_gets_no_flow_and_no_further_call(argo: Any) -> None:
    await argo.client.delete(ResourceType("argoproj.io/v1alpha1", "Workflow", "workflows"), argo.name, "default")
    async with argo.serving() as argo.url:
        assert await argo.ask(argo.template("detect")) == {"node": {}}
    assert await argo.flows() == []


async def test_a_name_that_is_somebody_elses_is_an_error_and_stays_as_it_is(argo: Any) -> None:
    await argo.ask(argo.template("detect"))
    mine = await argo.flow()
    name = mine["metadata"]["name"]
    await argo.client.delete(DATA_FLOW, name, "default")
    theirs = {
        "apiVersion": mine["apiVersion"],
        "kind": "DataFlow",
        "metadata": {"name": name, "namespace": "default"},
        "spec": mine["spec"],
    }
    await argo.client.create(DATA_FLOW, theirs)
    async with argo.serving() as argo.url:
        reply = await argo.ask(argo.template("detect"))
    assert reply["node"]["phase"] == "Error"
    assert name in reply["node"]["message"]
    left = await argo.client.get(DATA_FLOW, name, "default")
    assert not left["spec"].get("cancel")


async def test_parallelism_holds_for_steps_that_come_at_once(argo: Any) -> None:
    names = [f"n{i}" for i in range(10)]
    await argo.patch_workflow({"spec": {"parallelism": 3}})
    await argo.set_nodes(names)
    async with argo.serving() as argo.url:
        replies = await asyncio.gather(*(argo.ask(argo.template(name)) for name in names))
        assert all(reply["node"] == {} and reply["requeue"] for reply in replies)
        done: set[str] = set()
        while len(done) < 10:
            flows = [flow for flow in await argo.flows() if flow["metadata"]["name"] not in done]
            assert 0 < len(flows) <= 3
            for flow in flows:
                await argo.set_status(flow, "Succeeded")
                done.add(flow["metadata"]["name"])
                ended = next(
                    n for n in names if argo.node(n) == flow["metadata"]["annotations"]["accelchain.io/node-id"]
                )
                await argo.set_node(ended, "Succeeded")
            if len(done) < 10:
                await argo.until(lambda: _more(argo, names, len(done)), seconds=5)


async def test_with_the_rights_of_the_installation_it_works_and_asks_for_no_other(argo: Any) -> None:
    client = await _with_rights(argo, [rule.to_dict() for rule in PLUGIN_RULES])
    async with argo.serving(client=client) as argo.url:
        await argo.set_node("detect", started=stamp(60))
        await argo.ask(argo.template("detect"))
        await argo.set_status(await argo.flow(), "Failed", "InvalidInput")
        await argo.until(lambda: _answer(argo, argo.template("detect")))
        await argo.set_node("detect", started=stamp(-60))  # argo retry
    async with argo.serving(client=await _again(argo)) as argo.url:
        reply = await argo.ask(argo.template("detect"))
    assert reply == QUIET
    assert not [entry for entry in argo.kube.recorder.requests if entry.code == 403]


async def test_without_a_look_at_the_workflow_steps_run_all_the_same(argo: Any) -> None:
    client = await _with_rights(argo, [{"apiGroups": ["accelchain.io"], "resources": ["dataflows"], "verbs": ["*"]}])
    async with argo.serving(client=client) as argo.url:
        await argo.ask(argo.template("detect"))
        await argo.finish()
        reply = await argo.until(lambda: _answer(argo, argo.template("detect")))
    assert reply["node"]["phase"] == "Succeeded"


async def test_a_missing_right_is_an_error_that_says_how_to_give_it(argo: Any, monkeypatch: Any) -> None:
    client = await _with_rights(argo, [{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get"]}])
    async with argo.serving(client=client) as argo.url:
        # An API server that starts says so too for a while.
        assert (await argo.ask(argo.template("detect")))["node"] == {}
        monkeypatch.setattr(executor_module, "DENIED_SECONDS", 0.0)
        reply = await argo.ask(argo.template("detect"))
    assert reply["node"]["phase"] == "Error"
    assert "accelchain argo install -n default" in reply["node"]["message"]


async def test_a_call_ends_in_time_where_the_api_hangs(argo: Any) -> None:
    argo.kube.faults.add(Fault(resource="dataflows", latency=8.0, times=None))
    async with argo.serving(budget=0.3) as argo.url:
        begun = time.monotonic()
        reply = await argo.ask(argo.template("detect"))
        assert reply["node"] == {} and reply["requeue"]
        assert time.monotonic() - begun < 7


async def test_a_watch_that_broke_is_not_believed(argo: Any) -> None:
    argo.kube.faults.add(Fault(resource="dataflows", verb="watch", drop_after=1, times=1))
    async with argo.serving() as argo.url:
        await argo.set_node("detect")
        await argo.ask(argo.template("detect"))
        name = (await argo.flow())["metadata"]["name"]
        for verb in ("watch", "list"):
            argo.kube.faults.add(Fault(resource="dataflows", verb=verb, code=500, times=None))
        flow = await argo.client.get(DATA_FLOW, name, "default")
        await argo.set_status(flow, "Succeeded")
        reply = await argo.until(lambda: _answer(argo, argo.template("detect")))
    assert reply["node"]["phase"] == "Succeeded"


async def test_a_node_that_was_stopped_meanwhile_gets_no_result(argo: Any) -> None:
    """Argo takes whatever it is told: a result would bring a stopped node back to life."""
    template = argo.template("detect", body={"completeWhen": "Running"})
    await argo.set_node("detect")
    await argo.ask(template)
    assert (await argo.ask(template))["node"] == {}
    await argo.set_status(await argo.flow(), "Running")
    await argo.set_node("detect", "Failed", message="Stopped with strategy 'Stop'")
    argo.kube.recorder.clear()
    await argo.time.sleep(2)  # what is known of the Workflow may be a second old

    async def looked_again() -> bool:
        assert (await argo.ask(template))["node"] == {}
        return any(request.resource == "workflows" and request.verb == "get" for request in argo.kube.recorder.requests)

    await argo.until(looked_again, "a look at the Workflow before anything is told")


async def test_the_log_has_one_line_a_fact(argo: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="accelchain.argo"):
        await argo.set_node("detect")
        await argo.ask(argo.template("detect"))
        await argo.set_status(await argo.flow(), "Running")
        for _ in range(5):
            await argo.ask(argo.template("detect"))
        await argo.finish()
        await argo.until(lambda: _answer(argo, argo.template("detect")))
    lines = [record.getMessage() for record in caplog.records if record.name == "accelchain.argo"]
    assert len(lines) == len(set(lines))
    assert any("created" in line for line in lines)
    assert lines[-1].startswith("Succeeded")
    assert len(lines) <= 4


async def test_a_defect_of_ours_is_an_error_and_the_server_lives_on(argo: Any, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("unheard of")

    with monkeypatch.context() as patched:
        patched.setattr(executor_module.Step, "run", broken)
        reply = await argo.ask(argo.template("detect"))
    assert reply["node"]["phase"] == "Error"
    assert "unheard of" in reply["node"]["message"]
    assert await argo.ask(argo.template("detect")) == QUIET


async def test_many_workflows_in_a_row_leave_no_watch_behind(argo: Any) -> None:
    for number in range(20):
        document = {
            "workflow": {"metadata": {**argo.workflow, "name": f"other-{number}"}},
            "template": argo.template("x"),
        }
        assert (await argo.post(document, path=METHOD))[0] == 200
    watches = [task for task in asyncio.all_tasks() if task.get_name().startswith("flows ")]
    assert len(watches) <= 8


async def _answer(argo: Any, template: Any) -> Any:
    """The reply once it says something."""
    reply = await argo.ask(template)
    return reply if reply["node"].get("phase") else None


async def _more(argo: Any, names: list[str], done: int) -> bool:
    for name in names:
        await argo.ask(argo.template(name))
    return len(await argo.flows()) > done


async def _with_rights(argo: Any, rules: list[Any]) -> HttpClient:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "plugin", "namespace": "default"},
        "rules": rules,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "plugin", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "plugin"},
        "subjects": [{"kind": "ServiceAccount", "name": "plugin", "namespace": "default"}],
    }
    await argo.client.create(ROLE, role)
    await argo.client.create(ROLE_BINDING, binding)
    return await _again(argo)


async def _again(argo: Any) -> HttpClient:
    token = argo.kube.users.add(service_account("default", "plugin"))
    return HttpClient(argo.kube.url, token, argo.kube.ca)
