# SPDX-License-Identifier: Apache-2.0
"""The DataFlow's spec in a body: Argo makes text of all that it replaces, so text is read as what is wanted."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelchain.api import API_VERSION, DataFlow
from accelchain.argo.core.errors import StepError
from accelchain.chain.model_fields import fields_at
from accelchain.chain.problems import choose

JsonObject = dict[str, Any]
MIN_TTL = 300
"""Seconds: the result is read from the DataFlow after it finished."""
_MAX_BYTES = 512 << 10
"""A spec that etcd takes, with room for the status."""


def parse_spec(given: Any, path: str) -> JsonObject:
    """Return a spec as Kubernetes sees it, with text turned into numbers and booleans where those are wanted.

    Args:
        given: what the author wrote.
        path: where he wrote it.

    Raises:
        StepError: it is no spec, or asks for what a step can't have.
    """
    if not isinstance(given, dict):
        raise StepError(path, "this must be the spec of a DataFlow: chainRef or chain, parameters, inputs, outputs …")
    document = {"apiVersion": API_VERSION, "kind": "DataFlow", "spec": given}
    try:
        spec: JsonObject = DataFlow.model_validate(document).spec.to_dict()
        size = len(json.dumps(spec, allow_nan=False))
    except ValidationError as error:
        # a misspelt field is the cause of the one that is missing
        first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        raise _explained(first, document, path) from None
    except ValueError:
        raise StepError(path, "it holds a number that is not finite.") from None
    if size > _MAX_BYTES:
        raise StepError(path, f"{size} bytes are too many: put the chain into a FunctionChain, and name it (chainRef).")
    if ("chain" in spec) == ("chainRef" in spec):
        raise StepError(path, "give exactly one of chain and chainRef.")
    for field in ("dryRun", "cancel"):
        if spec.get(field):
            raise StepError(f"{path}.{field}", "a step can't have this: take it out.")
    if spec.get("ttlSecondsAfterFinished", MIN_TTL) < MIN_TTL:
        raise StepError(
            f"{path}.ttlSecondsAfterFinished", f"the step's result is read after the end: give at least {MIN_TTL}."
        )
    return spec


def _explained(error: ErrorDetails, document: JsonObject, path: str) -> StepError:
    """Return an error of the model as a sentence, at the author's field."""
    value: Any = document
    location: list[int | str] = []
    for part in error["loc"]:  # members of a union are no fields
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if not inside and error["type"] != "missing":
            break
        location.append(part)
        value = value[part] if inside else None
    field = path + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location[1:])
    if error["type"] == "extra_forbidden":
        return StepError(field[:300], f"unknown field: {choose(str(location[-1]), fields_at(DataFlow, location[:-1]))}")
    if error["type"] == "missing":
        return StepError(field[:300], "this field is missing.")
    shown = "this" if isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False)
    wanted = error["msg"].removeprefix("Input ").removeprefix("Value ")
    return StepError(field[:300], f"{shown[:80]} does not fit: it {wanted[0].lower()}{wanted[1:]}.")
