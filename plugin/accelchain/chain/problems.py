# SPDX-License-Identifier: Apache-2.0
"""Problems: collected in the order in which they are found, each once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from accelchain.chain.resolved import Problem


class Problems:
    """Collects problems."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, reason: str, path: str, message: str) -> None:
        """Add a problem, unless it is known."""
        self._found.setdefault(Problem(reason, path, message))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems that were found elsewhere."""
        for problem in problems:
            self._found.setdefault(problem)

    def found(self) -> tuple[Problem, ...]:
        """Return all problems so far."""
        return tuple(self._found)


def choose(name: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown name: ``did you mean 'x'?`` or what there is to choose from."""
    names = sorted(set(known))
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"did you mean '{close[0]}'?"
    if not names:
        return "there is none yet; create one first."
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"choose from: {shown}."
