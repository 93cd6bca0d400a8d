# SPDX-License-Identifier: Apache-2.0
"""References in parameters: ``$(parameters.x)``, ``$(inputs.x.uri)``, ``$(outputs.x.uri)``; ``$$(`` is ``$(``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from accelchain.api.common import Scalar

_TOKEN = re.compile(r"\$\$\(|\$\(([^()]*)\)|\$\(")
_REFERENCE = re.compile(r"(?:(parameters)\.([A-Za-z][-\w]*)|(inputs|outputs)\.([A-Za-z][-\w]*)\.uri)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference."""

    kind: Literal["parameters", "inputs", "outputs"]
    name: str

    def __str__(self) -> str:
        return f"$({self.kind}.{self.name}{'' if self.kind == 'parameters' else '.uri'})"


class MalformedReferenceError(ValueError):
    """A ``$(`` that begins no reference."""


def parse(text: str) -> tuple[str | Reference, ...]:
    """Split a value into literal text and references; escapes are undone.

    Raises:
        MalformedReferenceError: a ``$(`` that begins no reference.
    """
    parts: list[str | Reference] = []
    literal, end = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[end : token.start()]
        end = token.end()
        if token[0] == "$$(":
            literal += "$("
            continue
        found = _REFERENCE.fullmatch(token[1] or "")
        if found is None:
            raise MalformedReferenceError(
                f"'{token[0]}' is no reference: write $(parameters.name), $(inputs.name.uri) or $(outputs.name.uri), "
                "and $$( for a literal $(."
            )
        if literal:
            parts.append(literal)
            literal = ""
        kind: Literal["parameters", "inputs", "outputs"] = "parameters"
        if found[3] is not None:
            kind = "inputs" if found[3] == "inputs" else "outputs"
        parts.append(Reference(kind, found[2] or found[4]))
    literal += text[end:]
    if literal or not parts:
        parts.append(literal)
    return tuple(parts)


def as_text(value: Scalar) -> str:
    """Return a value as it reads within a longer string: booleans as in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)
