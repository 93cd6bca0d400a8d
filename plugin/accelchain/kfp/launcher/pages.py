# SPDX-License-Identifier: Apache-2.0
"""What KFP's pages show of a flow: metrics, one page of HTML, one of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from accelchain.cli.flow_picture import Shape, picture
from accelchain.cli.record import RunRecord
from accelchain.cli.report import render
from accelchain.cli.wording import bandwidth, latency, microseconds

JsonObject = dict[str, Any]

_MOST_YAML = 100_000
"""Characters: KFP cuts Markdown at 400,000."""


def metrics(record: RunRecord) -> dict[str, float]:
    """Return figures for KFP's table of metrics: frames, seconds, and µs a frame of each function."""
    found = {
        "frames": float(record.frames),
        "frames per second": round(record.frames_per_second, 2),
        "seconds": round(float(record.document.get("seconds") or 0.0), 3),
    }
    for row in record.document.get("functions", ()):
        found[f"{row['name']}: us a frame"] = round(float(row["microseconds"]), 1)
    return found


def page(record: RunRecord, target: Path, copies: Mapping[str, Path]) -> str:
    """Return the HTML: it needs nothing else, as KFP shows it in a frame of its own."""
    svg = picture(record.name, Shape.of_status(record.status), record.status, record.document)
    return render(record, svg, target, copies)


def summary(record: RunRecord) -> str:
    """Return the Markdown: where functions ran, how edges went, and the DataFlow itself."""
    figures = {row["name"]: row for row in record.document.get("functions", ())}
    end = record.end or {"type": "Unknown", "message": ""}
    lines = [f"## {record.name}: {end['type']}", "", str(end.get("message") or ""), ""]
    lines += ["| function | where | implementation | work a frame |", "|---|---|---|---|"]
    for place in record.status.get("placement", ()):
        row = figures.get(place["function"])
        took = microseconds(row["microseconds"]) if row else ""
        lines.append(
            f"| {place['function']} | {place['node']}/{place['device']} | {place['implementation']} | {took} |"
        )
    edges = record.document.get("edges") or record.status.get("edges") or ()
    lines += ["", "| from | to | mechanism | copies | latency | GB/s |", "|---|---|---|---|---|---|"]
    for edge in edges:
        cells = (
            edge["from"],
            edge["to"],
            edge.get("mechanism") or "",
            edge.get("copies", 0),
            latency(edge),
            bandwidth(edge),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    flow = {key: record.flow.get(key) for key in ("apiVersion", "kind")}
    flow |= {"metadata": {"name": record.name, "namespace": record.namespace}, "spec": record.flow.get("spec")}
    text = yaml.safe_dump(flow, sort_keys=False)
    lines += ["", "```yaml", text[:_MOST_YAML].rstrip(), "```", ""]
    return "\n".join(lines)
