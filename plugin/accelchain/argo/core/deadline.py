# SPDX-License-Identifier: Apache-2.0
"""Times: Go's durations, timestamps, and when a step's time is over.

Argo times only Pending nodes of plugins out, so we do it for all (argoproj/argo-workflows v4.1.2,
operator.go:checkTemplateTimeouts and getWorkflowDeadline).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from accelchain.argo.core.errors import StepError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = re.compile(r"\d{1,15}(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a step's time is over, and the sentence that says so."""

    at: float
    """Seconds since 1970."""
    message: str


def parse_duration(text: str | int) -> float:
    """Return seconds of a duration as Go writes it (``1h30m``, ``500ms``), or of plain seconds.

    Raises:
        ValueError: it is neither, or below zero.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} is no duration: write one such as 30s, 10m or 1h30m")
    plain = str(text).strip()[:40]
    if _SECONDS.fullmatch(plain):
        return float(plain)
    parts = list(_PART.finditer(plain))
    if not parts or "".join(part.group() for part in parts) != plain.removeprefix("+"):
        raise ValueError(f"'{plain}' is no duration: write one such as 30s, 10m or 1h30m")
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)


def seconds_of(timestamp: str) -> float:
    """Return seconds since 1970 of an RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(timestamp)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def own_deadlines(template: dict[str, Any], node_started: float | None, flow_started: float | None) -> list[Deadline]:
    """Return when ``timeout`` and ``activeDeadlineSeconds`` of the template are over, those that are known.

    Args:
        template: the template.
        node_started: when the step began: the node, else the DataFlow's creation; None: it has not.
        flow_started: when the first worker began; None: it has not.

    Raises:
        StepError: one of them is no time.
    """
    found: list[Deadline] = []
    timeout = _read(template, "timeout")
    if timeout and node_started is not None:
        found.append(Deadline(node_started + timeout, f"the step took longer than its timeout of {timeout:g} s"))
    active = _read(template, "activeDeadlineSeconds")
    if active and flow_started is not None:
        found.append(Deadline(flow_started + active, f"the flow ran longer than activeDeadlineSeconds, {active:g} s"))
    return found


def _read(template: dict[str, Any], field: str) -> float:
    value = template.get(field)
    if value is None or value == "":
        return 0.0
    try:
        return parse_duration(value)
    except ValueError as error:
        raise StepError(field, f"{error}.") from None
