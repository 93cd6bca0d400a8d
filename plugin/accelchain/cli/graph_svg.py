# SPDX-License-Identifier: Apache-2.0
"""Draws a chain with its placement as an SVG that reads on light and dark pages."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from accelchain.chain.layout import NODE_HEIGHT, NODE_WIDTH, Point, layout
from accelchain.cli.wording import shorten

MARGIN, HEADER = 28.0, 56.0
_NAME_CHARACTERS, _LINE_CHARACTERS, _LABEL_CHARACTERS = 16, 26, 20
"""What fits into a box in its two sizes of letters, and between two boxes."""
COLOURS = {"cpu": "#2f6fb5", "host": "#5c6b7a", "gpu": "#3b8a3e", "fpga": "#a6541b", "": "#8a8f98"}


@dataclass(frozen=True, slots=True)
class Box:
    """A function as the picture shows it."""

    name: str
    type: str
    node: str = ""
    device: str = ""
    device_kind: str = ""
    """cpu, gpu, fpga, host, or empty where it is not placed."""
    implementation: str = ""
    note: str = ""
    """A line of figures: ``8.1 ms a frame``."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge as the picture shows it."""

    source: str
    source_port: str
    target: str
    target_port: str
    mechanism: str = ""
    note: str = ""


def draw(title: str, subtitle: str, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> str:
    """Return the picture as SVG text.

    Raises:
        ValueError: the chain has a cycle.
    """
    place = layout([box.name for box in boxes], [(a.source, a.target) for a in arrows])
    width = max(place.width, 460.0) + 2 * MARGIN
    height = place.height + HEADER + 2 * MARGIN + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="system-ui, sans-serif" role="img">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#59636e"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#fbfcfd"/>',
        f'<text x="{MARGIN}" y="34" font-size="19" font-weight="600" fill="#1c2128">{escape(title)}</text>',
        f'<text x="{MARGIN}" y="54" font-size="12.5" fill="#59636e">{escape(subtitle)}</text>',
        f'<g transform="translate({MARGIN} {HEADER + MARGIN - 4})">',
    ]
    for (index, _, _), points in place.edges.items():
        parts += _arrow(arrows[index], points)
    parts += [part for box in boxes for part in _box(box, place.nodes[box.name])]
    parts.append("</g>")
    parts += _legend(boxes, height)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _box(box: Box, at: Point) -> list[str]:
    x, y = at
    colour = COLOURS.get(box.device_kind, COLOURS[""])
    where = f"{box.device} · {box.implementation}" if box.device else "not placed"
    lines = [
        f'<g transform="translate({x:.1f} {y:.1f})">',
        f'<rect width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8" fill="#fff" stroke="{colour}" stroke-width="1.6"/>',
        f'<rect width="6" height="{NODE_HEIGHT}" rx="3" fill="{colour}"/>',
        f"<title>{escape(f'{box.name}: {box.type}, {where}')}</title>",
        f'<text x="17" y="21" font-size="14" font-weight="600" fill="#1c2128">'
        f"{escape(shorten(box.name, _NAME_CHARACTERS))}</text>",
        f'<text x="17" y="37" font-size="11" fill="#59636e">{escape(shorten(box.type, _LINE_CHARACTERS))}</text>',
        f'<text x="17" y="53" font-size="11" fill="{colour}">{escape(shorten(where, _LINE_CHARACTERS))}</text>',
    ]
    if box.note:
        lines.append(f'<text x="17" y="69" font-size="11" fill="#1c2128">{escape(box.note)}</text>')
    return [*lines, "</g>"]


def _arrow(arrow: Arrow, points: Sequence[Point]) -> list[str]:
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        middle = (ax + bx) / 2
        path += f" C{middle:.1f} {ay:.1f} {middle:.1f} {by:.1f} {bx:.1f} {by:.1f}"
    # in the first gap; an edge in a lane is labelled within its lane, where nothing else is
    first, last = (points[1], points[2]) if len(points) > 2 else (points[0], points[1])
    x, y = (first[0] + last[0]) / 2, (first[1] + last[1]) / 2
    label = escape(shorten(arrow.mechanism or f"{arrow.source_port} → {arrow.target_port}", _LABEL_CHARACTERS))
    out = [f'<path d="{path}" fill="none" stroke="#59636e" stroke-width="1.5" marker-end="url(#tip)"/>']
    out.append(
        f'<text x="{x:.1f}" y="{y - 5:.1f}" font-size="10.5" text-anchor="middle" fill="#1c2128" '
        f'stroke="#fbfcfd" stroke-width="4" paint-order="stroke">{label}</text>'
    )
    if arrow.note:
        out.append(
            f'<text x="{x:.1f}" y="{y + 13:.1f}" font-size="10.5" text-anchor="middle" fill="#59636e" '
            f'stroke="#fbfcfd" stroke-width="4" paint-order="stroke">{escape(arrow.note)}</text>'
        )
    return out


def _legend(boxes: Sequence[Box], height: float) -> list[str]:
    seen: Mapping[tuple[str, str], str] = {
        (b.node, b.device): COLOURS.get(b.device_kind, COLOURS[""]) for b in boxes if b.device
    }
    parts, x = [], MARGIN
    for (node, device), colour in seen.items():
        text = f"{node}/{device}" if node else device
        parts.append(f'<rect x="{x:.0f}" y="{height - 28:.0f}" width="11" height="11" rx="3" fill="{colour}"/>')
        parts.append(
            f'<text x="{x + 17:.0f}" y="{height - 18:.0f}" font-size="11.5" fill="#59636e">{escape(text)}</text>'
        )
        x += 34 + 7 * len(text)
    return parts
