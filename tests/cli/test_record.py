# SPDX-License-Identifier: Apache-2.0
"""The record of a run, and what is made of it: words, charts, a picture, a page."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from accelchain.cli.charts import bars, lines, ticks, timeline
from accelchain.cli.describe import describe_flow
from accelchain.cli.graph_svg import Arrow, Box, draw
from accelchain.cli.outcome import exit_code
from accelchain.cli.record import Appearance, RunRecord
from accelchain.cli.report import render
from accelchain.cli.wording import columns, latency, microseconds, shorten


def flow(phase: str = "Pending", *conditions: tuple[str, str, str, str], **status: Any) -> dict[str, Any]:
    fields = ("type", "status", "reason", "message")
    return {
        "kind": "DataFlow",
        "metadata": {"name": "f", "namespace": "default", "uid": "1"},
        "spec": {"inputs": {}, "outputs": {"film": {"uri": "file:///out/a.mp4"}}},
        "status": {
            "phase": phase,
            "conditions": [dict(zip(fields, condition, strict=True)) for condition in conditions],
            **status,
        },
    }


@pytest.fixture
def record():
    return RunRecord("f")


def test_a_resource_appears_once_and_then_with_each_new_state(record):
    first = record.see(flow("Pending"), 1.0)
    assert first is not None and first.states == [(1.0, "Pending")]
    assert record.see(flow("Pending"), 2.0) is None
    again = record.see(flow("Running"), 3.0)
    assert again is first and first.states[-1] == (3.0, "Running") and first.seconds == 1.0


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (flow("Succeeded", ("Succeeded", "True", "Completed", "")), 0),
        (flow("Failed", ("Failed", "True", "FunctionFailed", "broke")), 1),
        (flow("Failed", ("Failed", "True", "WorkerLost", "gone")), 1),
        (flow("Failed", ("Failed", "True", "InvalidInput", "no video")), 2),
        (flow("Refused", ("Accepted", "False", "UnknownDevice", "no cpu7")), 2),
        (flow("Running", ("Running", "True", "WorkerRunning", "")), 1),
    ],
)
def test_exit_codes(record, seen, code):
    record.see(seen, 1.0)
    assert exit_code(record) == code


def test_why_a_flow_waits(record):
    record.see(flow("Pending", ("Scheduled", "False", "InsufficientCapacity", "cpu0 is full")), 1.0)
    assert record.waiting == "InsufficientCapacity: cpu0 is full"
    record.see(flow("Failed", ("Scheduled", "False", "X", ""), ("Failed", "True", "Y", "")), 2.0)
    assert record.waiting == ""


def test_figures_come_from_the_worker_while_it_runs_and_from_the_status_at_the_end(record):
    record.see(flow("Running", progress={"frames": 10, "framesPerSecond": 5.0}), 1.0)
    record.add_sample({"frames": 40, "framesPerSecond": 20.0}, 2.0)
    assert (record.frames, record.frames_per_second) == (40, 20.0)
    end = flow("Succeeded", ("Succeeded", "True", "Completed", ""), progress={"frames": 100, "framesPerSecond": 30.0})
    record.see(end, 3.0)
    assert (record.frames, record.frames_per_second) == (100, 30.0)


def test_a_pod_that_waits_says_what_for(record):
    waiting = {"state": {"waiting": {"reason": "PreparingKernels", "message": "kernels are compiled"}}}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending", "containerStatuses": [waiting]}}
    seen = record.see(pod, 1.0)
    assert seen is not None and (seen.detail, seen.states) == ("kernels are compiled", [(1.0, "PreparingKernels")])
    pod["status"] = {"phase": "Running", "podIP": "127.0.0.9"}
    again = record.see(pod, 2.0)
    assert again is not None and (again.detail, again.states[-1]) == ("worker at 127.0.0.9", (2.0, "Running"))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.003), (0, 97), (0, 1e6), (2.1, 2.2), (0.9, 1.1), (5, 5)])
def test_ticks_are_few_round_and_within(low, high):
    values = ticks(low, high)
    assert 1 <= len(values) <= 8
    span = max(high - low, 1e-9)
    assert all(low - 0.5 * span <= value <= high + 0.01 * span for value in values)
    assert values == sorted(set(values))


def svg(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_charts_without_values_are_empty_and_with_one_they_are_drawn():
    assert lines([("a", [])], "s", "fps") == "" and bars([], "frame", "n") == ""
    assert "circle" in lines([("a", [(1.0, 2.0)])], "s", "fps")
    svg(bars([0.0], "frame", "n"))
    svg(timeline([], 0.0))


def test_names_of_lines_stand_above_the_plot_and_within_the_picture():
    names = [f"a-function-with-a-long-name-{i}" for i in range(12)]
    picture = svg(lines([(name, [(0, 1), (1, 2)]) for name in names], "s", "fps"))
    group = next(child for child in picture if child.tag == "g")
    below = int(group.attrib["transform"].removesuffix(")").split()[1])
    legend = {child.text: child for child in picture if child.tag == "text"}
    assert set(legend) == set(names)
    for name, text in legend.items():
        assert float(text.attrib["y"]) < below
        assert float(text.attrib["x"]) + 6 * len(name) < 860


def test_labels_of_the_timeline_begin_within_the_picture():
    items = [Appearance("WBConnection", "f." + "x" * length, "", 0.5, [(1.0, "Running")]) for length in (3, 60, 250)]
    for text in svg(timeline(items, 2.0)).iter("text"):
        if text.attrib["class"] == "row":
            label = "".join(text.itertext())
            assert float(text.attrib["x"]) - 6.5 * len(label) >= 0, label


def test_long_names_stay_in_their_boxes():
    name = "a-function-with-quite-a-long-name"
    picture = svg(draw("t", "s", [Box(name, "t" * 60, "node", "cpu0", "cpu", "i" * 60)], []))
    shown = [text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert name not in shown and all(len(text) <= 40 for text in shown)
    assert any(name in (title.text or "") for title in picture.iter("{http://www.w3.org/2000/svg}title"))


def test_a_picture_is_xml_whatever_the_names():
    nasty = "<b>&\"'$"
    boxes = [Box(nasty, nasty, nasty, nasty, "cpu", nasty, nasty), Box("b", "t")]
    svg(draw(nasty, nasty, boxes, [Arrow(nasty, "p", "b", "q", nasty, nasty)]))


class Checker(HTMLParser):
    """Collects tags and text; every tag must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(record: RunRecord, graph: str = "<svg></svg>") -> Checker:
    checker = Checker()
    checker.feed(render(record, graph, Path("/out/report.html")))
    assert checker.open in ([], ["html"])
    return checker


