# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow: its chain, with placement and figures where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.graph_svg import Arrow, Box, draw
from accelchain.cli.wording import latency, microseconds


@dataclass(frozen=True, slots=True)
class Shape:
    """What is drawn of a chain."""

    functions: Sequence[tuple[str, str]]
    """Name, and type with version."""
    connections: Sequence[tuple[str, str]]
    """From and to, as ``function.port``."""

    @classmethod
    def of(cls, flow: ResolvedFlow) -> Shape:
        """Return the shape of a chain that was resolved here."""
        return cls(
            [(f.name, f"{f.type} {f.version}") for f in flow.functions],
            [(str(c.source), str(c.target)) for c in flow.connections],
        )

    @classmethod
    def of_status(cls, status: Mapping[str, Any]) -> Shape:
        """Return the shape of a chain that the operators resolved; it has no functions before they did."""
        functions = (status.get("chain") or {}).get("functions", ())
        return cls(
            [(f["name"], f"{f['type']} {f['version']}") for f in functions],
            [(e["from"], e["to"]) for e in status.get("edges", ())],
        )


def picture(name: str, shape: Shape, status: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Draw a flow as SVG.

    Args:
        name: title of the picture.
        shape: the chain.
        status: a DataFlow's status, or nothing: then it is not placed.
        document: a worker's latest document, or nothing.
    """
    places = {p["function"]: p for p in status.get("placement", ())}
    figures = {f["name"]: f for f in document.get("functions", ())}
    edges = {(e["from"], e["to"]): e for e in (document.get("edges") or status.get("edges") or ())}
    boxes = []
    for function, title in shape.functions:
        place, figure = places.get(function, {}), figures.get(function, {})
        kind = "host" if place.get("api") == "host" else place.get("deviceType", "")
        note = f"{microseconds(figure['microseconds'])} a frame" if figure else ""
        boxes.append(
            Box(
                function,
                title,
                place.get("node", ""),
                place.get("device", ""),
                kind,
                place.get("implementation", ""),
                note,
            )
        )
    arrows = []
    for source, target in shape.connections:
        edge = edges.get((source, target), {})
        copies = {0: "no copy", 1: "1 copy"}.get(edge.get("copies", 0), f"{edge.get('copies')} copies")
        note = f"{copies}, {latency(edge)}" if edge.get("mechanism") else ""
        (source_function, source_port), (target_function, target_port) = source.split("."), target.split(".")
        arrows.append(
            Arrow(source_function, source_port, target_function, target_port, edge.get("mechanism", ""), note)
        )
    phase = status.get("phase", "")
    subtitle = f"{len(boxes)} functions, {len(arrows)} connections" + (f" · {phase}" if phase else "")
    return draw(name, subtitle, boxes, arrows)
