# SPDX-License-Identifier: Apache-2.0
"""Literals of the IR as a function's parameters: KFP keeps all numbers as doubles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from accelchain.api.parameter import ParameterDeclaration

_INPUT: Final = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")


def cast(value: Any, declaration: ParameterDeclaration) -> Any:
    """Return a value in the type of a parameter.

    Raises:
        ValueError: it does not fit; the message says what is wanted.
    """
    kind = declaration.type
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "string" and isinstance(value, str):
        return value
    if kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
        if kind == "number":
            return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)
        if float(value).is_integer():
            return int(value)
    raise ValueError(f"{value!r} is no {kind}")


def is_placeholder(value: Any) -> bool:
    """Tell whether KFP puts something else in a constant's place when the task runs."""
    return isinstance(value, str) and "{{$" in value


def inputs_within(text: str) -> list[str]:
    """Return the task's inputs that KFP puts into a text when the task runs: ``f"s3://bucket/{name}"`` of an author."""
    return list(dict.fromkeys(_INPUT.findall(text)))


def renamed_within(text: str, names: Mapping[str, str]) -> str:
    """Return a text with other inputs in it."""
    return _INPUT.sub(lambda found: found[0].replace(f"'{found[1]}'", f"'{names.get(found[1], found[1])}'"), text)
