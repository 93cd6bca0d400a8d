# SPDX-License-Identifier: Apache-2.0
"""Values that a step's template gets: as they are told where it is called."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from accelchain.argo.fuse.leaf import named
from accelchain.argo.fuse.scope import Step
from accelchain.argo.fuse.tags import replaced

JsonObject = dict[str, Any]

VARIABLE: Final = re.compile(
    r"inputs\.parameters\.(?P<parameter>[^\s.{}\[\]]+)"
    r"|(?:inputs|outputs)\.artifacts\.[^\s{}]+\.path"
    r"|workflow\.(?:name|namespace|uid|serviceAccountName|mainEntrypoint|priority|scheduledTime)"
    r"|workflow\.(?:parameters|labels|annotations|creationTimestamp|outputs\.parameters)\.[^\s{}]+"
)
"""Variables of a template that mean the same in a Pod and in a DataFlow."""


def value_of(step: Step, name: str) -> str | None:
    """Return an input parameter's value as text, with variables of the template around; None: there is none yet."""
    for given in (step.parameters.get(name), named(step.template, "inputs", "parameters").get(name)):
        if given is not None and has_value(given):
            return None if given.get("valueFrom") is not None else _text(given.get("value", given.get("default")))
    return None


def has_value(given: JsonObject | None) -> bool:
    """Tell whether a parameter, as it is given or declared, says what its value is."""
    return given is not None and any(given.get(field) is not None for field in ("valueFrom", "value", "default"))


def _text(value: Any) -> str | None:
    """Return a value as Argo's parameters have it: 1.0 is ``1``, and 1e6 is ``1000000``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or not math.isfinite(float(value)):
        return None
    # argoproj/argo-workflows v4.1.2, anystring.go: UnmarshalJSON reads every number as a float
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def inlined(step: Step, value: Any, names: Mapping[str, str]) -> Any:
    """Return a value of a step's template with its parameters' values in it.

    Args:
        step: whose template it is.
        value: JSON.
        names: by parameter, the text that stands for it.
    """

    def by(tag: str) -> str | None:
        known = VARIABLE.fullmatch(tag)
        return names[known["parameter"]] if known and known["parameter"] is not None else None

    return replaced(value, by)
