# SPDX-License-Identifier: Apache-2.0
"""Some tasks of a graph become one task of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

from accelchain.api.function_type import FunctionType
from accelchain.kfp.core.build import Launch, build
from accelchain.kfp.core.draft import Draft, caching, definitions, retry_policy
from accelchain.kfp.core.graph import before, in_between, order, sources
from accelchain.kfp.core.member import Member
from accelchain.kfp.core.names import fresh
from accelchain.kfp.core.outputs import Output, references, used_outside
from accelchain.kfp.core.pipeline import tasks_of
from accelchain.kfp.core.report import JsonObject, Stop


def group(
    draft: Draft, graph_name: str, members: Mapping[str, Member], chain: JsonObject, types: Sequence[FunctionType]
) -> str:
    """Make one task of members, in the draft.

    Args:
        draft: the pipeline.
        graph_name: the component that holds the tasks.
        members: the tasks.
        chain: its name and options.
        types: all functions.

    Returns:
        The task's name.

    Raises:
        Stop: they can't be one task; the draft is as it was.
    """
    graph = draft.graph(graph_name)
    tasks = tasks_of(graph)
    waits = before(tasks)
    if outsider := in_between(waits, members):
        raise Stop(
            "convex",
            outsider,
            f"it waits for a task of chain '{chain['name']}', and another one waits for it: put it into the chain, or "
            "leave the tasks behind it out.",
        )
    try:
        ordered = [members[name] for name in order(waits, members)]
    except ValueError as error:
        raise Stop("chain", next(iter(members)), f"{error}.") from None
    configs = draft.configs(graph)
    launch = build(chain["name"], ordered, used_outside(graph, members, configs), chain, types)
    name = fresh(_task_name(chain["name"]), {*tasks} - {*members})
    task = _task(name, ordered, launch, chain)
    for member in members:
        del tasks[member]
    _redirect(graph, configs, launch, members, name)
    label = draft.executor(name, launch)
    task["componentRef"] = {"name": draft.component(name, {"executorLabel": label, **definitions(launch)})}
    tasks[name] = task
    return name


def _task(name: str, members: Sequence[Member], launch: Launch, chain: JsonObject) -> JsonObject:
    inside = {member.name for member in members}
    task: JsonObject = {"taskInfo": {"name": name}, "cachingOptions": caching(chain, members)}
    if waits := sorted({other for member in members for other in member.task.get("dependentTasks") or ()} - inside):
        task["dependentTasks"] = waits
    given = {kind: {n: copy.deepcopy(s) for n, (s, _) in entries.items()} for kind, entries in launch.inputs.items()}
    if kept := {kind: entries for kind, entries in given.items() if entries}:
        task["inputs"] = kept
    if policy := retry_policy(members):
        task["retryPolicy"] = copy.deepcopy(policy)
    return task


def _redirect(
    graph: JsonObject, configs: Mapping[str, JsonObject], launch: Launch, members: Mapping[str, Member], name: str
) -> None:
    """Have everybody who waits for a member, or uses what it gives, turn to the new task."""
    for task in tasks_of(graph).values():
        if waits := task.get("dependentTasks"):
            task["dependentTasks"] = sorted({name if other in members else other for other in waits})
        for source in sources(task):
            _turn(source, launch, members, name)
    for config in configs.values():
        for reference in references(config):
            _turn(reference, launch, members, name)
    outputs = graph["dag"].get("outputs") or {}
    for output in (outputs.get("artifacts") or {}).values():
        for selector in output.get("artifactSelectors") or ():
            _select(selector, "outputArtifactKey", launch, members, name)
    for output in (outputs.get("parameters") or {}).values():
        selectors = (output.get("valueFromOneof") or {}).get("parameterSelectors") or []
        for selector in [*selectors, *([output["valueFromParameter"]] if "valueFromParameter" in output else [])]:
            _select(selector, "outputParameterKey", launch, members, name)


def _turn(source: JsonObject, launch: Launch, members: Mapping[str, Member], name: str) -> None:
    for field, key in (("taskOutputParameter", "outputParameterKey"), ("taskOutputArtifact", "outputArtifactKey")):
        if field in source and source[field]["producerTask"] in members:
            output = Output(source[field]["producerTask"], source[field][key])
            source[field] = {"producerTask": name, key: launch.renamed[output]}
    if "taskFinalStatus" in source and source["taskFinalStatus"]["producerTask"] in members:
        source["taskFinalStatus"] = {"producerTask": name}


def _select(selector: JsonObject, key: str, launch: Launch, members: Mapping[str, Member], name: str) -> None:
    if selector["producerSubtask"] in members:
        output = Output(selector["producerSubtask"], selector[key])
        selector |= {"producerSubtask": name, key: launch.renamed[output]}


def _task_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "chain"
