# SPDX-License-Identifier: Apache-2.0
"""The scheduler's part of a laptop: may a pod run on this node? Pure.

Node selector and required node affinity are honoured as Kubernetes defines them. A pod that names no node may run on
any; where several kubelets see it, the first to bind it wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelchain_operators.localkube.kubelet.podspec import JsonObject

SCHEDULER = "default-scheduler"


def wants_binding(pod: JsonObject) -> bool:
    """Tell whether a pod waits for a scheduler like this one."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", SCHEDULER) == SCHEDULER
        and not pod["metadata"].get("deletionTimestamp")
    )


def fits(pod: JsonObject, node_name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether selector and required affinity allow this node."""
    spec = pod["spec"]
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_fits(term, node_name, labels) for term in required["nodeSelectorTerms"])


def _term_fits(term: JsonObject, node_name: str, labels: Mapping[str, str]) -> bool:
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False  # Kubernetes: an empty term matches nothing
    return all(_holds(expression, labels) for expression in expressions) and all(
        _holds(field, {"metadata.name": node_name}) for field in fields
    )


def _holds(expression: JsonObject, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and _number(value) > _number(values[0])
        case "Lt":
            return value is not None and _number(value) < _number(values[0])
    return False


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float("nan")  # not a number: no comparison holds
