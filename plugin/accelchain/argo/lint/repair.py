# SPDX-License-Identifier: Apache-2.0
"""All that is wrong in a body: the first problem is put right in a copy, until nothing is wrong any more."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from accelchain.argo.core.body import KEY
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.unknown import JsonObject, Location, value_at

_MOST: Final = 50
"""Problems that are told of one template."""
_PART: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_STAND_INS: Final[Sequence[Any]] = (None, "x", "x.x", "1.0.0", 1, True, {}, [])
"""What may fit where nothing did, in this order; None: the field is taken out."""


def location_of(path: str) -> Location:
    """Return a path such as ``outputs.parameters[0].name`` as keys and indices."""
    return tuple(int(index) if index else name for index, name in _PART.findall(path))


def all_problems(
    template: JsonObject, parse: Callable[[JsonObject], object]
) -> tuple[JsonObject, list[tuple[str, str]]]:
    """Return the template without its faults, and every fault as path and sentence.

    Args:
        template: not changed.
        parse: raises StepError for the first fault that it sees.
    """
    repaired, problems, tries = copy.deepcopy(template), dict[str, str](), dict[str, int]()
    while len(problems) < _MOST:
        try:
            parse(repaired)
        except StepError as error:
            problems.setdefault(error.path, error.message)
            number = tries[error.path] = tries.get(error.path, -1) + 1
            if number < len(_STAND_INS) and _repair(repaired, error.path, _STAND_INS[number]):
                continue
        break
    return repaired, list(problems.items())


def _repair(template: JsonObject, path: str, stand_in: Any) -> bool:
    """Put a fault right; tell whether anything could be done."""
    if path == "plugin":
        template["plugin"] = {KEY: template["plugin"][KEY]}
        return True
    location = location_of(path)
    if len(location) <= 3:  # the body, or its dataflow, as a whole
        if location[-1] in (KEY, "dataflow"):
            return False
        stand_in = {"node": "workflow.step", "attempt": "0"}.get(str(location[-1]))
    found, parent = value_at(template, location[:-1])
    if found != location[:-1] or not isinstance(parent, dict | list):
        return False
    last = location[-1]
    if isinstance(parent, dict):
        if stand_in is None:
            return parent.pop(last, parent) is not parent or str(last) not in parent
        parent[str(last)] = copy.deepcopy(stand_in)
        return True
    if not isinstance(last, int) or last >= len(parent):
        return False
    parent[last] = copy.deepcopy("x" if stand_in is None else stand_in)
    return True
