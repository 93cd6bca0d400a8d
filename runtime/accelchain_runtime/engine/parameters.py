# SPDX-License-Identifier: Apache-2.0
"""Checks a function's parameters against its manifest and fills in defaults (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelchain_runtime.engine.function import InputError

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def resolve(declarations: Sequence[Mapping[str, Any]], given: Mapping[str, Any], function: str) -> dict[str, Any]:
    """Return all parameters that have a value, in the manifest's order.

    Args:
        declarations: ``spec.parameters`` of the manifest.
        given: values by name.
        function: name of the function in the chain, for messages.

    Raises:
        InputError: a parameter is unknown, missing, of the wrong type or outside its limits.
    """
    known = [str(declaration["name"]) for declaration in declarations]
    for name in given:
        if name not in known:
            choices = ", ".join(known) or "none"
            raise InputError(f"{function}: unknown parameter {name}; its parameters are: {choices}.", parameter=name)
    values: dict[str, Any] = {}
    for declaration in declarations:
        name = str(declaration["name"])
        value = given.get(name, declaration.get("default"))
        if value is None:
            if declaration.get("required"):
                raise InputError(f"{function}: parameter {name} must be given.", parameter=name)
            continue
        values[name] = _checked(declaration, value, f"{function}: parameter {name}", name)
    return values


def _checked(declaration: Mapping[str, Any], value: Any, what: str, name: str) -> Any:
    kind = declaration.get("type", "string")
    if type(value) not in _TYPES[kind]:
        raise InputError(f"{what} is {value!r}; give a value of type {kind}.", parameter=name)
    if kind == "number":
        value = float(value)  # a whole number is a number too
    choices = declaration.get("enum")
    if choices and value not in choices:
        raise InputError(f"{what} is {value!r}; give one of {', '.join(map(str, choices))}.", parameter=name)
    smallest, largest = declaration.get("minimum"), declaration.get("maximum")
    if smallest is not None and not value >= smallest:  # "not >=" refuses nan too
        raise InputError(f"{what} is {value}; the smallest allowed is {smallest}.", parameter=name)
    if largest is not None and not value <= largest:
        raise InputError(f"{what} is {value}; the largest allowed is {largest}.", parameter=name)
    return value
