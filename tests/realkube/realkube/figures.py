# SPDX-License-Identifier: Apache-2.0
"""Figures of a run of tests: a line of JSON each, at once, and all of them in one file at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Figures:
    """Collects what tests measure; nothing here is asserted."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file = file
        self._say = say
        self._all: list[dict[str, Any]] = []

    def add(self, name: str, reach: float | None = None, **values: Any) -> None:
        """Tell a figure.

        Args:
            name: what it is.
            reach: what is wanted.
            values: the figure, its unit in the name: ``seconds=1.2``.
        """
        figure = {"figure": name, **({} if reach is None else {"reach": reach}), **values}
        self._all.append(figure)
        self._say(json.dumps(figure))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("".join(f"{json.dumps(one)}\n" for one in self._all))
