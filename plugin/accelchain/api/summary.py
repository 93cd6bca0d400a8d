# SPDX-License-Identifier: Apache-2.0
"""A list in one line for ``kubectl get``: of a path with ``[*]`` an API server prints the first item and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import StringConstraints

LONGEST = 200
"""Characters; a terminal shows no more."""

Summary = Annotated[str, StringConstraints(max_length=LONGEST)]


def summary(words: Iterable[str]) -> str:
    """Return the words, each once and in their order: ``host, cpu0``. Too many of them end with ``…``."""
    text = ", ".join(dict.fromkeys(filter(None, words)))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
