# SPDX-License-Identifier: Apache-2.0
"""Random machines and flows against an oracle that tries every combination."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_operators.scheduler.strategy import Strategy

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
NODES = ("a", "b", "c")
DEVICES = (("host", "cpu", "host"), ("cpu0", "cpu", "opencl"), ("gpu0", "gpu", "opencl"), ("fpga0", "fpga", "opencl"))
TOLERANCE_US = 0.1
"""Costs are counted in whole nanoseconds, loads in millionths."""

chance = st.integers(0, 3)


@st.composite
def machines(draw, make):
    """Return 3 nodes of 4 devices with unequal links, and what others hold of them."""
    resources, taken = [], []
    for name in NODES:
        devices = [
            make.device(
                d, t, a, maxFunctions=draw(st.integers(1, 5)), memoryBytes=draw(st.integers(0, 4)) * 64 * make.MIB
            )
            for d, t, a in DEVICES
        ]
        links = []
        for i, (source, *_) in enumerate(DEVICES):
            for target, *_ in DEVICES[i + 1 :]:
                for mechanism in draw(st.sets(st.sampled_from(make.ALL[1:]), max_size=2)):
                    links.append(make.link(source, target, mechanism, draw(st.integers(1, 900)), draw(chance)))
        if name == "a" and draw(st.booleans()):
            links.append(make.link("host", "b/host", "host-copy", draw(st.integers(1, 900)), 1))
        resources.append(make.node(name, devices, links))
        for d, *_ in DEVICES:
            if not draw(chance):
                taken += make.held(name, d, draw(st.sampled_from([0.0, 0.2, 0.5])))
    return resources, taken


@st.composite
def rules(draw):
    """Return a placement rule, mostly none."""
    if draw(chance):
        return []
    field, values = draw(
        st.sampled_from(
            [
                ("nodes", ["a", "b"]),
                ("excludeNodes", ["a"]),
                ("deviceTypes", ["gpu", "cpu"]),
                ("excludeDeviceTypes", ["fpga"]),
                ("devices", ["gpu0", "c/cpu0", "host"]),
                ("excludeDevices", ["b/gpu0", "cpu0"]),
                ("implementations", ["opencl"]),
            ]
        )
    )
    return [{field: values}]


@st.composite
def flows(draw, make, linear, most, rate=None):
    """Return a chain, or a connected DAG, of up to ``most`` functions."""
    functions, connections = [], []
    rate = rate or draw(st.sampled_from([None, 10.0, 30.0]))
    for i in range(draw(st.integers(1, most))):
        implementations = []
        if draw(chance):
            fps, memory = draw(st.sampled_from([40.0, 70.0, 300.0])), draw(st.sampled_from(["16Mi", "64Mi"]))
            types = draw(st.sampled_from([("cpu", "gpu", "fpga"), ("gpu", "fpga"), ("cpu",)]))
            implementations.append(make.implementation("opencl", "opencl", types, fps, memory))
        if not implementations or draw(st.booleans()):
            implementations.append(make.implementation("python", "host", ("cpu",), draw(st.sampled_from([25.0, 90.0]))))
        functions.append(make.function(f"f{i}", *implementations, rate=rate, rules=draw(rules())))
        sources = {i - 1} if linear else draw(st.sets(st.integers(0, max(i - 1, 0)), min_size=1, max_size=3))
        for source in sorted(sources) if i else ():
            allowed = draw(
                st.sampled_from([make.ALL, make.ALL, make.ALL, ("same-buffer", "host-copy"), ("same-buffer",)])
            )
            connections.append(make.connection(f"f{source}", f"f{i}", allowed, draw(st.integers(0, 3)) * 100_000))
    return make.flow(functions, connections)


def check_single(make, data, linear, most, strategy):
    resources, taken = data.draw(machines(make))
    wanted = data.draw(flows(make, linear, most))
    oracle = make.Oracle(resources, taken, strategy=strategy)
    decision = make.decide(wanted, resources, taken, strategy=strategy)
    best = oracle.best(wanted)
    if best is None:
        assert decision.placement == () and decision.reason in ("NoMatchingDevice", "InsufficientCapacity")
        return decision, None
    assert decision.reason == "Placed", decision.message
    cost = oracle.cost(wanted, decision.placement)
    assert cost == pytest.approx(decision.cost_microseconds, abs=TOLERANCE_US)
    if decision.exact:
        assert cost == pytest.approx(best, abs=TOLERANCE_US)
    assert cost <= best * 1.05 + TOLERANCE_US
    return decision, best


@SETTINGS
@given(st.data())
def test_a_chain_gets_the_cheapest_placement_there_is(make, data):
    decision, _ = check_single(make, data, linear=True, most=6, strategy=Strategy())
    assert decision.exact


@SETTINGS
@given(st.data())
def test_a_dag_of_up_to_seven_functions_is_within_five_percent(make, data):
    check_single(make, data, linear=False, most=7, strategy=Strategy())


@settings(SETTINGS, max_examples=30)
@given(st.data(), st.booleans())
def test_weights_change_what_is_cheapest(make, data, linear):
    strategy = Strategy(links=2.0, load=0.5, packing=3.0, preference=0.0)
    check_single(make, data, linear, most=5, strategy=strategy)


@settings(SETTINGS, max_examples=40)
@given(st.data())
def test_a_batch_books_nothing_twice_and_equals_one_call_after_another(make, data):
    resources, taken = data.draw(machines(make))
    wanted = [data.draw(flows(make, linear=data.draw(st.booleans()), most=4, rate=20.0)) for _ in range(4)]
    wanted += wanted
    requests = [Request(f"default/{i}", w) for i, w in enumerate(wanted)]
    together = place(requests, Inventory.of(resources, taken))
    assert together == place(requests, Inventory.of(list(reversed(resources)), taken)), "order of nodes decides nothing"

    oracle = make.Oracle(resources, taken)
    before = set(oracle.overbooked())
    held, memory = list(taken), [0] * len(taken)
    for request, decision in zip(requests, together, strict=True):
        assert place([request], Inventory.of(resources, held, memory)) == (decision,)
        assert decision.key == request.key
        if decision.placement:
            assert [p.function for p in decision.placement] == [f.name for f in request.flow.functions]
            sizes = make.memory_of(request.flow, decision.placement)
            for function, placed, size in zip(request.flow.functions, decision.placement, sizes, strict=True):
                chosen = next(i for i in function.implementations if i.name == placed.implementation)
                assert oracle.allowed(function, (placed.node, placed.device), chosen)
                oracle.take(placed, size)
            held, memory = held + list(decision.placement), memory + sizes
    assert set(oracle.overbooked()) <= before


@pytest.mark.parametrize("linear", [True, False])
def test_nearly_full_devices_are_filled_in_the_cheapest_way(make, linear):
    """Where the best device has no room for all, what an earlier function takes decides what is left for later ones."""
    placed = 0
    for seed in range(60):
        chance = random.Random(seed)
        names = [f"gpu{i}" for i in range(4)]
        devices = [make.device(name, "gpu", maxFunctions=chance.randint(2, 3)) for name in names]
        links = [make.link(a, b, us=chance.randint(1, 900)) for i, a in enumerate(names) for b in names[:i]]
        functions, connections = [], []
        for i in range(7):
            loads = [chance.choice((0.15, 0.3, 0.45, 0.6)) for _ in range(2)]
            kinds = [make.implementation(f"i{k}", fps=10 / load, memory="0Mi") for k, load in enumerate(loads)]
            allowed = chance.sample(names, chance.randint(2, 4))
            functions.append(make.function(f"f{i}", *kinds, rate=10, rules=[{"devices": allowed}]))
            sources = range(i - 1, i) if linear else chance.sample(range(i), min(i, 2))
            connections += [make.connection(f"f{source}", f"f{i}") for source in sources if source >= 0]
        resources = [make.node("n", devices, links)]
        wanted = make.flow(functions, connections)
        decision = make.decide(wanted, resources)
        best = make.Oracle(resources).best(wanted)
        assert decision.exact
        assert bool(decision.placement) == (best is not None), f"seed {seed}"
        if best is not None:
            assert decision.cost_microseconds == pytest.approx(best, abs=TOLERANCE_US), f"seed {seed}"
            placed += 1
    assert placed > 30, "most of these can be placed"
