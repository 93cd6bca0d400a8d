# SPDX-License-Identifier: Apache-2.0
"""Frames through graphs: every sink sees every frame once, in order, whatever the slots and speeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Document = dict[str, Any]
Run = Callable[..., Document]
Plan = Callable[..., Document]


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Any], list[Any], int]:
    """A random DAG: a source, up to six functions that join up to three earlier ones or run on a device, and sinks."""
    frames = draw(st.integers(0, 9))
    speed = st.sampled_from([0.0, 0.0, 0.0005, 0.002])
    functions: list[Any] = [("f0", "count-source", {"frames": frames, "sleep": draw(speed)})]
    connections: list[Any] = []
    loose = ["f0"]
    for number in range(1, draw(st.integers(1, 6)) + 1):
        name = f"f{number}"
        on_device = draw(st.booleans())
        sources = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=1 if on_device else 3, unique=True))
        if on_device:
            functions.append((name, "increment-kernel", {"step": 0}, "cpu0"))
        else:
            functions.append((name, "merge", {"sleep": draw(speed)}))
        for port, source in zip(["frames"] if on_device else "abc", sources, strict=False):
            connections.append((f"f{source}.frames {name}.{port}", {"slots": draw(st.integers(2, 5))}))
            if f"f{source}" in loose:
                loose.remove(f"f{source}")
        loose.append(name)
    for name in loose:
        functions.append((f"sink-{name}", "collect", {"sleep": draw(speed)}))
        connections.append((f"{name}.frames sink-{name}.frames", {"slots": draw(st.integers(2, 5))}))
    return draw(st.permutations(functions)), draw(st.permutations(connections)), frames


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chains())
def test_every_sink_sees_every_frame_once_and_in_order(
    run_plan: Run, make_plan: Plan, chain: tuple[list[Any], list[Any], int]
) -> None:
    functions, connections, frames = chain
    document = run_plan(make_plan(functions, connections))
    assert document["phase"] == "Succeeded", document["message"]
    seen = {key: value for key, value in document["outputs"]["parameters"].items() if key.endswith(".numbers")}
    assert seen
    assert all(numbers == list(range(frames)) for numbers in seen.values())
    assert document["frames"] == document["total"] == frames


@settings(
    max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chains(), st.integers(0, 12))
def test_a_run_that_is_drained_has_every_frame_up_to_its_last_one(
    begin_run: Any, make_plan: Plan, chain: tuple[list[Any], list[Any], int], frames: int
) -> None:
    functions, connections, _ = chain
    for entry in functions:
        if entry[1] == "count-source":
            entry[2].update(frames=-1)
    run = begin_run(make_plan(functions, connections, mode="Stream"))
    run.until(lambda document: document["phase"] == "Running" and document["frames"] >= frames)
    assert run.run.drain()
    document = run.end()
    assert (document["phase"], document["reason"]) == ("Succeeded", "Stopped"), document["message"]
    seen = [value for key, value in document["outputs"]["parameters"].items() if key.endswith(".numbers")]
    assert all(numbers == list(range(document["frames"])) for numbers in seen)
    assert document["frames"] == document["position"] >= frames
    assert document["warnings"] == []


def test_a_join_of_two_sources_ends_with_the_shorter_and_says_so(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [
                ("long", "count-source", {"frames": -1}),
                ("short", "count-source", {"frames": 4}),
                ("merge", "merge"),
                ("sink", "collect"),
            ],
            ["long.frames merge.a", "short.frames merge.b", "merge.frames sink.frames"],
        )
    )
    assert document["phase"] == "Succeeded", document["message"]
    assert document["outputs"]["parameters"]["sink.numbers"] == [0, 1, 2, 3]
    assert document["warnings"] == ["merge: its input b ended after 4 frames; what a has beyond is not used"]


def test_a_join_of_equal_sources_warns_of_nothing(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [("x", "count-source"), ("y", "count-source", {"sleep": 0.001}), ("merge", "merge"), ("sink", "collect")],
            ["x.frames merge.a", "y.frames merge.b", "merge.frames sink.frames"],
        )
    )
    assert document["phase"] == "Succeeded"
    assert document["warnings"] == []
    assert document["frames"] == 5


def test_the_longer_source_goes_on_for_a_sink_of_its_own(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [
                ("long", "count-source", {"frames": 9}),
                ("short", "count-source", {"frames": 2}),
                ("merge", "merge"),
                ("sink", "collect"),
                ("all", "collect"),
            ],
            ["long.frames merge.a", "short.frames merge.b", "merge.frames sink.frames", "long.frames all.frames"],
        )
    )
    outputs = document["outputs"]["parameters"]
    assert outputs["sink.numbers"] == [0, 1]
    assert outputs["all.numbers"] == list(range(9))


def test_parts_without_a_connection_run_side_by_side(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": 3, "width": 16}),
                ("y", "count-source", {"frames": 7}),
                ("sink-x", "collect"),
                ("sink-y", "collect"),
            ],
            ["x.frames sink-x.frames", "y.frames sink-y.frames"],
        )
    )
    assert document["outputs"]["parameters"]["sink-x.numbers"] == [0, 1, 2]
    assert document["outputs"]["parameters"]["sink-y.numbers"] == list(range(7))
    assert document["outputs"]["parameters"]["sink-x.size"] == [16, 4]
    assert document["frames"] == document["total"] == 7


def test_a_function_that_nobody_reads_works_on_every_frame(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(make_plan([("x", "count-source"), ("relay", "relay")], ["x.frames relay.frames"]))
    assert document["phase"] == "Succeeded", document["message"]
    assert {f["name"]: f["frames"] for f in document["functions"]} == {"x": 5, "relay": 5}


def test_a_source_that_ends_early_succeeds_with_a_warning(run_plan: Run, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [("x", "count-source", {"frames": 3, "warning": "the file is cut"}), ("sink", "collect")],
            ["x.frames sink.frames"],
        )
    )
    assert document["phase"] == "Succeeded"
    assert document["warnings"] == ["x: the file is cut"]
    assert document["frames"] == 3


def test_latency_shows_on_its_edge_and_on_no_other(run_plan: Run, make_plan: Plan) -> None:
    functions = [
        ("x", "count-source", {"frames": 12}),
        ("left", "relay"),
        ("right", "relay"),
        ("merge", "merge"),
        ("sink", "collect"),
    ]
    slow = ("x.frames left.frames", {"latencyMicroseconds": 100_000})
    rest = ["x.frames right.frames", "left.frames merge.a", "right.frames merge.b", "merge.frames sink.frames"]
    document = run_plan(make_plan(functions, [slow, *rest]))
    assert document["outputs"]["parameters"]["sink.numbers"] == list(range(12))
    figures = {(edge["from"], edge["to"]): edge["microseconds"] for edge in document["edges"]}
    delayed = figures.pop(("x.frames", "left.frames"))
    assert delayed >= 100_000
    assert max(figures.values()) < 50_000
    # credits of four frames: twelve frames take three delays, not twelve
    assert document["seconds"] < 0.1 * 12


@pytest.mark.parametrize("where", ["setup", "enqueue", "finish"])
def test_a_failure_names_the_function(run_plan: Run, make_plan: Plan, where: str) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": -1 if where == "enqueue" else 5}),
                ("bad", "fail", {"where": where}),
                ("sink", "collect"),
            ],
            ["x.frames bad.frames", "bad.frames sink.frames"],
        )
    )
    assert (document["phase"], document["reason"]) == ("Failed", "FunctionFailed")
    assert document["message"] == "bad: ValueError: broken"


@pytest.mark.parametrize("where", ["setup", "enqueue"])
def test_bad_input_names_the_field_it_came_from(run_plan: Run, make_plan: Plan, where: str) -> None:
    plan = make_plan(
        [("x", "count-source"), ("bad", "fail", {"where": where, "kind": "input"}), ("sink", "collect")],
        ["x.frames bad.frames", "bad.frames sink.frames"],
    )
    plan["functions"][1]["origins"] = {"where": "spec.parameters.place"}
    document = run_plan(plan)
    assert (document["reason"], document["parameter"]) == ("InvalidInput", "spec.parameters.place")
    assert document["message"] == "bad: it is bad"


def test_a_failed_run_leaves_no_unfinished_file(run_plan: Run, make_plan: Plan, tmp_path: Any) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": 9}),
                ("sink", "collect", {"uri": str(tmp_path / "out")}),
                ("bad", "fail", {"where": "enqueue"}),
                ("end", "collect"),
            ],
            ["x.frames sink.frames", "x.frames bad.frames", "bad.frames end.frames"],
        )
    )
    assert document["phase"] == "Failed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("functions", "connections", "message"),
    [
        ([("x", "no-such")], [], "x: this worker has no function no-such."),
        (
            [("x", "count-source", {"frames": "many"})],
            [],
            "x: parameter frames is 'many'; give a value of type integer.",
        ),
        ([("x", "count-source", {"fps": 1})], [], "x: unknown parameter fps"),
        ([("x", "count-source"), ("s", "collect")], [], "Input s.frames is not connected."),
        ([("x", "count-source"), ("s", "collect")], ["x.film s.frames"], "x has no port film in outputs"),
        ([("x", "count-source"), ("s", "collect")], ["y.frames s.frames"], "there is no function y"),
        ([("a", "relay"), ("b", "relay")], ["a.frames b.frames", "b.frames a.frames"], "cycle among a, b"),
        ([("x", "count-source"), ("x", "count-source")], [], "Two functions are named x."),
    ],
)
def test_plans_that_can_not_be_run(
    run_plan: Run, make_plan: Plan, functions: list[Any], connections: list[str], message: str
) -> None:
    document = run_plan(make_plan(functions, connections))
    assert (document["phase"], document["reason"]) == ("Failed", "InvalidInput")
    assert message in document["message"]
