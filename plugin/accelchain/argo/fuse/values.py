# SPDX-License-Identifier: Apache-2.0
"""Values that a step's template gets: as they are told where it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from accelchain.argo.fuse.leaf import named
from accelchain.argo.fuse.scope import Step
from accelchain.argo.fuse.tags import replaced

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
        if given is None:
            continue
        if given.get("valueFrom") is not None:
            return None
        for field in ("value", "default"):
            if given.get(field) is not None:
                return _text(given[field])
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


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
