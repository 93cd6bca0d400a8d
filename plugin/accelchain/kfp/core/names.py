# SPDX-License-Identifier: Apache-2.0
"""Names that are new."""

from __future__ import annotations

import re
from collections.abc import Iterable


def identifier(text: str) -> str:
    """Return a text as a name of a chain's parameters, inputs and outputs."""
    found = re.sub(r"[^-A-Za-z0-9_]+", "-", text).strip("-_0123456789")[:55]
    return found or "x"


def fresh(name: str, taken: Iterable[str], second: str = "") -> str:
    """Return a name that is not taken: ``name``, ``second``, ``name-2`` and so on."""
    known = set(taken)
    if name not in known:
        return name
    if second and second not in known:
        return second
    number = 2
    while f"{name}-{number}" in known:
        number += 1
    return f"{name}-{number}"
