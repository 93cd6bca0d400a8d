# SPDX-License-Identifier: Apache-2.0
"""Flows get devices, wait with a reason, and give devices back: what the scheduler writes, and when nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.schedule import MESSAGE_PERIOD, ScheduleSnapshot, reconcile

API = "accelchain.io/v1alpha1"


def obj(kind, name, spec, **meta):
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "uid": f"uid-{name}", **meta}, "spec": spec}


def function_type(name="copy", fps=10.0):
    implementation = {"name": "opencl", "api": "opencl", "deviceTypes": ["cpu", "gpu"], "entrypoint": "f:F"}
    port = {"name": "frames", "type": "frames", "shape": ["h", "w", 3]}
    spec = {
        "version": "1.0.0",
        "role": "source",
        "outputs": [port],
        "implementations": [{**implementation, "framesPerSecond": fps, "memory": "64Mi"}],
    }
    return obj("FunctionType", name, spec)


def node(name="n", **device):
    spec = {"nodeName": name, "devices": [{"name": "gpu0", "type": "gpu", "api": "opencl", **device}]}
    return obj("ComputeResource", name, spec)


def flow(name, rate=6.0, age=0, namespace="default", accepted=1, **spec):
    """Return an accepted flow of one function; ``age`` in minutes."""
    chain = {"functions": [{"name": "make", "type": "copy"}]}
    found = obj(
        "DataFlow",
        name,
        {"chain": chain, "rate": {"framesPerSecond": rate}, **spec} if rate else {"chain": chain, **spec},
        namespace=namespace,
        generation=1,
        creationTimestamp=f"2030-01-01T00:{59 - age:02}:00Z",
    )
    condition = {"type": "Accepted", "status": "True", "reason": "Valid", "message": "", "observedGeneration": accepted}
    functions = [{"name": "make", "type": "copy", "version": "1.0.0"}]
    found["status"] = {"conditions": [condition], "chain": {"generation": 1, "functions": functions}}
    return found


def snapshot(*flows, resources=None, types=None, **more):
    resources = (node(),) if resources is None else tuple(resources)
    return ScheduleSnapshot(flows=flows, types=tuple(types or (function_type(),)), resources=resources, **more)


def statuses(actions):
    """Return what was written: name of the flow → (condition, placement)."""
    written = [action.obj for stage in actions.stages for action in stage]
    assert all(set(o["status"]) <= {"conditions", "placement", "deviceNames", "placedAttempt"} for o in written), (
        "it owns nothing else"
    )
    assert all([c["type"] for c in o["status"]["conditions"]] == ["Scheduled"] for o in written)
    return {o["metadata"]["name"]: (o["status"]["conditions"][0], o["status"].get("placement")) for o in written}


def applied(snap, actions):
    """Return the snapshot as it is after the actions: what the scheduler owned before and left out is gone."""
    flows = {f["metadata"]["name"]: copy.deepcopy(f) for f in snap.flows}
    for name, (condition, placement) in statuses(actions).items():
        status = flows[name]["status"]
        others = [c for c in status["conditions"] if c["type"] != "Scheduled"]
        status["conditions"] = [*others, {**condition, "lastTransitionTime": "2030-01-01T01:00:00Z"}]
        status.pop("placement", None)
        if placement:
            status["placement"] = placement
    return ScheduleSnapshot(
        tuple(flows.values()), snap.chains, snap.types, snap.connection_types, snap.strategies, snap.resources
    )


def settle(snap):
    after = applied(snap, reconcile(snap))
    assert reconcile(after) == Actions(), "nothing is written at rest"
    return after


def set_condition(found, type, status="True"):
    found["status"]["conditions"].append({"type": type, "status": status, "reason": "Test", "observedGeneration": 1})


def named(snap, name):
    return next(f for f in snap.flows if f["metadata"]["name"] == name)


def test_an_accepted_flow_is_placed():
    condition, placement = statuses(reconcile(snapshot(flow("a"))))["a"]
    assert (condition["status"], condition["reason"], condition["observedGeneration"]) == ("True", "Placed", 1)
    assert condition["message"] == "Placed on n/gpu0"
    assert placement == [
        {
            "function": "make",
            "node": "n",
            "device": "gpu0",
            "deviceType": "gpu",
            "api": "opencl",
            "implementation": "opencl",
            "version": "1.0.0",
            "load": 0.6,
        }
    ]


def test_the_devices_of_a_placement_are_told_in_a_line():
    functions = [{"name": name, "type": "copy"} for name in ("make", "again")]
    found = flow("a", rate=1.0, chain={"functions": functions})
    found["status"]["chain"]["functions"] = [{**f, "version": "1.0.0"} for f in functions]
    (action,) = reconcile(snapshot(found)).stages[0]
    assert action.obj["status"]["deviceNames"] == "gpu0"  # once, for two functions


def test_the_status_names_the_flow_by_uid_so_that_a_successor_is_not_told():
    (action,) = reconcile(snapshot(flow("a"))).stages[0]
    assert action.obj["metadata"] == {"name": "a", "namespace": "default", "uid": "uid-a"}


@pytest.mark.parametrize("change", ["not accepted", "accepted before the change", "finished", "failed", "deleted"])
def test_others_are_left_alone(change):
    found = flow("a", accepted=0 if change == "accepted before the change" else 1)
    if change == "not accepted":
        found["status"]["conditions"][0]["status"] = "False"
    elif change == "accepted before the change":
        found["status"]["conditions"][0]["observedGeneration"] = 1
        found["metadata"]["generation"] = 2
    elif change == "deleted":
        found["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    else:
        set_condition(found, "Succeeded" if change == "finished" else "Failed")
    assert reconcile(snapshot(found)) == Actions()


def test_the_oldest_flow_goes_first_whatever_order_they_come_in():
    young, old = flow("a", age=1), flow("b", age=2)
    for flows in ((young, old), (old, young)):
        written = statuses(reconcile(snapshot(*flows)))
        assert {name: c["status"] for name, (c, _) in written.items()} == {"b": "True", "a": "False"}
    waits, placement = written["a"]
    assert (waits["reason"], placement) == ("InsufficientCapacity", None)
    assert waits["message"].startswith("n/gpu0 lacks load (needs 0.6 of the device, 0.4 is free) for make.")


def test_flows_of_one_name_in_two_namespaces_are_two_flows():
    written = reconcile(snapshot(flow("a", rate=4), flow("a", rate=4, namespace="other"))).stages[0]
    assert {(w.obj["metadata"]["namespace"], w.obj["status"]["conditions"][0]["status"]) for w in written} == {
        ("default", "True"),
        ("other", "True"),
    }


def test_a_flow_that_waits_does_not_hold_up_a_smaller_one():
    after = settle(snapshot(flow("taken", age=9)))
    written = statuses(reconcile(snapshot(*after.flows, flow("large", age=5), flow("small", rate=3))))
    assert {name: c["status"] for name, (c, _) in written.items()} == {"large": "False", "small": "True"}


@pytest.mark.parametrize("end", ["Succeeded", "Failed", "deleted"])
def test_a_flow_that_ends_gives_its_devices_to_the_one_that_waits(end):
    after = settle(snapshot(flow("first", age=2), flow("second", age=1)))
    if end == "deleted":
        named(after, "first")["metadata"]["deletionTimestamp"] = "2030-01-01T01:00:00Z"
    else:
        set_condition(named(after, "first"), end)
    assert statuses(reconcile(after))["second"][0]["status"] == "True"


def test_memory_of_placed_flows_counts():
    resources = [node(memoryBytes=100 * 2**20)]
    after = settle(snapshot(flow("first", rate=None, age=1), resources=resources))
    written = statuses(reconcile(snapshot(*after.flows, flow("second", rate=None), resources=resources)))
    assert "lacks memory (needs 64 MiB, 36 MiB is free)" in written["second"][0]["message"]


def test_a_placement_whose_device_vanished_is_decided_anew_unless_the_flow_runs():
    after = settle(snapshot(flow("a"), resources=[node("gone")]))
    moved = snapshot(*after.flows, resources=[node("here")])
    assert statuses(reconcile(moved))["a"][1][0]["node"] == "here"
    empty = snapshot(*after.flows, resources=[])
    condition, placement = statuses(reconcile(empty))["a"]
    assert (condition["status"], condition["reason"], placement) == ("False", "NoInventory", None)
    set_condition(named(moved, "a"), "Running")
    assert reconcile(moved) == Actions()


def test_a_spec_that_was_changed_and_accepted_before_the_start_is_decided_anew():
    after = settle(snapshot(flow("a")))
    changed = named(after, "a")
    changed["metadata"]["generation"] = 2
    assert reconcile(after) == Actions(), "not accepted yet"
    changed["spec"]["rate"]["framesPerSecond"] = 2.0
    changed["status"]["conditions"][0]["observedGeneration"] = 2
    condition, placement = statuses(reconcile(after))["a"]
    assert (condition["observedGeneration"], placement[0]["load"]) == (2, 0.2)


def test_a_chain_that_was_changed_and_accepted_again_before_the_start_is_decided_anew():
    after = settle(snapshot(flow("a", rate=None)))
    more = {"name": "more", "type": "copy", "version": "1.0.0"}
    changed = named(after, "a")
    changed["spec"]["chain"]["functions"].append({"name": "more", "type": "copy"})  # as if it were a chainRef
    changed["status"]["chain"]["functions"].append(more)
    _, placement = statuses(reconcile(after))["a"]
    assert [entry["function"] for entry in placement] == ["make", "more"]


def test_a_flow_whose_type_was_deleted_after_it_was_accepted_is_left_to_the_dataflow_controller():
    other = function_type("other")
    written = statuses(reconcile(snapshot(flow("a"), types=[other])))
    assert written == {}


def test_messages_of_flows_that_wait_follow_when_they_are_due_and_not_with_every_change():
    resources = [node(maxFunctions=3)]
    first, second = flow("first", rate=None, age=5), flow("second", rate=None, age=4)
    third, large = flow("third", rate=None, age=3), flow("large", rate=None, age=2)
    after = settle(snapshot(first, second, third, large, resources=resources))
    assert "0 of 3 are free" in named(after, "large")["status"]["conditions"][-1]["message"]
    named(after, "third")["metadata"]["deletionTimestamp"] = "2030-01-01T01:00:00Z"
    named(after, "large")["spec"]["chain"]["functions"].append({"name": "more", "type": "copy"})
    assert reconcile(replace(after, messages_due=False)) == Actions((), MESSAGE_PERIOD)
    condition, _ = statuses(reconcile(after))["large"]
    assert "needs 2, 1 of 3 are free" in condition["message"]
    named(after, "second")["metadata"]["deletionTimestamp"] = "2030-01-01T01:00:00Z"
    assert statuses(reconcile(replace(after, messages_due=False)))["large"][0]["status"] == "True"


def test_one_flow_that_does_not_fit_the_model_does_not_stop_the_others():
    written = statuses(reconcile(snapshot(flow("bad", age=1, unheardOf=1), flow("good"))))
    assert {name: c["status"] for name, (c, _) in written.items()} == {"good": "True"}


def test_the_strategy_that_a_flow_names_is_used():
    strategy = obj("SchedulingStrategy", "pack", {"scores": [{"name": "Packing", "weight": 1}]})
    device = {"type": "gpu", "api": "opencl"}
    resources = obj(
        "ComputeResource", "n", {"nodeName": "n", "devices": [{"name": "a", **device}, {"name": "b", **device}]}
    )
    flows = [flow(name, rate=1, strategyRef={"name": "pack"}) for name in ("x", "y")]
    packed = statuses(reconcile(snapshot(*flows, resources=[resources], strategies=(strategy,))))
    assert {placement[0]["device"] for _, placement in packed.values()} == {"a"}
    spread = statuses(reconcile(snapshot(flow("x", rate=1), flow("y", rate=1), resources=[resources])))
    assert {placement[0]["device"] for _, placement in spread.values()} == {"a", "b"}


def test_a_flow_takes_chains_of_its_own_namespace_only():
    chains = tuple(
        obj("FunctionChain", "c", {"functions": [{"name": name, "type": "copy"}]}, namespace=namespace, generation=1)
        for namespace, name in (("default", "mine"), ("other", "theirs"))
    )
    found = flow("a")
    del found["spec"]["chain"]
    found["spec"]["chainRef"] = {"name": "c"}
    _, placement = statuses(reconcile(snapshot(found, chains=chains)))["a"]
    assert [entry["function"] for entry in placement] == ["mine"]


def test_nothing_is_placed_on_a_stale_node_and_what_waits_there_moves():
    one = settle(snapshot(flow("a"), resources=[node("n"), node("m")]))
    before = named(one, "a")["status"]["placement"][0]["node"]
    moved = replace(one, stale_nodes=frozenset({before}))
    after = statuses(reconcile(moved))["a"][1][0]["node"]
    assert {before, after} == {"n", "m"}
    alone = replace(snapshot(flow("b"), resources=[node("n")]), stale_nodes=frozenset({"n"}))
    assert statuses(reconcile(alone))["b"][0]["status"] == "False"


def test_a_running_flow_on_a_stale_node_keeps_its_place():
    one = settle(snapshot(flow("a"), resources=[node("n"), node("m")]))
    set_condition(named(one, "a"), "Running")
    assert reconcile(replace(one, stale_nodes=frozenset({"n", "m"}))) == Actions()


def test_a_new_attempt_is_placed_anew():
    one = settle(snapshot(flow("a"), resources=[node("n"), node("m")]))
    found = named(one, "a")
    found["status"]["attempt"] = 2
    where = found["status"]["placement"][0]["node"]
    (written,) = reconcile(replace(one, stale_nodes=frozenset({where}))).stages[0]
    assert written.obj["status"]["placedAttempt"] == 2
    assert written.obj["status"]["placement"][0]["node"] != where


def test_a_suspended_flow_holds_nothing_and_others_get_its_place():
    one = settle(snapshot(flow("a", age=9), flow("b")))
    assert named(one, "b")["status"].get("placement") is None, "there is room for one"
    named(one, "a")["status"]["conditions"].append(
        {"type": "Running", "status": "False", "reason": "Suspended", "observedGeneration": 1}
    )
    written = statuses(reconcile(one))
    assert (written["a"][0]["reason"], written["a"][1]) == ("Suspended", None)
    assert written["b"][0]["status"] == "True"


def test_a_dry_run_is_placed_with_all_others_in_view_and_takes_nothing():
    one = settle(snapshot(flow("dry", age=9, dryRun=True), flow("a")))
    assert named(one, "a")["status"]["placement"], "the dry run came first, and took nothing"
    assert named(one, "dry")["status"].get("placement") is None, "what it would find now"
    alone = settle(snapshot(flow("dry", dryRun=True), flow("dry2", dryRun=True)))
    assert all(f["status"]["placement"] for f in alone.flows)
    later = settle(replace(alone, flows=(*alone.flows, flow("a"))))
    assert named(later, "a")["status"]["placement"]


def test_a_paused_flow_keeps_what_it_has_and_is_not_decided_on():
    paused = {"accelchain.io/paused": "true"}
    one = settle(snapshot(flow("a", age=9), flow("b")))
    named(one, "a")["metadata"]["annotations"] = paused
    assert reconcile(replace(one, resources=(node("m"),))).stages, "the other one moves"
    assert "a" not in statuses(reconcile(replace(one, resources=(node("m"),))))
    waiting = flow("c")
    waiting["metadata"]["annotations"] = paused
    assert reconcile(snapshot(waiting)) == Actions()
