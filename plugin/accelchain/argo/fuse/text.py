# SPDX-License-Identifier: Apache-2.0
"""A file's text, cut into its documents: those that are not changed are written as they were read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_START: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NOTHING: Final = re.compile(r"(?:---|\.\.\.)?[ \t]*(?:null|~)?[ \t\r]*(?:#.*|%.*)?")
"""A line that holds no document."""
_HEADER: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*|---[ \t\r]*(?:#[^\n]*)?|%[^\n]*)?\r?\n)*")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text that holds a document; a list of kubectl's, or what a line of three dots parts, holds several."""

    text: str
    line: int
    """Lines before it."""

    @property
    def header(self) -> str:
        """Comments and marks before the document."""
        found = _HEADER.match(self.text)
        return found[0] if found else ""


def pieces(text: str) -> Iterator[Piece]:
    """Cut a text at the marks that begin documents; texts of the pieces together are the text.

    In YAML a line that begins with three dashes ends whatever it stands in. What is no document is part of the next
    piece, and of the last one at the end.
    """
    starts = [found.start() for found in _START.finditer(text)]
    parts = [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]
    held, line = "", 0
    whole: list[Piece] = []
    for part in parts:
        held += part
        if not all(_NOTHING.fullmatch(row) for row in part.split("\n")):
            whole.append(Piece(held, line))
            line += held.count("\n")
            held = ""
    if held and whole:
        last = whole.pop()
        whole.append(Piece(last.text + held, last.line))
    yield from whole
