# SPDX-License-Identifier: Apache-2.0
"""Which of Argo's variables a template reads, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from accelchain.argo.core.unknown import TAG

Scope = Literal["parameters", "artifacts", "tasks", "steps"]

_INPUT: Final = re.compile(r"\binputs(?:\.|\[')(parameters|artifacts)(?:'\])?(?:\.|\[')([A-Za-z0-9_-]+)")
_STEP: Final = re.compile(r"\b(tasks|steps)(?:\.|\[')([A-Za-z0-9_-]+)")
_EXPRESSIONS: Final = ("fromExpression", "expression", "when", "from")
"""Fields that hold expressions without braces."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is read."""

    path: str
    """The field that reads it."""
    scope: Scope
    """``parameters`` and ``artifacts`` are the template's inputs; ``tasks`` and ``steps`` those of the caller."""
    name: str
    """Of the input, or of the task or step."""
    in_expression: bool
    """Within ``{{=…}}``, which may allow for it not to be there."""


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield field and text of everything within a value that may read variables."""
    if isinstance(value, str):
        if "{{" in value or path.endswith(_EXPRESSIONS):
            yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from texts(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from texts(child, f"{path}[{i}]")


def variables(value: Any) -> Iterator[Variable]:
    """Yield the inputs, and the tasks and steps of others, that a value reads by ``{{…}}``."""
    for path, text in texts(value):
        for tag in TAG.findall(text):
            for pattern in (_INPUT, _STEP):
                for scope, name in pattern.findall(tag):
                    yield Variable(path, scope, name, tag.startswith("="))
