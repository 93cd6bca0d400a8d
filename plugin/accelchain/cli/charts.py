# SPDX-License-Identifier: Apache-2.0
"""Small SVG charts for the report: lines over time, bars a frame, and the timeline of resources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from accelchain.cli.record import LAYERS, Appearance
from accelchain.cli.wording import shorten

WIDTH, HEIGHT = 860, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 30
_LABEL_CHARACTERS = 58
"""Longest label of a row of the timeline, kind and name."""
_COLOURS = ("#2f6fb5", "#c2571a", "#3b8a3e", "#8a4fbf", "#b03a5b", "#5c6b7a", "#8d7a10", "#12828a")
_LAYER_COLOURS = {"definition": "#8a4fbf", "abstract": "#12828a", "individual": "#3b8a3e", "pod": "#c28a1a"}


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that cover low..high, about ``count`` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** int(f"{raw:e}".split("e")[1])
    step = min((s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw), default=10 * power)
    first = int(low / step) * step
    values = [first + i * step for i in range(count + 3)]
    return [round(v, 10) for v in values if low - step / 2 <= v <= high + step / 1000]


def lines(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_label: str, y_label: str) -> str:
    """Draw one line a series of (x, y) points, their names above; empty text where there is nothing to draw."""
    points = [p for _, values in series for p in values]
    if not points:
        return ""
    x_low, x_high = min(p[0] for p in points), max(p[0] for p in points)
    y_high = (max(p[1] for p in points) or 1.0) * 1.05
    parts = _axes(x_low, x_high, y_high, x_label, y_label)
    names = []
    for index, (name, values) in enumerate(series):
        if not values:
            continue
        colour = _COLOURS[index % len(_COLOURS)]
        names.append((name, colour))
        path = " ".join(f"{_x(x, x_low, x_high):.1f},{_y(y, y_high):.1f}" for x, y in values)
        width = 2.4 if index == 0 else 1.3
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        if len(values) == 1:  # a line of one point is invisible
            x, y = values[0]
            parts.append(f'<circle cx="{_x(x, x_low, x_high):.1f}" cy="{_y(y, y_high):.1f}" r="3" fill="{colour}"/>')
    legend, height = _legend(names)
    return _svg([*legend, f'<g transform="translate(0 {height})">', *parts, "</g>"], HEIGHT + height)


def _legend(names: Sequence[tuple[str, str]]) -> tuple[list[str], int]:
    """Return names with their colours in as many rows as they need, and the rows' height."""
    parts, x, y = [], float(_LEFT), 12
    for name, colour in names:
        width = 28 + text_width(name)
        if x > _LEFT and x + width > WIDTH - _RIGHT:
            x, y = float(_LEFT), y + 16
        parts.append(f'<rect x="{x:.0f}" y="{y - 9}" width="10" height="10" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="{y}" class="row">{escape(name)}</text>')
        x += width
    return parts, y + 6


def bars(values: Sequence[float], x_label: str, y_label: str) -> str:
    """Draw one bar a value, their index on the x axis; empty text where there are none."""
    if not values:
        return ""
    high = max(*values, 1.0) * 1.05
    parts = _axes(0, len(values), high, x_label, y_label)
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    for index, value in enumerate(values):
        top = _y(value, high)
        parts.append(
            f'<rect x="{_LEFT + index * step:.2f}" y="{top:.1f}" width="{max(step - 0.6, 0.4):.2f}" '
            f'height="{HEIGHT - _BOTTOM - top:.1f}" fill="{_COLOURS[0]}"/>'
        )
    return _svg(parts, HEIGHT)


def timeline(items: Sequence[Appearance], end: float) -> str:
    """Draw one row a resource, from when it appeared to the end, with its states as marks.

    Args:
        items: the resources, in the order of the rows.
        end: seconds at the right edge.
    """
    labels = [shorten(item.name, _LABEL_CHARACTERS - len(item.kind)) for item in items]
    widths = [text_width(f"{item.kind} {label}") for item, label in zip(items, labels, strict=True)]
    row, left = 20, max(widths, default=0.0) + 14
    height = row * len(items) + 40
    scale = (WIDTH - left - _RIGHT) / max(end, 1e-3)
    parts = []
    for tick in ticks(0, end):
        x = left + tick * scale
        parts.append(f'<line x1="{x:.1f}" y1="6" x2="{x:.1f}" y2="{height - 26}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" class="axis">{tick:g} s</text>')
    for index, (item, label) in enumerate(zip(items, labels, strict=True)):
        y = 10 + index * row
        colour = _LAYER_COLOURS.get(LAYERS.get(item.kind, ""), "#5c6b7a")
        parts.append(
            f'<text x="{left - 10:.0f}" y="{y + 11}" text-anchor="end" class="row">'
            f'<tspan fill="{colour}">{escape(item.kind)}</tspan> {escape(label)}</text>'
        )
        start = left + item.seconds * scale
        parts.append(
            f'<rect x="{start:.1f}" y="{y + 2}" width="{max((end - item.seconds) * scale, 2):.1f}" height="11" rx="3" '
            f'fill="{colour}" opacity="0.35"><title>{escape(f"{item.name}: {item.detail}")}</title></rect>'
        )
        for seconds, state in item.states:
            if state:
                parts.append(
                    f'<circle cx="{left + seconds * scale:.1f}" cy="{y + 7.5}" r="4" fill="{colour}">'
                    f"<title>{escape(state)} at {seconds:.2f} s</title></circle>"
                )
    return _svg(parts, height)


def text_width(text: str) -> float:
    """Return about how wide a text of class ``row`` is, in pixels; rather too much than too little."""
    return 6.9 * len(text)


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, high: float) -> float:
    return HEIGHT - _BOTTOM - value / high * (HEIGHT - _TOP - _BOTTOM)


def _axes(x_low: float, x_high: float, y_high: float, x_label: str, y_label: str) -> list[str]:
    parts = []
    for tick in ticks(0, y_high):
        y = _y(tick, y_high)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" class="axis">{tick:g}</text>')
    for tick in ticks(x_low, x_high):
        x = _x(tick, x_low, x_high)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle" class="axis">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 1}" text-anchor="end" class="axis">{escape(x_label)}</text>')
    parts.append(f'<text x="4" y="11" class="axis">{escape(y_label)}</text>')
    return parts


def _svg(parts: Sequence[str], height: float) -> str:
    inner = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" font-family="system-ui, sans-serif">{inner}</svg>'
