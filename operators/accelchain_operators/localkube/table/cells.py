# SPDX-License-Identifier: Apache-2.0
"""Cells of a table: values at a path, ages, durations."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from accelchain_operators.localkube.objects import JsonObject, parse_timestamp
from accelchain_operators.localkube.table.json_path import find


def age_text(since: str | None, now: datetime | None = None) -> str:
    """Return how long ago a time was, as kubectl prints it: ``42s``, ``3m10s``, ``5h``, ``2d``."""
    if not since:
        return "<unknown>"
    try:
        seconds = int(((now or datetime.now(UTC)) - parse_timestamp(since)).total_seconds())
    except ValueError:
        return "<invalid>"
    return duration_text(seconds)


def duration_text(seconds: int) -> str:
    """Return a duration with the precision that kubectl shows."""
    if seconds < 0:
        return "0s" if seconds >= -1 else "<invalid>"
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def cell(obj: JsonObject, json_path: str, type: str = "string") -> Any:
    """Return a cell as the API sends it: None where the path finds nothing, an age for a date.

    Of several values the first, as a real server does.
    """
    found = find(obj, json_path)
    if not found or found[0] is None:
        return None
    value = found[0]
    if type == "date":
        return age_text(value) if isinstance(value, str) else "<unknown>"
    return _plain(value) if type == "string" else value


def cell_text(obj: JsonObject, json_path: str, type: str = "string") -> str:
    """Return a cell as kubectl prints it: empty where the path finds nothing."""
    value = cell(obj, json_path, type)
    return "" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
