# SPDX-License-Identifier: Apache-2.0
"""Texts of templates: Argo's variables in them, and which steps they speak of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from accelchain.argo.core.unknown import TAG

ANY: Final = "*"
"""The step of a reference that can't be told from the text: it may be any."""
_STEP: Final = re.compile(
    r"""(?<![\w.'"])(?:tasks|steps)
        (?:\.(?P<plain>\w[-\w]*)|\[\s*(?P<quote>['"])(?P<quoted>[^'"\\]+)(?P=quote)\s*\])
        (?P<rest>(?:\.\w[-\w]*|\[\s*['"][^'"\\]+['"]\s*\])*)""",
    re.VERBOSE,
)
_STEPS: Final = re.compile(r"""(?<![\w.'"])(?:tasks|steps)\b|\$env\b""")
"""All steps at once; ``$env`` holds every variable of an expression."""
_FAILURES: Final = re.compile(r"""(?<![\w.'"])workflow\b(?!\s*\.\s*(?!failures\b)\w)|\$env\b""")
_PART: Final = re.compile(r"\w[-\w]*")


@dataclass(frozen=True, slots=True)
class Mention:
    """A text that speaks of a step."""

    step: str
    what: str
    """``outputs.artifacts.frames``, ``status``; of an expression perhaps more than that."""


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text within a value, keys of mappings too, with the field that holds it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield "", str(name)
            yield from texts(child, str(name))
    elif isinstance(value, list):
        for child in value:
            yield from texts(child, key)


def tags(value: Any) -> Iterator[str]:
    """Yield what is between the braces of every variable within a value, without spaces around it."""
    for _, text in texts(value):
        for found in TAG.finditer(text):
            yield found[1].strip()


def tells_failures(value: Any) -> bool:
    """Tell whether a value (perhaps) uses ``workflow.failures``, which names nodes that failed."""
    return any(_FAILURES.search(inner) for inner, _ in _inner(value))


def mentions(value: Any) -> Iterator[Mention]:
    """Yield the steps that a value speaks of, in variables and in expressions."""
    for inner, expression in _inner(value):
        yield from _in_expression(inner) if expression else _in_variable(inner)


def _inner(value: Any) -> Iterator[tuple[str, bool]]:
    """Yield the variables and expressions within a value, and whether each is an expression."""
    for key, text in texts(value):
        if key.lower().endswith("expression"):
            yield text, True
        else:
            yield from ((inner, inner.startswith("=")) for found in TAG.finditer(text) if (inner := found[1].strip()))


def replaced(value: Any, by: Callable[[str], str | None]) -> Any:
    """Return a value with variables replaced.

    Args:
        value: JSON; it is not changed.
        by: gets what is between the braces, without spaces around it; None: the variable stays.
    """
    if isinstance(value, str):
        return TAG.sub(lambda found: found[0] if (new := by(found[1].strip())) is None else new, value)
    if isinstance(value, dict):
        return {key: replaced(child, by) for key, child in value.items()}
    if isinstance(value, list):
        return [replaced(child, by) for child in value]
    return value


def _in_variable(inner: str) -> Iterator[Mention]:
    if found := _STEP.match(inner):
        yield _mention(found)


def _in_expression(inner: str) -> Iterator[Mention]:
    told = set()
    for found in _STEP.finditer(inner):
        told.add(found.start())
        yield _mention(found)
    if any(found.start() not in told for found in _STEPS.finditer(inner)):
        yield Mention(ANY, "")


def _mention(found: re.Match[str]) -> Mention:
    return Mention(found["plain"] or found["quoted"], ".".join(_PART.findall(found["rest"])))
