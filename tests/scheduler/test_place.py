# SPDX-License-Identifier: Apache-2.0
"""What users see of placement: where functions go, and what they are told when they must wait."""

from __future__ import annotations

import pytest

from accelchain.api.scheduling_strategy import SchedulingStrategy
from accelchain.chain.lineage import LineageError
from accelchain_operators.scheduler.demand import quantity_bytes
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_operators.scheduler.strategy import DEFAULT_MAX_STEPS, Strategy


@pytest.fixture
def laptop(make):
    return make.node(
        "laptop",
        [make.device("host", api="host"), make.device("cpu0")],
        [make.link("host", "cpu0", "shared-host", 4), make.link("host", "cpu0", "host-copy", 9, 10)],
    )


@pytest.fixture
def server(make):
    """A host, a CPU and two GPUs, linked by PCIe."""
    devices = [
        make.device("host", api="host"),
        make.device("cpu0"),
        make.device("gpu0", "gpu"),
        make.device("gpu1", "gpu"),
    ]
    links = [make.link("host", "cpu0", "shared-host", 4), make.link("gpu0", "gpu1", "peer-copy", 15, 20)]
    links += [make.link(a, b, "host-copy", 20, 10) for a in ("host", "cpu0") for b in ("gpu0", "gpu1")]
    return make.node("server", devices, links)


def where(decision):
    return {p.function: f"{p.node}/{p.device}" for p in decision.placement}


def demo(make, rate=8.0):
    """Return the person detection chain: a branch and two joins, detection by OpenCL or on the host."""
    host = make.implementation("python", "host", ("cpu",), 200)
    opencl = make.implementation(fps=30)
    names = ("decode", "resize", "detect", "draw", "encode", "write")
    kinds = {
        "resize": [make.implementation(fps=700)],
        "detect": [opencl, {**host, "name": "onnx", "framesPerSecond": 33}],
    }
    functions = [make.function(n, *kinds.get(n, [host]), rate=rate) for n in names]
    edges = [("decode", "resize", None), ("resize", "detect", 270_000), ("decode", "draw", None)]
    edges += [("detect", "draw", 2400), ("draw", "encode", None), ("detect", "write", 2400)]
    return make.flow(functions, [make.connection(a, b, size=size) for a, b, size in edges])


@pytest.mark.parametrize("rate", [None, 8.0])
def test_on_a_laptop_kernels_run_by_opencl_on_the_cpu_and_the_rest_on_the_host(make, laptop, rate):
    decision = make.decide(demo(make, rate), [laptop])
    assert decision.exact and decision.reason == "Placed"
    assert {f for f, at in where(decision).items() if at == "laptop/cpu0"} == {"resize", "detect"}
    assert {f for f, at in where(decision).items() if at == "laptop/host"} == {"decode", "draw", "encode", "write"}
    detect = decision.placement[2]
    assert (detect.implementation, detect.api, detect.device_type, detect.version) == (
        "opencl",
        "opencl",
        "cpu",
        "1.2.3",
    )
    assert detect.load == pytest.approx(rate / 30 if rate else 0, abs=1e-6)


def test_an_accelerator_goes_before_the_cpu_and_neighbours_share_it(make, server):
    assert set(where(make.decide(make.flow([make.function("a"), make.function("b")]), [server])).values()) == {
        "server/gpu0"
    }


def test_flows_spread_over_equal_devices(make, server):
    flow = make.flow([make.function("a")])
    decisions = place([Request(str(i), flow) for i in range(4)], Inventory.of([server]))
    assert [where(d)["a"] for d in decisions] == ["server/gpu0", "server/gpu1"] * 2


def test_packing_keeps_them_together(make, server):
    flow = make.flow([make.function("a")])
    strategy = Strategy(packing=1.0)
    decisions = place([Request(str(i), flow, strategy) for i in range(4)], Inventory.of([server]))
    assert [where(d)["a"] for d in decisions] == ["server/gpu0"] * 4


