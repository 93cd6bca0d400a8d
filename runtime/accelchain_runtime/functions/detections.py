# SPDX-License-Identifier: Apache-2.0
"""Detections as functions read them: float32 [100, 6] rows of x1, y1, x2, y2, score, class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelchain_runtime.engine.function import Array


def valid(detections: Array) -> Array:
    """Return the rows up to the first score of 0 or less, without those that hold no numbers (infinite, NaN)."""
    ends = np.flatnonzero(~(detections[:, 4] > 0))
    rows = detections[: ends[0]] if len(ends) else detections
    return rows[np.isfinite(rows).all(axis=1)]


def names_of(parameter: str) -> tuple[str, ...]:
    """Return the names in a comma-separated parameter, class 0 first."""
    return tuple(name.strip() for name in parameter.split(","))


def name_of(names: Sequence[str], index: int) -> str:
    """Return a class's name; one that has none is called by its number."""
    return names[index] if 0 <= index < len(names) and names[index] else f"class {index}"
