# SPDX-License-Identifier: Apache-2.0
"""The applier writes what changes something, and only that."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from accelchain.api.common import API_VERSION
from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier, NameTakenError
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.compare import would_change
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.store import Store
from accelchain_operators.reconcile.actions import (
    Action,
    Actions,
    Apply,
    ApplyStatus,
    CreateOnce,
    Delete,
    Event,
    ObjectRef,
)

FLOW = {"apiVersion": API_VERSION, "kind": "DataFlow", "metadata": {"name": "f", "namespace": "ns"}}
OWNER = {"apiVersion": API_VERSION, "kind": "DataFlow", "name": "f", "uid": "flow-uid", "controller": True}


def owned(kind: str, owner: str = "flow-uid", **fields: Any) -> JsonObject:
    api = API_VERSION if kind.startswith("WB") else "v1"
    meta = {"name": "x", "namespace": "ns", "ownerReferences": [{**OWNER, "uid": owner}]}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **fields}


class Bench:
    def __init__(self, kube: Any) -> None:
        self.kube = kube
        self.now = 1_800_000_000.0
        self.ghosts: list[str] = []
        self.store = Store(lambda *_: None)
        self.applier = Applier(
            kube,
            self.store,
            Recorder(kube, "test", lambda: self.now),
            lambda type: self.ghosts.append(type.kind),
            lambda: self.now,
        )

    async def do(self, *actions: Action, manager: str = "m") -> list[tuple[str, str, str]]:
        self.kube.writes.clear()
        await self.applier.run(Actions((actions,)), manager)
        return list(self.kube.writes)


@pytest.fixture
def bench(fake_kube: Any) -> Bench:
    return Bench(fake_kube)


def status(*conditions: tuple[str, str], **fields: Any) -> ApplyStatus:
    listed = [{"type": type, "status": value, "reason": "R", "message": ""} for type, value in conditions]
    return ApplyStatus({**copy.deepcopy(FLOW), "status": {"conditions": listed, **fields}})


async def test_applying_the_same_twice_writes_once(bench: Bench) -> None:
    wb = Apply(owned("WBFunction", spec={"device": "cpu0", "parameters": {"a": 1}}))
    assert len(await bench.do(wb)) == 1
    assert await bench.do(wb) == []


async def test_a_value_that_somebody_changed_is_written_again(bench: Bench) -> None:
    wb = Apply(owned("WBFunction", spec={"device": "cpu0"}))
    await bench.do(wb)
    live = copy.deepcopy(bench.kube.objects["WBFunction", "ns", "x"])
    live["spec"]["device"] = "gpu0"
    bench.store.put(kinds.WB_FUNCTION, bench.kube.put(kinds.WB_FUNCTION, live))
    assert len(await bench.do(wb)) == 1


async def test_a_field_that_is_no_longer_wanted_is_taken_back(bench: Bench) -> None:
    await bench.do(Apply(owned("WBFunction", spec={"device": "cpu0", "parameters": {"a": 1, "b": 2}})))
    less = Apply(owned("WBFunction", spec={"device": "cpu0", "parameters": {"a": 1}}))
    assert len(await bench.do(less)) == 1
    assert bench.kube.objects["WBFunction", "ns", "x"]["spec"]["parameters"] == {"a": 1}
    assert await bench.do(less) == []


async def test_defaults_that_the_server_adds_are_no_difference(bench: Bench) -> None:
    wb = Apply(owned("WBFunction", spec={"ports": [{"name": "a"}]}))
    await bench.do(wb)
    live = copy.deepcopy(bench.kube.objects["WBFunction", "ns", "x"])
    live["spec"]["ports"][0]["protocol"] = "TCP"
    live["spec"]["load"] = 0.0
    bench.store.put(kinds.WB_FUNCTION, bench.kube.put(kinds.WB_FUNCTION, live))
    assert await bench.do(wb) == []


async def test_two_managers_share_conditions_and_neither_rewrites(bench: Bench) -> None:
    bench.store.put(kinds.DATA_FLOW, bench.kube.put(kinds.DATA_FLOW, copy.deepcopy(FLOW)))
    ours, theirs = status(("Accepted", "True"), phase="Pending"), status(("Scheduled", "True"))
    await bench.do(ours, manager="a")
    await bench.do(theirs, manager="b")
    assert await bench.do(ours, manager="a") == []
    assert await bench.do(theirs, manager="b") == []
    live = bench.kube.objects["DataFlow", "ns", "f"]["status"]
    assert [c["type"] for c in live["conditions"]] == ["Accepted", "Scheduled"]


async def test_a_condition_keeps_its_time_until_its_status_changes(bench: Bench) -> None:
    bench.store.put(kinds.DATA_FLOW, bench.kube.put(kinds.DATA_FLOW, copy.deepcopy(FLOW)))
    await bench.do(status(("Accepted", "True")))
    bench.now += 60
    await bench.do(status(("Accepted", "True"), ("Running", "True")))
    times = {
        c["type"]: c["lastTransitionTime"] for c in bench.kube.objects["DataFlow", "ns", "f"]["status"]["conditions"]
    }
    assert times == {"Accepted": "2027-01-15T08:00:00Z", "Running": "2027-01-15T08:01:00Z"}


async def test_the_status_of_something_deleted_is_nobodys_business(bench: Bench) -> None:
    assert await bench.do(status(("Accepted", "True"))) == []
    ghost = {**copy.deepcopy(FLOW), "metadata": {**FLOW["metadata"], "uid": "u", "resourceVersion": "1"}}  # type: ignore[dict-item]
    bench.store.put(kinds.DATA_FLOW, ghost)
    await bench.do(status(("Accepted", "True")))
    assert bench.ghosts == ["DataFlow"], "the kind is listed again"


async def test_what_exists_already_is_left_alone_if_it_is_ours(bench: Bench) -> None:
    pod = CreateOnce(owned("Pod", spec={"nodeName": "a"}))
    await bench.do(pod)
    bench.store.replace(kinds.POD, [], "1000000000000")  # the cache lags behind
    await bench.do(CreateOnce(owned("Pod", spec={"nodeName": "b"})))
    assert bench.kube.objects["Pod", "ns", "x"]["spec"] == {"nodeName": "a"}


@pytest.mark.parametrize("action", [CreateOnce(owned("Pod", "other")), Apply(owned("WBFunction", "other"))])
async def test_what_belongs_to_somebody_else_is_not_touched(bench: Bench, action: CreateOnce | Apply) -> None:
    await bench.do(action)
    mine = type(action)(owned(action.obj["kind"]))
    with pytest.raises(NameTakenError, match="x exists and belongs to DataFlow f"):
        await bench.do(mine)


async def test_a_secret_with_another_token_is_not_taken_for_ours(bench: Bench) -> None:
    await bench.do(CreateOnce(owned("Secret", data={"token": "b25l"})))
    with pytest.raises(NameTakenError, match="other data"):
        await bench.do(CreateOnce(owned("Secret", data={"token": "dHdv"})))


async def test_a_secret_without_its_owner_is_made_again_with_its_token_and_never_patched(bench: Bench) -> None:
    secret = owned("Secret", data={"token": "b25l"})
    ours = {"accelchain.io/dataflow": "f"}
    secret["metadata"] |= {"labels": ours, "annotations": {"accelchain.io/dataflow-uid": "flow-uid"}}
    lost = copy.deepcopy(secret)
    del lost["metadata"]["ownerReferences"]
    bench.kube.put(kinds.SECRET, lost)
    writes = await bench.do(CreateOnce(secret))
    assert [verb for verb, _, _ in writes if verb != "get"] == ["create", "delete", "create"]
    after = bench.kube.objects["Secret", "ns", "x"]
    assert after["metadata"]["ownerReferences"] == [OWNER] and after["data"] == secret["data"]


async def test_deleting_what_is_gone_or_was_replaced_is_done(bench: Bench) -> None:
    ref = ObjectRef("v1", "Pod", "x", "ns")
    await bench.do(Delete(ref, "u"))
    bench.kube.put(kinds.POD, owned("Pod"))
    await bench.do(Delete(ref, "another-uid"))
    assert ("Pod", "ns", "x") in bench.kube.objects


async def test_a_failed_stage_holds_back_the_next(bench: Bench) -> None:
    bench.kube.fail["create", "Secret", "x"] = ApiError(403, "Forbidden", "no")
    stages = ((CreateOnce(owned("Secret")),), (CreateOnce(owned("Pod")),))
    with pytest.raises(ApiError, match="Forbidden"):
        await bench.applier.run(Actions(stages), "m")
    assert ("Pod", "ns", "x") not in bench.kube.objects


async def test_repeated_events_become_one_with_a_count(bench: Bench) -> None:
    flow = {**FLOW, "metadata": {**FLOW["metadata"], "uid": "u"}}  # type: ignore[dict-item]
    event = Event(flow, "UnknownChain", "spec.chainRef: there is none", warning=True)
    for _ in range(3):
        await bench.do(event)
    await Bench(bench.kube).do(event)  # another process
    await bench.do(Event(flow, "Succeeded", "100 frames"))
    assert [e["reason"] for e in bench.kube.events] == ["UnknownChain", "Succeeded"]
    first = bench.kube.events[0]
    live = bench.kube.objects["Event", "ns", first["metadata"]["name"]]
    assert live["series"]["count"] == 4
    assert (live["type"], live["regarding"]["name"], live["regarding"]["uid"]) == ("Warning", "f", "u")


async def test_an_event_that_cannot_be_written_does_not_hold_up_the_work(bench: Bench) -> None:
    bench.kube.create = _refuse
    await bench.do(Event(FLOW, "Succeeded", "100 frames"))


async def _refuse(*_: Any) -> JsonObject:
    raise ApiError(403, "Forbidden", "events")


@pytest.mark.parametrize(
    ("live", "intent", "differs"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": True}, True),
        ({"a": "1"}, {"a": 1}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, True),
        ({"a": [1, 2]}, {"a": [1]}, True),
        ({"a": {"b": None}}, {"a": {}}, False),
        ({}, {"a": {}}, True),
    ],
)
def test_comparison_is_that_of_json(live: JsonObject, intent: JsonObject, differs: bool) -> None:
    meta = {"metadata": {"name": "x"}}
    assert would_change({**meta, "spec": intent}, {**meta, "spec": live}, "m") is differs


def test_only_the_managers_own_fields_are_taken_back() -> None:
    fields = {"f:spec": {"f:a": {}, "f:tags": {'v:"x"': {}}, "f:list": {'k:{"name":"n"}': {".": {}, "f:name": {}}}}}
    entry = {"manager": "m", "operation": "Apply", "fieldsV1": fields}
    live: JsonObject = {
        "metadata": {"name": "x", "managedFields": [entry]},
        "spec": {"a": 1, "tags": ["x"], "list": [{"name": "n"}]},
    }
    assert not would_change({"spec": live["spec"]}, live, "m")
    assert not would_change({"spec": {}}, live, "somebody else")
    for missing in ("a", "tags", "list"):
        assert would_change({"spec": {k: v for k, v in live["spec"].items() if k != missing}}, live, "m")
