# SPDX-License-Identifier: Apache-2.0
"""Values that Argo fills in when a step starts, ``{{inputs.parameters.x}}``: unknown before that, not wrong."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelchain.api.common import DNS_LABEL, PORT_REFERENCE
from accelchain.api.data_flow import DataFlowSpec
from accelchain.api.function_type import SEMVER
from accelchain.argo.core.body import KEY

JsonObject = dict[str, Any]
Location = tuple[int | str, ...]
Wanted = Literal["text", "number", "boolean"]

TAG: Final = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
"""One variable or expression of Argo; what is between the braces is group 1."""
_PATTERNS: Mapping[str, str] = {PORT_REFERENCE: "x.x", SEMVER: "1.0.0", DNS_LABEL: "x"}
_STAND_INS: Mapping[str, str] = {"node": "workflow.step", "attempt": "0"}
_ROUNDS = 4
"""A value stands for an unknown one after so many corrections, or none does."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A DataFlow's spec with values of the right type for unknown ones that stand for something else than text."""

    spec: JsonObject
    wanted: Mapping[Location, Wanted]
    """What those fields hold: numbers and booleans are written without quotes."""


def is_unknown(value: Any) -> bool:
    """Tell whether a value holds a variable or an expression of Argo."""
    return isinstance(value, str) and TAG.search(value) is not None


def value_at(document: Any, location: Location) -> tuple[Location, Any]:
    """Return the part of a location that is in the document, and what is there."""
    value = document
    for depth, part in enumerate(location):
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
        )
        if not inside:
            return location[:depth], value
        value = value[part]
    return location, value


def unknown_in(document: Any, location: Location = ()) -> Iterator[Location]:
    """Yield the places of unknown values within a document."""
    if is_unknown(document):
        yield location
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from unknown_in(value, (*location, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from unknown_in(value, (*location, index))


def fill(spec: JsonObject) -> Filled:
    """Put values of the right type in place of unknown ones, where the spec's schema refuses text such as ``{{x}}``.

    Args:
        spec: DataFlowSpec as JSON, as it stands in a template; it is not changed.
    """
    filled, wanted = copy.deepcopy(spec), dict[Location, Wanted]()
    unknown = set(unknown_in(spec))
    for _ in range(_ROUNDS):
        errors = [(at, error) for error in _errors(filled) if (at := value_at(spec, error["loc"])[0]) in unknown]
        if not errors:
            break
        for at, error in errors:
            value = _value_for(error)
            _put(filled, at, value)
            wanted[at] = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return Filled(filled, wanted)


def as_if_started(template: JsonObject) -> tuple[JsonObject, Mapping[Location, Wanted]]:
    """Return one of our templates as a front might get it, with stand-ins for what only Argo knows.

    Args:
        template: has our plugin body; it is not changed.

    Returns:
        The template, and ``Filled.wanted`` of its DataFlow.
    """
    started = copy.deepcopy(template)
    body = started["plugin"][KEY]
    if not isinstance(body, dict):
        return started, {}
    for field, value in _STAND_INS.items():
        if is_unknown(body.get(field)):
            body[field] = value
    if not isinstance(body.get("dataflow"), dict):
        return started, {}
    filled = fill(body["dataflow"])
    body["dataflow"] = filled.spec
    return started, filled.wanted


def _errors(spec: JsonObject) -> list[ErrorDetails]:
    try:
        DataFlowSpec.model_validate(spec)
    except ValidationError as error:
        return error.errors()
    return []


def _value_for(error: ErrorDetails) -> bool | int | float | str:
    """Return a value that a field takes which refused another one."""
    context = error.get("ctx") or {}
    match error["type"].partition("_")[0], error["type"]:
        case "bool", _:
            return True
        case (("int" | "float"), _):
            return 1
        case _, "greater_than_equal":
            return int(context["ge"])
        case _, "greater_than":
            return int(context["gt"]) + 1
        case _, "less_than_equal":
            return int(context["le"])
        case _, "less_than":
            return int(context["lt"]) - 1
        case "literal", _:
            return str(context["expected"]).split("'")[1]
        case _, "string_pattern_mismatch":
            return _PATTERNS.get(context["pattern"], "x")
    return "x"


def _put(document: Any, location: Location, value: Any) -> None:
    _, parent = value_at(document, location[:-1])
    parent[location[-1]] = value
