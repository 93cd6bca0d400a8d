# SPDX-License-Identifier: Apache-2.0
"""Random workflows with chains, and which of their steps may become one DataFlow: told by brute force, not by fuse."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Json = dict[str, Any]
DEFECTS = (
    "unmapped", "loop", "inner-when", "kept", "second-consumer", "extra-dependency", "retry", "one-timeout",
    "watched-failure", "state-used", "continue", "parallelism", "first-when", "mount", "anything-goes",
)  # fmt: skip
HARMLESS = ("retry-all", "timeout-all", "parameter", "guarded-when", "follower", "none", "none")


@dataclass
class Made:
    document: Json
    store: dict[str, list[int]]
    expected: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    """Template and steps of each chain that the rules allow."""


@dataclass
class _Segment:
    names: list[str]
    calls: list[Json]
    extra: list[Json]
    stopped: set[str] = field(default_factory=set)
    """Steps that can't be part of a chain."""
    cut: set[tuple[str, str]] = field(default_factory=set)
    """Pairs that can't be in one chain."""


def make(seed: int) -> Made:
    """Return a workflow of that seed."""
    chance = random.Random(seed)
    made = Made({}, {f"in/{i}": [chance.randint(-3, 9) for _ in range(3)] for i in range(3)})
    templates: list[Json] = []
    bodies = [_body(chance, f"part{i}", templates, made) for i in range(chance.randint(1, 3))]
    calls = []
    for i, body in enumerate(bodies):
        call: Json = {"name": f"call{i}", "template": body["name"]}
        value = "{{workflow.parameters.by}}"
        match chance.randrange(5):
            case 0:
                call["withItems"], value = [1, 2], "{{item}}"
            case 1:
                call["withParam"], value = "[3, 4]", "{{item}}"
            case 2:
                call["withSequence"], value = {"count": "2"}, "{{item}}"
            case 3:
                call["when"] = f"{chance.randrange(2)} == 1"
        call["arguments"] = {"parameters": [{"name": "by", "value": value}, {"name": "id", "value": value + f"-{i}"}]}
        calls.append(call)
    main: Json = {"name": "main"}
    if chance.random() < 0.5:
        main["steps"] = [[call] for call in calls]
    else:
        main["dag"] = {"tasks": [c | ({"depends": calls[i - 1]["name"]} if i else {}) for i, c in enumerate(calls)]}
    spec: Json = {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "by", "value": str(chance.randint(1, 4))}]},
        "templates": [main, *bodies, *templates],
    }
    if chance.random() < 0.2:
        spec["onExit"] = bodies[0]["name"] if chance.random() < 0.5 else "noise"
        spec["templates"][1 : 1 + len(bodies)] = bodies
        if spec["onExit"] == bodies[0]["name"]:
            bodies[0]["inputs"]["parameters"] = [{"name": "by", "default": "1"}, {"name": "id", "default": "exit"}]
            made.expected = {chain for chain in made.expected if chain[0] != bodies[0]["name"]}
    spec["templates"].append(_leaf("noise", "read-numbers", {}, [], mapped=False))
    kind = chance.choice(("Workflow", "WorkflowTemplate", "CronWorkflow"))
    inner = {"schedules": ["* * * * *"], "workflowSpec": spec} if kind == "CronWorkflow" else spec
    made.document = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": "w"}, "spec": inner}
    made.document = copy.deepcopy(made.document)
    return made


def _body(chance: random.Random, name: str, templates: list[Json], made: Made) -> Json:
    dag = chance.random() < 0.6
    body: Json = {"name": name, "inputs": {"parameters": [{"name": "by"}, {"name": "id"}]}}
    segments: list[_Segment] = []
    groups: list[list[Json]] = []
    blocked = False
    for i in range(chance.randint(1, 2)):
        fault = chance.choice(DEFECTS) if chance.random() < 0.6 else chance.choice(HARMLESS)
        if dag and fault == "continue":  # Argo takes no continueOn beside depends
            fault = "mount"
        segment = _segment(chance, f"{name}-{i}", fault, dag, templates)
        if fault == "parallelism":
            body["parallelism"] = 4
            blocked = True
        segments.append(segment)
        groups += [[call] for call in segment.calls]
        for extra in segment.extra:
            groups.append([extra])
        if fault == "extra-dependency" and not dag:  # a step beside: the group is not of one step any more
            at = len(groups) - len(segment.calls) - len(segment.extra) + 1
            groups[at].append(_noise(f"{name}-{i}-beside"))
    if dag:
        tasks = [task for segment in segments for task in (*segment.calls, *segment.extra)]
        if chance.random() < 0.5:
            tasks.append(_noise(f"{name}-noise"))
        body["dag"] = {"tasks": tasks}
    else:
        body["steps"] = groups
    for segment in segments:
        for chain in [] if blocked else _allowed(segment):
            made.expected.add((name, chain))
    return body


