# SPDX-License-Identifier: Apache-2.0
"""Rules 9 to 12: what a Pod has, and a function of a DataFlow may lack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from accelchain.argo.core.body import KEY, parse_duration
from accelchain.argo.core.unknown import TAG
from accelchain.argo.fuse.leaf import PARAMETERS, notes_of
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.scope import Chain, Step
from accelchain.argo.fuse.tags import tags
from accelchain.argo.fuse.values import VARIABLE

JsonObject = dict[str, Any]

_TEMPLATE: Final = {"name", "metadata", "annotations", "inputs", "outputs", "container", "script"}
_OTHERS: Final = {  # fields of a template that other rules look at
    "retryStrategy": 9, "serviceAccountName": 9, "timeout": 11, "activeDeadlineSeconds": 11,
    "nodeSelector": 12, "parallelism": 14, "failFast": 14,
}  # fmt: skip
_NUMBERS: Final = {
    "volumes": 10, "pendingTimeout": 11, "affinity": 12, "tolerations": 12, "priorityClassName": 12, "priority": 12,
    "schedulerName": 12, "hooks": 5, "onExit": 5,
}  # fmt: skip
"""Fields that nobody translates, by the rule that names them; rule 9 is for all others."""
_CONTAINER: Final = {
    "name", "image", "command", "args", "source", "imagePullPolicy", "resources", "env", "workingDir",
    "terminationMessagePath", "terminationMessagePolicy",
}  # fmt: skip
_VOLUMES: Final = {"envFrom": 10, "volumeMounts": 10, "volumeDevices": 10}
_CALL: Final = {
    "name", "template", "inline", "arguments", "depends", "dependencies", "when",
    "withItems", "withParam", "withSequence", "continueOn", "hooks", "onExit",
}  # fmt: skip
_SPEC: Final = {
    "retryStrategy": 9, "podSpecPatch": 9, "hostNetwork": 9, "archiveLogs": 9,
    "hostAliases": 9, "dnsPolicy": 9, "dnsConfig": 9,
    "affinity": 12, "tolerations": 12, "schedulerName": 12, "podPriorityClassName": 12, "podPriority": 12,
}  # fmt: skip
_POLICIES: Final = ("None", "", "Always", "OnFailure", "OnError")
_OF_WORKFLOW: Final = re.compile(r"workflow\.(?!outputs\b)")
_TEXT: Final = re.compile(r"""'[^']*'|"[^"]*\"""")
_OF_ATTEMPTS: Final = {"lastRetry.status", "retries", "asInt", "in", "not", "and", "or", "true", "false"}
"""Words of a retryStrategy's expression that mean the same for a Pod and for a DataFlow."""
HOSTNAME: Final = "kubernetes.io/hostname"
LIMITS: Final = ("timeout", "activeDeadlineSeconds")


def rule_09_features(chain: Chain) -> Iterator[Stop]:
    """No step has anything of a Pod's that a function has not; attempts are equal, and of functions that allow them."""
    yield from _of_spec(chain, 9)
    defaults = chain.scope.spec.get("templateDefaults")
    for field, value in (defaults if isinstance(defaults, dict) else {}).items():
        if field not in _TEMPLATE and field not in _OTHERS and field not in _NUMBERS and _is_set(value):
            yield Stop(
                9, chain.names[0], f"templateDefaults has {field}, which would hold for the DataFlow's step too."
            )
    if key := _injected(chain.scope.spec.get("podMetadata")):
        yield Stop(9, chain.names[0], f"the workflow asks for a sidecar in each Pod ({key}).")
    plugins = chain.scope.spec.get("executorPlugins")
    if isinstance(plugins, list) and plugins and KEY not in str(plugins):
        yield Stop(9, chain.names[0], "the workflow has executorPlugins of its own, and ours is none of them.")
    for step, _ in chain.leaves():
        yield from _of_template(step, 9)
        if key := _injected(step.template.get("metadata")):
            yield Stop(9, step.name, f"its template asks for a sidecar ({key}).")
        for field in step.call:
            if field not in _CALL:
                yield Stop(9, step.name, f"it has {field}.")
    yield from _attempts(chain)
    accounts = {step.name: step.template.get("serviceAccountName") for step, _ in chain.leaves()}
    yield from _unequal(accounts, 9, "another serviceAccountName than")


def _of_spec(chain: Chain, rule: int) -> Iterator[Stop]:
    for field, number in _SPEC.items():
        if number == rule and _is_set(chain.scope.spec.get(field)):
            yield Stop(rule, chain.names[0], f"the workflow has {field}, which is for Pods.")


def _of_template(step: Step, rule: int) -> Iterator[Stop]:
    for field, value in step.template.items():
        if field not in _TEMPLATE and field not in _OTHERS and _NUMBERS.get(field, 9) == rule and _is_set(value):
            yield Stop(rule, step.name, f"its template has {field}.")
    for kind in ("container", "script"):
        container = step.template.get(kind)
        for field, value in (container if isinstance(container, dict) else {}).items():
            if field not in _CONTAINER and _VOLUMES.get(field, 9) == rule and _is_set(value):
                yield Stop(rule, step.name, f"its {kind} has {field}.")


