# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow: its resolved chain, with placement and figures where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.graph_svg import Arrow, Box, draw
from accelchain.cli.wording import latency, microseconds


def picture(name: str, flow: ResolvedFlow, status: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Draw a flow as SVG.

    Args:
        name: title of the picture.
        flow: the chain.
        status: a DataFlow's status, or nothing: then it is not placed.
        document: a worker's latest document, or nothing.
    """
    places = {p["function"]: p for p in status.get("placement", ())}
    figures = {f["name"]: f for f in document.get("functions", ())}
    edges = {(e["from"], e["to"]): e for e in (document.get("edges") or status.get("edges") or ())}
    boxes = []
    for function in flow.functions:
        place, figure = places.get(function.name, {}), figures.get(function.name, {})
        kind = "host" if place.get("api") == "host" else place.get("deviceType", "")
        note = f"{microseconds(figure['microseconds'])} a frame" if figure else ""
        boxes.append(
            Box(
                function.name,
                f"{function.type} {function.version}",
                place.get("node", ""),
                place.get("device", ""),
                kind,
                place.get("implementation", ""),
                note,
            )
        )
    arrows = []
    for connection in flow.connections:
        source, target = connection.source, connection.target
        edge = edges.get((str(source), str(target)), {})
        copies = {0: "no copy", 1: "1 copy"}.get(edge.get("copies", 0), f"{edge.get('copies')} copies")
        note = f"{copies}, {latency(edge)}" if edge.get("mechanism") else ""
        arrows.append(
            Arrow(source.function, source.port, target.function, target.port, edge.get("mechanism", ""), note)
        )
    phase = status.get("phase", "")
    subtitle = f"{len(boxes)} functions, {len(arrows)} connections" + (f" · {phase}" if phase else "")
    return draw(name, subtitle, boxes, arrows)
