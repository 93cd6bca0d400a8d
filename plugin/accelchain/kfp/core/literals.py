# SPDX-License-Identifier: Apache-2.0
"""Literals of the IR as a function's parameters: KFP keeps all numbers as doubles."""

from __future__ import annotations

from typing import Any

from accelchain.api.parameter import ParameterDeclaration


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