def _injected(metadata: Any) -> str:
    """Return the label or annotation that has something put into a Pod; empty where none has."""
    for kind in ("labels", "annotations"):
        notes = metadata.get(kind) if isinstance(metadata, dict) else None
        for key, value in notes.items() if isinstance(notes, dict) else ():
            if "inject" in key and str(value).lower() not in ("false", "disabled", ""):
                return str(key)
    return ""


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value not in ([], {}, "")


def _attempts(chain: Chain) -> Iterator[Stop]:
    found = {step.name: step.template.get("retryStrategy") for step, _ in chain.leaves()}
    yield from _unequal(found, 9, "another retryStrategy than")
    for step, leaf in chain.leaves():
        strategy = step.template.get("retryStrategy")
        if strategy is None:
            continue
        if not leaf.idempotent:
            hint = 'annotate its template with accelchain.io/idempotent: "true" where it may be repeated'
            yield Stop(9, step.name, f"it has a retryStrategy: {hint}.")
        if fault := _fault_of(strategy):
            yield Stop(9, step.name, f"its retryStrategy {fault}.")


def _fault_of(strategy: Any) -> str:
    """Return why a retryStrategy does not mean the same for a DataFlow; empty where it does."""
    if not isinstance(strategy, dict):
        return "has no form that Argo reads"
    if strategy.get("affinity"):
        return "needs a Pod (affinity)"
    if str(strategy.get("retryPolicy")) not in _POLICIES:
        return f"is for errors of Pods ({strategy['retryPolicy']})"
    if own := [tag for tag in tags(strategy) if not (VARIABLE.fullmatch(tag) and _OF_WORKFLOW.match(tag))]:
        return f"depends on {{{{{own[0][:60]}}}}}, which is not the same for a DataFlow"
    words = re.findall(r"[A-Za-z_$][\w.$]*", _TEXT.sub("", TAG.sub("", str(strategy.get("expression") or ""))))
    if own := [word for word in words if word not in _OF_ATTEMPTS]:
        return f"depends on {own[0][:60]}, which is not the same for a DataFlow"
    return ""


def _unequal(values: Mapping[str, Any], rule: int, what: str) -> Iterator[Stop]:
    names = list(values)
    for first, second in pairwise(names):
        if values[first] != values[second]:
            yield Stop(rule, second, f"it has {what} '{first}'.")


def rule_10_volumes(chain: Chain) -> Iterator[Stop]:
    """No step mounts a volume, or takes from its environment what nobody accounts for."""
    for step, _ in chain.leaves():
        yield from _of_template(step, 10)
        container: JsonObject = step.template.get("container") or step.template.get("script") or {}
        for variable in container.get("env") or ():
            name = variable.get("name", "") if isinstance(variable, dict) else variable
            if not isinstance(variable, dict) or variable.get("valueFrom") is not None:
                yield Stop(10, step.name, f"its variable {name} comes from elsewhere (valueFrom).")
            elif PARAMETERS not in notes_of(step.template):
                hint = f"say all that it takes in the annotation {PARAMETERS}"
                yield Stop(10, step.name, f"nothing says what its variable {name} is to the function: {hint}.")


def rule_11_deadlines(chain: Chain) -> Iterator[Stop]:
    """All steps have a time, which is added up, or none has."""
    for step, _ in chain.leaves():
        yield from _of_template(step, 11)
    for field in LIMITS:
        given = {step.name: step.template.get(field) for step, _ in chain.leaves()}
        without = [name for name, value in given.items() if value in (None, "")]
        if without and len(without) < len(given):
            yield Stop(11, without[0], f"others of the chain have {field}, and it has none.")
        for name, value in given.items():
            if value in (None, ""):
                continue
            try:
                if parse_duration(value) <= 0:
                    yield Stop(11, name, f"its {field} ({value}) is no time.")
            except ValueError:
                yield Stop(11, name, f"its {field} ({value}) is known only when it starts.")


def rule_12_places(chain: Chain) -> Iterator[Stop]:
    """Steps run anywhere, or all on one node that is named."""
    yield from _of_spec(chain, 12)
    for step, _ in chain.leaves():
        yield from _of_template(step, 12)
    selectors = {step.name: selector(chain, step) for step, _ in chain.leaves()}
    for name, chosen in selectors.items():
        if chosen and (set(chosen) != {HOSTNAME} or "{{" in str(chosen[HOSTNAME])):
            yield Stop(12, name, f"its nodeSelector is more than a node's name ({HOSTNAME}).")
    yield from _unequal(selectors, 12, "another nodeSelector than")


def selector(chain: Chain, step: Step) -> JsonObject:
    """Return the nodeSelector that holds for a step."""
    found = step.template.get("nodeSelector") or chain.scope.spec.get("nodeSelector")
    return found if isinstance(found, dict) else {}