def test_a_chain_too_heavy_for_one_device_is_split_where_it_costs_least(make, server):
    functions = [make.function(n, make.implementation(types=("gpu",)), rate=40) for n in "abcd"]
    edges = [make.connection(a, b, size=s) for a, b, s in (("a", "b", 10**6), ("b", "c", 10**3), ("c", "d", 10**6))]
    at = where(make.decide(make.flow(functions, edges), [server]))
    assert at["a"] == at["b"] != at["c"] == at["d"]


def test_chains_do_not_cross_nodes_without_a_link(make):
    gpu = make.node("a", [make.device("gpu0", "gpu")])
    host = make.node("b", [make.device("host", api="host")])
    flow = make.flow([make.function("f"), make.function("g", make.implementation("python", "host", ("cpu",)))])
    decision = make.decide(flow, [gpu, host])
    assert decision.reason == "NoMatchingDevice"
    assert decision.message.startswith("no two devices for f and g have a link by host-copy or peer-copy")
    linked = make.node("b", [make.device("host", api="host")], [make.link("a/gpu0", "host", us=100)])
    assert where(make.decide(flow, [gpu, linked])) == {"f": "a/gpu0", "g": "b/host"}


def test_parts_that_are_not_connected_share_a_node_all_the_same(make):
    gpu = make.node("a", [make.device("gpu0", "gpu")])
    host = make.node("b", [make.device("host", api="host")])
    functions = [make.function("f"), make.function("g", make.implementation("python", "host", ("cpu",)))]
    decision = make.decide(make.flow(functions, []), [gpu, host])
    assert decision.reason == "NoMatchingDevice"
    assert decision.message.startswith(
        "Every function fits a device, but no set of linked devices (a node) fits them all"
    )


def test_an_edge_uses_only_the_mechanisms_of_its_connection_type(make, server):
    functions = [make.function("a", rules=[{"devices": ["gpu0"]}]), make.function("b", rules=[{"devices": ["cpu0"]}])]
    assert make.decide(make.flow(functions, [make.connection("a", "b", ["host-copy"])]), [server]).reason == "Placed"
    refused = make.decide(make.flow(functions, [make.connection("a", "b", ["peer-copy"])]), [server])
    assert (refused.reason, refused.message) == (
        "NoMatchingDevice",
        "no two devices for a and b have a link by peer-copy.",
    )


def test_host_copy_is_possible_within_one_device(make, laptop):
    flow = make.flow([make.function("a"), make.function("b")], [make.connection("a", "b", ["host-copy"], 10**6)])
    decision = make.decide(flow, [laptop])
    assert set(where(decision).values()) == {"laptop/cpu0"}


def test_no_inventory(make):
    decision = make.decide(make.flow([make.function("a")]), [])
    assert (decision.placement, decision.reason) == ((), "NoInventory")


def test_no_matching_device_says_what_ruled_each_device_out(make, server):
    flow = make.flow(
        [make.function("a", rules=[{"deviceTypes": ["gpu", "fpga"]}, {"excludeDevices": ["server/gpu0", "gpu1"]}])]
    )
    decision = make.decide(flow, [server])
    assert decision.reason == "NoMatchingDevice"
    assert decision.message == "a fits none of 4 devices (2 ruled out by deviceTypes; 2 ruled out by excludeDevices)."
    fpga = make.decide(make.flow([make.function("a", make.implementation(types=("fpga",)))]), [server])
    assert fpga.message == "a fits none of 4 devices (4 not opencl on fpga)."
    unknown = make.decide(make.flow([make.function("a", rules=[{"implementations": ["other"]}])]), [server])
    assert unknown.message == "a has no implementation that the placement rules allow."


@pytest.mark.parametrize(
    ("limits", "taken", "sentence"),
    [
        ({}, 0.7, "n/gpu0 lacks load (needs 0.4 of the device, 0.3 is free) for a."),
        ({"maxFunctions": 1}, 0.0, "n/gpu0 lacks places (needs 1, 0 of 1 are free) for a."),
        ({"memoryBytes": 100 * 2**20}, 0.0, "n/gpu0 lacks memory (needs 64 MiB, 36 MiB is free) for a."),
    ],
)
def test_insufficient_capacity_says_which_device_lacks_what(make, limits, taken, sentence):
    resources = [make.node("n", [make.device("gpu0", "gpu", **limits)])]
    flow = make.flow([make.function("a", rate=40)])
    decision = make.decide(flow, resources, make.held("n", "gpu0", taken), [64 * make.MIB])
    assert decision.reason == "InsufficientCapacity"
    assert decision.message == f"{sentence} No other device that fits has the room either."
    assert make.decide(flow, resources).reason == "Placed", "it would fit an empty device"


