# SPDX-License-Identifier: Apache-2.0
"""The page that tells what ran where: one HTML file that needs nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from accelchain.cli.charts import bars, lines, timeline
from accelchain.cli.pictures import VIDEO_SUFFIXES, detections_per_frame, local_path, pictures
from accelchain.cli.record import RunRecord
from accelchain.cli.wording import bandwidth, latency, microseconds

_LEAST_SCALE = 0.68


def render(record: RunRecord, graph: str, target: Path, copies: Mapping[str, Path] | None = None) -> str:
    """Return the page for a run that has ended.

    Args:
        record: what was seen of the run.
        graph: the flow's picture as SVG.
        target: where the page will lie: links to results are relative to it.
        copies: files of this machine by the address of a result that lies elsewhere, for pictures of it.
    """
    status, document = record.status, record.document
    artifacts = status.get("outputs", {}).get("artifacts", [])
    files_ = [(artifact["name"], _file(artifact["uri"], copies or {})) for artifact in artifacts]
    end = record.end or {"type": "Unknown", "reason": "", "message": ""}
    good = end["type"] == "Succeeded"
    last = max((s.seconds for s in record.samples), default=0.0)
    last = max([last, *(seconds for item in record.appearances.values() for seconds, _ in item.states)])
    template = Template(files("accelchain.cli").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=escape(record.name),
        outcome=escape("Succeeded" if good else end["reason"] or end["type"]),
        outcome_class="good" if good else "bad",
        message=escape(end.get("message", "")),
        facts=_facts(record, status, document),
        warnings="".join(f'<p class="warning">{escape(w)}</p>' for w in status.get("warnings", ())),
        pictures=_pictures(files_),
        graph=_scrollable(graph),
        functions=_function_rows(status, document),
        edges=_edge_rows(document.get("edges") or status.get("edges") or ()),
        throughput=_throughput(record),
        detections=_detections(files_),
        timeline=timeline(list(record.appearances.values()), last),
        log=_log(record),
        results=_results(artifacts, target),
    )


def _scrollable(graph: str) -> str:
    """Return a picture that shrinks no further than its letters can be read; then it scrolls."""
    width = re.search(r' width="(\d+)"', graph)
    least = int(width[1]) * _LEAST_SCALE if width else 0
    return f'<div style="min-width: {least:.0f}px">{graph}</div>'


def _log(record: RunRecord) -> str:
    if not record.log:
        return ""
    lines_ = escape("\n".join(record.log))
    return f"<section><h2>The worker's last lines</h2><pre>{lines_}</pre></section>"


def _facts(record: RunRecord, status: dict[str, Any], document: dict[str, Any]) -> str:
    devices = sorted({f"{p['node']}/{p['device']}" for p in status.get("placement", ())})
    facts = {
        "frames": str(record.frames),
        "frames a second": f"{record.frames_per_second:.1f}",
        "of work": _seconds(document.get("seconds")),
        "first frame after": _seconds(document.get("firstFrameSeconds")),
        "devices": ", ".join(devices) or "none",
    }
    return "".join(f"<div><b>{escape(value)}</b><span>{escape(key)}</span></div>" for key, value in facts.items())


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f} s"


def _function_rows(status: dict[str, Any], document: dict[str, Any]) -> str:
    figures = {f["name"]: f for f in document.get("functions", ())}
    rows = []
    for place in status.get("placement", ()):
        figure = figures.get(place["function"], {})
        rows.append(
            _row(
                place["function"],
                f"{place['node']}/{place['device']}",
                f"{place.get('deviceType', '')} · {place.get('api', '')}",
                f"{place['implementation']} {place.get('version', '')}",
                str(figure.get("frames", "")),
                f"{figure['framesPerSecond']:.1f}" if figure else "",
                microseconds(figure["microseconds"]) if figure else "",
            )
        )
    return "".join(rows) or "<li>none</li>"


def _edge_rows(edges: Sequence[dict[str, Any]]) -> str:
    return "".join(
        _row(
            edge["from"],
            edge["to"],
            edge.get("mechanism") or "—",
            str(edge.get("copies", 0)),
            latency(edge),
            bandwidth(edge),
            "yes" if edge.get("verified") else "no",
        )
        for edge in edges
    )


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _throughput(record: RunRecord) -> str:
    """Frames a second of the whole flow between samples, and of every function as it reported them."""
    whole: list[tuple[float, float]] = []
    for before, after in zip(record.samples, record.samples[1:], strict=False):
        span = after.document.get("seconds", 0.0) - before.document.get("seconds", 0.0)
        if span > 0.05:
            gained = after.document.get("frames", 0) - before.document.get("frames", 0)
            whole.append((after.document["seconds"], gained / span))
    functions: dict[str, list[tuple[float, float]]] = {}
    for sample in record.samples:
        for row in sample.document.get("functions", ()):
            functions.setdefault(row["name"], []).append((sample.document["seconds"], row["framesPerSecond"]))
    return lines([("whole flow", whole), *functions.items()], "seconds", "frames/s")


def _file(uri: str, copies: Mapping[str, Path]) -> Path | None:
    return copies.get(uri) or local_path(uri)


def _pictures(results: Sequence[tuple[str, Path | None]]) -> str:
    parts = []
    for name, path in results:
        if path is None or path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        for picture in pictures(path):
            caption = f"{name}, frame {picture.frame}, {picture.seconds:.1f} s"
            parts.append(
                f'<figure><img alt="{escape(caption)}" src="{picture.data_uri}">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
    return "".join(parts)


def _detections(results: Sequence[tuple[str, Path | None]]) -> str:
    for _, path in results:
        if path is not None and path.suffix == ".jsonl":
            chart = bars(detections_per_frame(path), "frame", "detections")
            if chart:
                return f"<h2>Detections a frame</h2>{chart}"
    return ""


def _results(artifacts: Sequence[dict[str, Any]], target: Path) -> str:
    rows = []
    for artifact in artifacts:
        path = local_path(artifact["uri"])
        link = os.path.relpath(path, target.parent) if path else artifact["uri"]
        rows.append(f'<li>{escape(artifact["name"])}: <a href="{escape(link)}">{escape(link)}</a></li>')
    return "".join(rows) or "<li>none</li>"