def _segment(chance: random.Random, name: str, fault: str, dag: bool, templates: list[Json]) -> _Segment:
    length = chance.randint(0, 3)
    middle = [(chance.choice(("add", "scale", "fail-at")), chance.randint(0, 4)) for _ in range(length)]
    functions = [("read-numbers", 0), *middle, ("write-numbers", 0)]
    names = [f"{name}-{i}" for i in range(len(functions))]
    victim = chance.randrange(len(names))
    inner = chance.randrange(1, len(names))
    own = _Segment(names, [], [])
    for i, (function, by) in enumerate(functions):
        options: Json = {}
        if function in ("add", "scale", "fail-at"):
            options["by"] = "{{inputs.parameters.by}}" if chance.random() < 0.5 else str(by)
        leaf = _leaf(names[i], function, options, ["kept"] if fault == "kept" and i == inner - 1 else [])
        call = _call(names[i], function, by, names[i - 1] if i else "", dag, chance)
        _spoil(own, fault, i, victim, inner, leaf, call, dag)
        templates.append(leaf)
        own.calls.append(call)
    _extra(own, fault, inner, dag)
    return own


def _spoil(own: _Segment, fault: str, i: int, victim: int, inner: int, leaf: Json, call: Json, dag: bool) -> None:
    """Put a fault into one step, and note what it stops."""
    name, notes = own.names[i], leaf["metadata"]["annotations"]
    if i == victim:
        own.stopped |= {name} if fault in ("unmapped", "loop", "retry", "one-timeout", "continue", "mount") else set()
        match fault:
            case "unmapped":
                del notes["accelchain.io/function"]
            case "loop":
                call["withItems"] = [1]
            case "retry":
                leaf["retryStrategy"] = {"limit": "1"}
            case "one-timeout":
                leaf["timeout"] = "10s"
            case "continue":
                call["continueOn"] = {"failed": True}
            case "mount":
                leaf["container"]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    if fault == "retry-all":
        leaf["retryStrategy"] = {"limit": "1"}
        notes["accelchain.io/idempotent"] = "true"
    elif fault == "timeout-all":
        leaf["timeout"] = "10s"
    if fault == "inner-when" and i == inner:
        call["when"] = "1 == 1"
        own.cut.add((own.names[i - 1], name))
    if fault == "kept" and i == inner:
        own.cut.add((own.names[i - 1], name))
    if fault in ("first-when", "guarded-when"):
        if i == 0:
            call["when"] = "1 == 2" if fault == "guarded-when" else "1 == 1"
        elif dag:
            call["depends"] = own.names[i - 1] + (".Succeeded" if fault == "guarded-when" else "")
        if i == 1 and (fault == "first-when" or not dag):
            own.cut.add((own.names[0], own.names[1]))
    if fault == "extra-dependency" and i == 1:
        own.cut.add((own.names[0], own.names[1]))
        if len(own.names) > 2 and not dag:
            own.cut.add((own.names[1], own.names[2]))
        if dag:
            own.extra.append(_noise(f"{own.names[0]}-early"))
            call["depends"] = f"{own.names[0]} && {own.names[0]}-early"


