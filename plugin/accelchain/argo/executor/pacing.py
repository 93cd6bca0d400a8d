# SPDX-License-Identifier: Apache-2.0
"""When the agent is to ask again. Pure.

The agent has 16 workers and 0.1 core, and a requeue costs it a call; Argo's own reaction takes 1 s to 20 s.
"""

from __future__ import annotations

from datetime import datetime

from accelchain_operators.kube.client import JsonObject

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds."""
_SHARE_OF_AGE = 0.1
"""A flow's end is noticed late by a tenth of what it took."""
_PER_PLACE = 0.1
"""Seconds for each step that is before this one in the queue for parallelism."""


def until_news(flow: JsonObject | None, now: float, within: float | None) -> float:
    """Return seconds until the next look at a step.

    Args:
        flow: The DataFlow; None: the step has none, and is to get none.
        now: Seconds since 1970.
        within: What the decision allows at most: a deadline may be near.
    """
    return _bounded(LONGEST if flow is None else _SHARE_OF_AGE * (now - _created(flow)), within)


def in_the_queue(place: int, within: float | None) -> float:
    """Return seconds until the next look at a step that waits for parallelism.

    Args:
        place: How many wait before it.
        within: What the decision allows at most.
    """
    return _bounded(_PER_PLACE * place, within)


def _bounded(seconds: float, within: float | None) -> float:
    return max(SHORTEST, min(seconds, LONGEST, LONGEST if within is None else within))


def _created(flow: JsonObject) -> float:
    return datetime.fromisoformat(flow["metadata"]["creationTimestamp"]).timestamp()