def test_a_large_flow_that_waits_does_not_block_a_small_one(make, server):
    large = make.flow([make.function(f"f{i}", make.implementation(types=("gpu",)), rate=80) for i in range(3)])
    decisions = place(
        [Request("large", large), Request("small", make.flow([make.function("a", rate=80)]))], Inventory.of([server])
    )
    assert [d.reason for d in decisions] == ["InsufficientCapacity", "Placed"]


def test_memory_is_not_counted_where_the_strategy_leaves_that_filter_out(make):
    resources = [make.node("n", [make.device("gpu0", "gpu", memoryBytes=make.MIB)])]
    flow = make.flow([make.function("a")])
    assert make.decide(flow, resources).reason == "InsufficientCapacity"
    assert make.decide(flow, resources, strategy=Strategy(memory=False)).reason == "Placed"


def test_a_search_that_ends_early_says_so(make):
    devices = [make.device(f"gpu{i}", "gpu", maxFunctions=2) for i in range(6)]
    links = [make.link(f"gpu{i}", f"gpu{j}", us=10 + 7 * i + j) for i in range(6) for j in range(i)]
    names = [f"f{i}" for i in range(12)]
    edges = [make.connection(names[i], names[j]) for i in range(12) for j in (i + 1, i + 4) if j < 12]
    flow = make.flow([make.function(n) for n in names], edges)
    decision = make.decide(flow, [make.node("n", devices, links)], strategy=Strategy(max_steps=100))
    assert decision.reason == "Placed" and not decision.exact
    assert "maxSteps" in decision.message


def test_a_chain_of_a_hundred_functions_is_exact(make):
    devices = [make.device(f"gpu{i}", "gpu", maxFunctions=40) for i in range(4)]
    links = [make.link(f"gpu{i}", f"gpu{j}", us=10 * (i + j)) for i in range(4) for j in range(i)]
    flow = make.flow([make.function(f"f{i}") for i in range(100)])
    decision = make.decide(flow, [make.node("n", devices, links)], strategy=Strategy(load=0))
    assert decision.exact and len(decision.placement) == 100
    assert decision.cost_microseconds == 10 + 20, "three devices in a row: gpu1, gpu0, gpu2"


def strategy_resource(name, **spec):
    return SchedulingStrategy.model_validate({"metadata": {"name": name}, "spec": spec})


def test_a_strategy_inherits_what_it_does_not_say():
    known = {
        "base": strategy_resource(
            "base", scores=[{"name": "Links", "weight": 3}], maxSteps=500, filters=["Rules", "Capacity"]
        ),
        "mine": strategy_resource("mine", extends={"name": "base"}, maxSteps=900, candidates=5),
    }
    assert Strategy.resolve(None, known) == Strategy(max_steps=DEFAULT_MAX_STEPS)
    mine = Strategy.resolve("mine", known)
    assert mine == Strategy(links=3, load=0, packing=0, preference=0, memory=False, candidates=5, max_steps=900)


def test_a_strategy_that_is_missing_or_extends_itself_is_refused():
    known = {"a": strategy_resource("a", extends={"name": "b"}), "b": strategy_resource("b", extends={"name": "a"})}
    with pytest.raises(LineageError, match=r"in a circle \(a → b → a\)"):
        Strategy.resolve("a", known)
    with pytest.raises(LineageError, match="no SchedulingStrategy 'c', which 'd' extends"):
        Strategy.resolve("d", {"d": strategy_resource("d", extends={"name": "c"})})


@pytest.mark.parametrize(("text", "size"), [("64Mi", 64 * 2**20), ("1.5Gi", 3 * 2**29), ("5k", 5000), ("123", 123)])
def test_quantities_are_bytes(text, size):
    assert quantity_bytes(text) == size