def test_the_page_survives_names_with_html_and_dollars(record):
    nasty = "<script>alert(1)</script> $name ${graph} &amp;"
    record.name = nasty
    placement = [{"function": nasty, "node": nasty, "device": "d", "implementation": nasty}]
    artifacts = [{"name": nasty, "uri": f"http://x/{nasty}"}]
    record.see(
        flow(
            "Failed",
            ("Failed", "True", nasty, nasty),
            placement=placement,
            warnings=[nasty],
            edges=[{"from": nasty, "to": nasty, "mechanism": nasty}],
            outputs={"artifacts": artifacts},
        ),
        1.0,
    )
    record.log = [nasty]
    shown = page(record)
    assert "script" not in shown.tags
    assert shown.text.count("<script>alert(1)</script> $name ${graph} &amp;") >= 8


def test_the_page_of_a_run_that_never_had_a_worker(record):
    record.see(flow("Failed", ("Failed", "True", "WorkerLost", "the worker is gone")), 1.0)
    shown = page(record)
    assert "the worker is gone" in shown.text and "none" in shown.text


def test_an_edge_without_a_sample_is_a_dash_not_a_zero(record):
    edge = {"from": "a.x", "to": "b.x", "mechanism": "", "microseconds": 0.0, "gigabytesPerSecond": 0.0}
    assert latency(edge) == "—" and latency({"microseconds": 0.0, "gigabytesPerSecond": 600.0}) == "0 µs"
    assert "—" in describe_flow(flow("Running", edges=[edge]))
    record.see(flow("Running", edges=[edge]), 1.0)
    assert "0 µs" not in page(record).text


def test_a_description_holds_what_is_known():
    status: dict[str, Any] = {
        "progress": {"frames": 3, "total": 9, "framesPerSecond": 1.5},
        "placement": [{"function": "a", "node": "n", "device": "cpu0", "implementation": "opencl", "version": "1.0.0"}],
        "outputs": {"parameters": [{"name": "encode.frames", "value": "9"}]},
        "warnings": ["the video is cut"],
        "workers": [{"pod": "f-n", "address": "127.0.0.1:1"}],
    }
    events = [{"type": "Warning", "reason": "Odd", "note": "something"}]
    text = describe_flow(flow("Failed", ("Failed", "True", "X", "y is z"), **status), events)
    for words in (
        "Phase:      Failed",
        "3 of 9 frames",
        "n/cpu0",
        "y is z",
        "encode.frames",
        "the video is cut",
        "Odd",
    ):
        assert words in text
    assert describe_flow({"metadata": {"name": "f", "namespace": "n"}, "spec": {}})


def test_wording():
    assert [microseconds(v) for v in (4, 1234, 2_500_000)] == ["4 µs", "1.2 ms", "2.5 s"]
    assert shorten("abcdefghij", 5) == "ab…ij" and shorten("abc", 5) == "abc"
    assert columns([["a", "bb"], ["ccc", "d"]]) == ["a    bb", "ccc  d"]
