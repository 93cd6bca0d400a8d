# SPDX-License-Identifier: Apache-2.0
"""The DataFlow that a launcher makes: its payload, with what is known when the task runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from accelchain.kfp.core.payload import Payload
from accelchain.kfp.core.report import JsonObject


class ValueProblem(Exception):  # noqa: N818  (the user's values, not an error of ours)
    """A value that the task was given does not fit; the message names the input."""


def spec_of(
    payload: Payload,
    values: Mapping[str, Any],
    inputs: Mapping[str, JsonObject],
    outputs: Mapping[str, JsonObject],
) -> JsonObject:
    """Return ``DataFlow.spec``.

    Args:
        payload: of the launcher.
        values: input parameters of the task, as KFP hands them over; what an optional one is not given is not there.
        inputs: addresses (``{"uri": …}``) of the chain's inputs that the payload leaves open.
        outputs: the same of its outputs.

    Raises:
        ValueProblem: a value has another type than the function's parameter.
    """
    spec = copy.deepcopy(payload.spec)
    declared = {entry["name"]: entry for entry in (spec.get("chain") or {}).get("parameters") or ()}
    for own, source in payload.parameters.items():
        name = source["input"]
        if values.get(name) is not None:
            kind = declared[own]["type"] if own in declared else ""
            spec.setdefault("parameters", {})[own] = _cast(values[name], kind, name)
        elif own in declared and "default" not in declared[own]:
            _leave_out(spec["chain"], own)
    for side, given in (("inputs", inputs), ("outputs", outputs)):
        if given:
            spec[side] = {**spec.get(side, {}), **given}
    return spec


def _leave_out(chain: JsonObject, name: str) -> None:
    """Take a parameter without a value out of the chain: its functions take their own defaults."""
    chain["parameters"] = [entry for entry in chain["parameters"] if entry["name"] != name]
    for function in chain["functions"]:
        given = function.get("parameters") or {}
        function["parameters"] = {key: value for key, value in given.items() if value != f"$(parameters.{name})"}


def _cast(value: Any, kind: str, name: str) -> Any:
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if not kind:  # of a chain that only the cluster knows: whole numbers are such
        return int(value) if isinstance(value, float) and value.is_integer() else value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and kind == "number":
        return value
    if is_number and kind == "integer" and float(value).is_integer():
        return int(value)
    raise ValueProblem(f"input {name} is {value!r}: its function takes {'an' if kind == 'integer' else 'a'} {kind}.")
