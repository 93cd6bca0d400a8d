# SPDX-License-Identifier: Apache-2.0
"""Conditions and selectors: expression/expression.go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cel

from kfp_backend.values import BackendError, Value, to_text


def condition(expression: str, executor_input: Mapping[str, Any]) -> bool:
    """Whether a task is to run: expression/expression.go:Condition."""
    inputs = executor_input.get("inputs", {})
    fields = {
        "inputs": {
            "parameter_values": inputs.get("parameterValues", {}),
            "artifacts": inputs.get("artifacts", {}),
        },
        "outputs": {},
    }
    found = _evaluate(expression, fields)
    if not isinstance(found, bool):
        raise BackendError(f"evaluation error: return type is not bool, got {found!r}")
    return found


def will_run(task: Mapping[str, Any], resolved: Mapping[str, Any]) -> bool:
    """Whether a task's trigger policy lets it run with these inputs."""
    expression = task.get("triggerPolicy", {}).get("condition", "")
    return condition(expression, {"inputs": resolved}) if expression else True


def select(expression: str, value: Value) -> Value:
    """Take a part of a value: expression/expression.go:Select. ``string_value`` is always there."""
    return _doubles(_evaluate(expression, {"string_value": to_text(value)}))


def _evaluate(expression: str, fields: dict[str, Any]) -> Any:
    context = cel.Context(variables=fields, functions={"parseJson": lambda text: json.loads(text, parse_int=float)})
    try:
        return cel.evaluate(expression, context)
    except Exception as error:  # the library's own errors have no common class
        raise BackendError(f"evaluation error: {expression}: {error}") from error


def _doubles(value: Value) -> Value:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return [_doubles(each) for each in value]
    return {key: _doubles(each) for key, each in value.items()} if isinstance(value, dict) else value
