# SPDX-License-Identifier: Apache-2.0
"""A whole graph becomes one task: its component runs a launcher in place of tasks, and keeps its interface."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from accelchain.api.function_type import FunctionType
from accelchain.kfp.core.build import build
from accelchain.kfp.core.draft import Draft, caching, definitions, retry_policy
from accelchain.kfp.core.graph import before, order
from accelchain.kfp.core.member import Member
from accelchain.kfp.core.outputs import Output, exposed
from accelchain.kfp.core.pipeline import tasks_of
from accelchain.kfp.core.report import JsonObject, Stop


def nest(
    draft: Draft, graph_name: str, members: Mapping[str, Member], chain: JsonObject, types: Sequence[FunctionType]
) -> None:
    """Make a launcher of a graph, in the draft.

    Args:
        draft: the pipeline.
        graph_name: the component; not the pipeline itself.
        members: all of its tasks.
        chain: its name and options.
        types: all functions.

    Raises:
        Stop: it can't be one task; the draft is as it was.
    """
    component = draft.graph(graph_name)
    try:
        ordered = [members[name] for name in order(before(tasks_of(component)), members)]
    except ValueError as error:
        raise Stop("chain", next(iter(members)), f"{error}.") from None
    names = _names(component["dag"])
    launch = build(chain["name"], ordered, set(names), chain, types, names)
    if missing := sorted(set(names) - set(launch.renamed)):
        raise Stop("interface", missing[0].task, f"its output '{missing[0].key}' is nothing of its function.")
    del component["dag"]
    component["executorLabel"] = draft.executor(graph_name.removeprefix("comp-"), launch)
    for side, kinds in definitions(launch).items():
        for kind, entries in kinds.items():
            own = component.setdefault(side, {}).setdefault(kind, {})
            own |= {name: entry for name, entry in entries.items() if name not in own}
    policy = retry_policy(ordered)
    for caller in draft.callers(graph_name):
        caller["cachingOptions"] = caching(chain, ordered)
        for kind, entries in launch.inputs.items():
            for name, (source, _) in entries.items():
                caller.setdefault("inputs", {}).setdefault(kind, {})[name] = copy.deepcopy(source)
        if policy and _tries(policy) > _tries(caller.get("retryPolicy") or {}):
            caller["retryPolicy"] = copy.deepcopy(policy)


def _names(dag: JsonObject) -> dict[Output, str]:
    """Return what a graph's outputs are called.

    Raises:
        Stop: one is chosen from several, or is there twice.
    """
    found: dict[Output, str] = {}
    for name, outputs in exposed(dag).items():
        if len(outputs) != 1:
            first = outputs[0].task if outputs else ""
            raise Stop("boundary", first, f"output '{name}' is one of several: choose outside of the chain.")
        if outputs[0] in found:
            twice = f"leaves the chain as '{found[outputs[0]]}' and as '{name}': leave one out."
            raise Stop("boundary", outputs[0].task, f"its output '{outputs[0].key}' {twice}")
        found[outputs[0]] = name
    return found


def _tries(policy: JsonObject) -> int:
    return int(policy.get("maxRetryCount") or 0)
