# SPDX-License-Identifier: Apache-2.0
"""Every folder of pipelines/ runs through the command line and makes what its expect.yaml says."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import av
import pytest
import yaml

PIPELINES = Path(__file__).parents[2] / "pipelines"
NAMES = sorted(path.parent.name for path in PIPELINES.glob("*/expect.yaml"))
KNOWN = {
    "phase",
    "frames",
    "functions",
    "environment",
    "parameters",
    "detections",
    "video",
    "implementations",
    "devices",
    "edges",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_makes_what_it_should(machine, name):
    folder = PIPELINES / name
    expected = yaml.safe_load((folder / "expect.yaml").read_text())
    assert set(expected) <= KNOWN, "this test does not know what to do with a field"
    options: list[object] = ["--json", "--report", "report.html", "--graph", "graph.svg"]
    if "functions" in expected:
        options += ["--functions", folder / expected["functions"]]
    outputs = flow_of(folder)["spec"]["outputs"]
    places = {output: machine.work / Path(address["uri"]).name for output, address in outputs.items()}
    for output, place in places.items():
        options += ["--output", f"{output}={place}"]

    result = machine.run("run", folder / "dataflow.yaml", *options, env=expected.get("environment"))

    assert result.returncode == 0, result.stderr
    status = json.loads(result.stdout)["status"]
    assert (status["phase"], status["progress"]["frames"]) == (expected["phase"], expected["frames"])
    values = {p["name"]: int(p["value"]) for p in status["outputs"]["parameters"]}
    assert values.items() >= expected.get("parameters", {}).items()
    placed = {p["function"]: p for p in status["placement"]}
    for field, wanted in (("implementation", "implementations"), ("device", "devices")):
        assert {f: placed[f][field] for f in expected.get(wanted, {})} == expected.get(wanted, {})
    edges = {f"{e['from']} {e['to']}": e for e in status["edges"]}
    assert all(edge["verified"] and edge["mechanism"] for edge in edges.values())
    for edge, mechanisms in expected.get("edges", {}).items():
        assert edges[edge]["mechanism"] in mechanisms, edge
    if "video" in expected:
        hold_video(places[expected["video"]["output"]], expected["video"], expected["frames"])
    if "detections" in expected:
        hold_detections(places[expected["detections"]["output"]], expected["detections"], expected["frames"])
    assert sorted(p.name for p in machine.work.iterdir()) == sorted(
        ["graph.svg", "report.html", *(place.name for place in places.values())]
    )


def flow_of(folder: Path) -> dict[str, Any]:
    documents = yaml.safe_load_all((folder / "dataflow.yaml").read_text())
    flow: dict[str, Any] = next(d for d in documents if d["kind"] == "DataFlow")
    return flow


def hold_video(path: Path, expected: dict[str, Any], frames: int) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        size = {"width": stream.width, "height": stream.height, "framesPerSecond": stream.average_rate}
        assert size == {field: expected[field] for field in size}
        assert sum(1 for _ in container.decode(stream)) == frames


def hold_detections(path: Path, expected: dict[str, Any], frames: int) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(frames))
    boxes = sum(len(line["detections"]) for line in lines)
    assert abs(boxes - expected["boxes"]) <= expected["tolerance"] * expected["boxes"]


def test_the_stream_is_watched_in_a_browser_and_ends_with_ctrl_c(machine):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/live"
    flow = PIPELINES / "stream" / "dataflow.yaml"
    running = machine.start("run", flow, "--output", f"live={address}", "--no-report")
    running.until("/100 frames")
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        assert b"\xff\xd8" in page.read(4096)  # a JPEG begins
    running.signal(signal.SIGINT)
    assert running.end(10) == 130, running.err
