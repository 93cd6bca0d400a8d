# SPDX-License-Identifier: Apache-2.0
"""What a flow says about load and placement: names in it must exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelchain.api.data_flow import DataFlowSpec, PlacementRule
from accelchain.api.scheduling_strategy import SchedulingStrategy
from accelchain.chain.functions import Draft
from accelchain.chain.lineage import LineageError, lineage
from accelchain.chain.problems import Problems, choose
from accelchain.chain.resolved import is_supported
from accelchain.chain.template import Template
from accelchain.chain.unsupported import check_strategy


def check_rules(spec: DataFlowSpec, template: Template, drafts: Mapping[str, Draft], problems: Problems) -> None:
    """Check that placement rules and rates name functions of the chain and implementations of their types."""
    names = [function.name for function in template.spec.functions]
    rules: Sequence[PlacementRule] = spec.placement.rules if spec.placement is not None else ()
    for i, rule in enumerate(rules):
        path = f"spec.placement.rules[{i}]"
        if rule.function is not None and rule.function not in names:
            problems.add(
                "UnknownFunction",
                f"{path}.function",
                f"the chain has no function '{rule.function}': {choose(rule.function, names)}",
            )
            continue
        _check_implementations(rule, path, drafts, problems)
    seen: set[str] = set()
    for i, rate in enumerate(spec.rate.functions if spec.rate is not None else ()):
        path = f"spec.rate.functions[{i}].function"
        if rate.function not in names:
            problems.add(
                "UnknownFunction", path, f"the chain has no function '{rate.function}': {choose(rate.function, names)}"
            )
        elif rate.function in seen:
            problems.add("DuplicateName", path, f"function '{rate.function}' is there already: make one of them.")
        seen.add(rate.function)


def check_lineage(spec: DataFlowSpec, strategies: Mapping[str, SchedulingStrategy], problems: Problems) -> None:
    """Check that the flow's strategy and all that it extends exist, and that the line ends."""
    if spec.strategy_ref is None:
        return
    path = "spec.strategyRef.name"
    try:
        line = lineage(spec.strategy_ref.name, strategies)
    except LineageError as error:
        problems.add("InvalidParameter", path, str(error))
        return
    for strategy in line:
        check_strategy(strategy, path, problems)


def rules_for(spec: DataFlowSpec, function: str) -> tuple[PlacementRule, ...]:
    """Return the rules that hold for a function."""
    rules = spec.placement.rules if spec.placement is not None else ()
    return tuple(rule for rule in rules if rule.function in (None, function))


def rate_for(spec: DataFlowSpec, function: str) -> tuple[float | None, str]:
    """Return a function's declared frames a second and the field that says so; None and "" where nothing does."""
    if spec.rate is None:
        return None, ""
    for i, rate in enumerate(spec.rate.functions):
        if rate.function == function:
            return rate.frames_per_second, f"spec.rate.functions[{i}].framesPerSecond"
    return spec.rate.frames_per_second, "spec.rate.framesPerSecond"


def _check_implementations(rule: PlacementRule, path: str, drafts: Mapping[str, Draft], problems: Problems) -> None:
    held = [draft for draft in drafts.values() if rule.function in (None, draft.name)]
    known = {i.name for draft in held for i in draft.type.spec.implementations}
    for j, name in enumerate(rule.implementations):
        if held and name not in known:
            problems.add(
                "InvalidParameter",
                f"{path}.implementations[{j}]",
                f"no function that this rule holds for has an implementation '{name}': {choose(name, known)}",
            )
    if not rule.implementations or not known.intersection(rule.implementations):
        return
    for draft in held:
        left = [i for i in draft.type.spec.implementations if i.name in rule.implementations and is_supported(i)]
        if not left:
            have = ", ".join(i.name for i in draft.type.spec.implementations if is_supported(i))
            problems.add(
                "InvalidParameter",
                f"{path}.implementations",
                f"leaves function '{draft.name}' no implementation that this version runs (it has {have or 'none'}): "
                "add one, or name the rule's function.",
            )
