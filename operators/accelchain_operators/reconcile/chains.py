# SPDX-License-Identifier: Apache-2.0
"""Ready conditions of FunctionChains and FunctionTypes: what is wrong shows before a flow uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from accelchain.api import FunctionChain, FunctionType
from accelchain.api.summary import summary
from accelchain.chain.resolve import check_chain, check_type
from accelchain_operators.reconcile.actions import Actions, ApplyStatus, JsonObject
from accelchain_operators.reconcile.models import parse, parse_valid, problems_of


def reconcile_chain(chain: JsonObject, types: Sequence[JsonObject]) -> Actions:
    """Return the chain's Ready condition, given all FunctionTypes.

    A chain whose type is missing is not ready yet; it becomes so when the type arrives.
    """
    if "deletionTimestamp" in chain["metadata"]:
        return Actions()
    try:
        spec = parse(FunctionChain, chain).spec
    except ValidationError as error:
        return _ready(chain, "InvalidSpec", problems_of(error))
    names = {"functionNames": summary(function.type for function in spec.functions)}
    if problems := check_chain(spec, parse_valid(FunctionType, types), "spec"):
        return _ready(chain, problems[0].reason, "; ".join(map(str, problems)), names)
    return _ready(chain, "", "all functions are known and all ports fit", names)


def reconcile_type(function_type: JsonObject, types: Sequence[JsonObject]) -> Actions:
    """Return the FunctionType's Ready condition, given all FunctionTypes."""
    if "deletionTimestamp" in function_type["metadata"]:
        return Actions()
    try:
        model = parse(FunctionType, function_type)
    except ValidationError as error:
        return _ready(function_type, "InvalidSpec", problems_of(error))
    apis = {"apis": summary(implementation.api for implementation in model.spec.implementations)}
    others = [
        other.metadata.name
        for other in parse_valid(FunctionType, types)
        if other.metadata.name != model.metadata.name
        and (other.function, other.spec.version) == (model.function, model.spec.version)
    ]
    if others:
        message = f"function {model.function} {model.spec.version} is defined by {', '.join(sorted(others))} too"
        return _ready(function_type, "DuplicateName", f"spec.version: {message}: give this one another version", apis)
    if problems := check_type(model):
        return _ready(function_type, problems[0].reason, "; ".join(map(str, problems)), apis)
    return _ready(function_type, "", "the manifest is complete", apis)


def _ready(obj: JsonObject, reason: str, message: str, columns: Mapping[str, str] | None = None) -> Actions:
    """Return the Ready condition, and what ``kubectl get`` shows beside it."""
    meta = obj["metadata"]
    condition = {
        "type": "Ready",
        "status": "False" if reason else "True",
        "reason": reason or "Valid",
        "message": message[:4096],
        "observedGeneration": meta.get("generation", 0),
    }
    metadata = {key: meta[key] for key in ("name", "namespace") if meta.get(key)}
    status = {"observedGeneration": meta.get("generation", 0), "conditions": [condition], **(columns or {})}
    return Actions(
        (
            (
                ApplyStatus(
                    {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": status}
                ),
            ),
        )
    )
