# SPDX-License-Identifier: Apache-2.0
"""Arguments of a call under ``with Chain`` that are parameters."""

from __future__ import annotations

import inspect
from typing import Any

from hera.workflows import Parameter

from accelchain.api.common import Scalar
from accelchain.api.function_type import FunctionType
from accelchain.hera.accelerated import Accelerated
from accelchain.hera.errors import CompositionError
from accelchain.hera.ports import ChainPort


def given_parameters(
    function: Accelerated[Any, Any], bound: inspect.BoundArguments, type_: FunctionType, where: str
) -> dict[str, Scalar]:
    """Return the values that the chain has to name: those given, and Python's defaults where the type has others.

    Raises:
        CompositionError: a value is neither int, float, bool, str nor a parameter of Hera's.
    """
    defaults = {p.name: p.default for p in type_.spec.parameters}
    values: dict[str, Scalar] = {}
    for setting in function.signature.settings:
        given = setting.name in bound.arguments
        value = bound.arguments[setting.name] if given else setting.default
        if value is None or (not given and value == defaults.get(setting.name)):
            continue
        values[setting.name] = _scalar(value, f"{where}, parameter '{setting.name}'")
    return values


def _scalar(value: Any, where: str) -> Scalar:
    if isinstance(value, Parameter):
        if value.value is None:
            raise CompositionError(
                f"{where}: Hera's parameter '{value.name}' has no value: use what chain.parameter('{value.name}', …) "
                "or get_parameter returns."
            )
        return str(value)
    if isinstance(value, ChainPort):
        raise CompositionError(f"{where}: '{value}' is a port, a value is wanted: give it to an input.")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | int | float):
        return value
    raise CompositionError(
        f"{where}: {type(value).__name__} is neither int, float, bool, str nor a parameter of Hera's: convert it."
    )
