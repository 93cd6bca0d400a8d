# SPDX-License-Identifier: Apache-2.0
"""Figures, names and tables as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def microseconds(value: float) -> str:
    """Return a duration for people: 4 µs, 1.2 ms."""
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms" if value < 1e6 else f"{value / 1e6:.1f} s"


def latency(edge: Mapping[str, Any]) -> str:
    """Return an edge's mean latency for people; a dash before its first sample."""
    if not edge.get("microseconds") and not edge.get("gigabytesPerSecond"):
        return "—"
    return microseconds(edge.get("microseconds", 0.0))


def bandwidth(edge: Mapping[str, Any]) -> str:
    """Return an edge's GB/s; a dash before its first sample."""
    value = edge.get("gigabytesPerSecond")
    return f"{value:.1f}" if value else "—"


def shorten(name: str, characters: int) -> str:
    """Return a name with its middle left out where it is longer than that many characters."""
    half = (characters - 1) // 2
    return name if len(name) <= characters else f"{name[:half]}…{name[-half:]}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as text, columns aligned."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=0))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