def _extra(own: _Segment, fault: str, inner: int, dag: bool) -> None:
    """Add a step that looks at the chain."""
    first, last = own.names[inner - 1], own.names[-1]
    prefix = "tasks" if dag else "steps"
    side = _noise(f"{last}-side")
    match fault:
        case "second-consumer":
            side["arguments"]["artifacts"] = [_edge(f"{prefix}.{first}", "nums", "numbers")]
            own.cut.add((first, own.names[inner]))
            side |= {"depends": first} if dag else {}
        case "state-used":
            side["arguments"]["parameters"] = [{"name": "unused", "value": f"{{{{{prefix}.{first}.status}}}}"}]
            own.cut.add((first, own.names[inner]))
            side |= {"depends": last} if dag else {}
        case "watched-failure":
            side |= {"depends": f"{last}.Failed"} if dag else {}
            if dag:
                own.stopped.add(last)
        case "anything-goes":
            side["arguments"]["parameters"] = [{"name": "unused", "value": f"{{{{={prefix}['{last}'].status}}}}"}]
            side["when"] = "1 == 2"
            own.stopped.add(last)
            side |= {"depends": last} if dag else {}
            side["arguments"]["parameters"][0]["value"] = f"{{{{{prefix}.{last}.status}}}}"
        case "follower":
            side |= {"depends": last} if dag else {}
            side["arguments"]["artifacts"] = [_edge(f"{prefix}.{last}", "nums", "result")]
        case _:
            return
    own.extra.append(side)


def _allowed(own: _Segment) -> list[tuple[str, ...]]:
    """Try every row of steps that follow each other; keep those that nothing stops and that are in no longer one."""
    good = []
    for a in range(len(own.names)):
        for b in range(a + 1, len(own.names) + 1):
            row = own.names[a:b]
            whole = a == 0 and b == len(own.names)  # a source first and a sink last
            pairs = set(pairwise(row))
            if whole and not own.stopped & set(row) and not own.cut & pairs:
                good.append(tuple(row))
    return [row for row in good if not any(set(row) < set(other) for other in good)]


def _leaf(name: str, function: str, options: Json, kept: list[str], mapped: bool = True) -> Json:
    notes = {"accelchain.io/function": function} if mapped else {}
    inputs: Json = {"name": "nums", "path": "/tmp/in/nums"}
    output: Json = {"name": "numbers", "path": "/tmp/out/numbers", "archive": {"none": {}}}
    args = [word for key, value in options.items() for word in (f"--{key}", value)]
    parameters = [{"name": "by"}] if "{{inputs.parameters.by}}" in args else []
    if function == "read-numbers":
        args += ["--uri", "{{inputs.artifacts.nums.path}}"]
        inputs |= {"s3": {"key": "in/0"}} if not mapped else {}
    else:
        args += ["--input", "numbers={{inputs.artifacts.nums.path}}"]
    if function == "write-numbers":
        key = "{{workflow.name}}/" + name + "/{{inputs.parameters.id}}"
        output |= {"name": "result", "s3": {"key": key}}
        parameters.append({"name": "id"})
        args += ["--uri", "{{outputs.artifacts.result.path}}"]
    else:
        args += ["--output", "numbers={{outputs.artifacts.numbers.path}}"]
        notes |= {} if kept else {"accelchain.io/ephemeral": "numbers"}
    template: Json = {
        "name": name,
        "metadata": {"annotations": notes},
        "inputs": {"artifacts": [inputs]} | ({"parameters": parameters} if parameters else {}),
        "outputs": {"artifacts": [output]},
        "container": {"image": "worker:1", "command": ["accelchain", "step", function], "args": args},
    }
    return template


def _call(name: str, function: str, by: int, before: str, dag: bool, chance: random.Random) -> Json:
    prefix = "tasks" if dag else "steps"
    parameters = [{"name": "by", "value": chance.choice(("{{inputs.parameters.by}}", str(by)))}]
    if function == "write-numbers":
        parameters.append({"name": "id", "value": "{{inputs.parameters.id}}"})
    artifact = _edge(f"{prefix}.{before}", "nums", "numbers") if before else {"name": "nums", "s3": {"key": "in/1"}}
    call: Json = {"name": name, "template": name, "arguments": {"parameters": parameters, "artifacts": [artifact]}}
    if before and dag:
        call |= chance.choice(({"depends": before}, {"depends": f"{before}.Succeeded"}))
    return call


def _edge(step: str, name: str, output: str) -> Json:
    return {"name": name, "from": f"{{{{{step}.outputs.artifacts.{output}}}}}"}


def _noise(name: str) -> Json:
    return {"name": name, "template": "noise", "arguments": {}}
