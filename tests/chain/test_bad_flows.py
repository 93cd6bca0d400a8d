# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (tables: a case a line)
"""Every way to spoil the demo's DataFlow: the reason, the field and what the sentence says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from accelchain.api import ConnectionType, FunctionChain, SchedulingStrategy
from accelchain.chain.resolved import Problem

Json = Any
Check = Callable[..., tuple[Problem, ...]]
F, C = "spec.chain.functions", "spec.chain.connections"
REMOVE = object()

MUTATIONS: list[tuple[str, Json, str, str, str]] = [
    # field, new value, reason, path of the problem, words of the sentence
    ("chain", REMOVE, "UnknownChain", "spec", "exactly one of chain"),
    ("chainRef", {"name": "x"}, "UnknownChain", "spec", "exactly one of chain"),
    ("chain.functions.0.name", "draw", "DuplicateName", f"{F}[3].name", "'draw'"),
    ("chain.functions.1.type", "filter-resise", "UnknownFunction", f"{F}[1].type", "did you mean 'filter-resize'?"),
    ("chain.functions.1.version", "9.9.9", "UnknownFunction", f"{F}[1].version", "choose from 1.0.0"),
    ("chain.functions.1.parameters.width", "wide", "InvalidParameter", f"{F}[1].parameters.width", "an integer is wanted"),
    ("chain.functions.1.parameters.width", 300.5, "InvalidParameter", f"{F}[1].parameters.width", "an integer is wanted"),
    ("chain.functions.1.parameters.width", True, "InvalidParameter", f"{F}[1].parameters.width", "true is a boolean"),
    ("chain.functions.1.parameters.width", 4, "InvalidParameter", f"{F}[1].parameters.width", "minimum, 16"),
    ("chain.functions.1.parameters.width", 99999, "InvalidParameter", f"{F}[1].parameters.width", "maximum, 8192"),
    ("chain.functions.1.parameters.width", REMOVE, "InvalidParameter", f"{F}[1].parameters.width", "give it a value"),
    ("chain.functions.1.parameters.filter", "blur", "InvalidParameter", f"{F}[1].parameters.filter", "gaussian"),
    ("chain.functions.1.parameters.with", 3, "UnknownParameter", f"{F}[1].parameters.with", "did you mean 'width'?"),
    ("chain.functions.1.parameters.width", 320, "PortTypeMismatch", f"{C}[1]", "[300, 320, 3], the input wants [300, 300, 3]"),
    ("chain.functions.2.parameters.threshold", "$(parameters.treshold)", "UnknownParameter", f"{F}[2].parameters.threshold", "did you mean 'threshold'?"),
    ("chain.functions.2.parameters.threshold", "$(threshold)", "InvalidParameter", f"{F}[2].parameters.threshold", "$(parameters.name)"),
    ("chain.functions.2.parameters.threshold", "about $(parameters.threshold)", "InvalidParameter", "spec.parameters.threshold", "a number is wanted"),
    ("chain.functions.0.parameters.uri", "$(inputs.vidoe.uri)", "UnknownParameter", f"{F}[0].parameters.uri", "did you mean 'video'?"),
    ("chain.functions.0.parameters.uri", "street.mp4", "InvalidParameter", f"{F}[0].parameters.uri", "relative"),
    ("chain.functions.5.parameters.uri", "file:///out/a.mp4", "InvalidParameter", f"{F}[5].parameters.uri", "function 'encode' writes to"),
    ("chain.functions.5.parameters.uri", "$(outputs.annotated.uri)", "InvalidParameter", "spec.outputs.annotated.uri", "function 'encode' writes to"),
    ("chain.functions.5.parameters.uri", "file:///data/street.mp4", "InvalidParameter", f"{F}[5].parameters.uri", "function 'decode' reads from"),
    ("chain.parameters.0.default", "high", "InvalidParameter", "spec.chain.parameters[0].default", "a number is wanted"),
    ("chain.parameters.0.minimum", 0.9, "InvalidParameter", "spec.parameters.threshold", "below the minimum"),
    ("chain.parameters.0.name", "level", "UnknownParameter", "spec.parameters.threshold", "choose from: level"),
    ("chain.connections.1.from", "resise.frames", "UnknownFunction", f"{C}[1].from", "did you mean 'resize'?"),
    ("chain.connections.1.from", "resize.frame", "UnknownPort", f"{C}[1].from", "did you mean 'frames'?"),
    ("chain.connections.4.from", "encode.frames", "UnknownPort", f"{C}[4].from", "is an input"),
    ("chain.connections.1.to", "detect.pictures", "UnknownPort", f"{C}[1].to", "no input 'pictures'"),
    ("chain.connections.5.from", "decode.frames", "PortTypeMismatch", f"{C}[5]", "type frames, the input wants detections"),
    ("chain.connections.0.to", "draw.frames", "DuplicateName", f"{C}[2].to", "fed by 'decode.frames' already"),
    ("chain.connections.0.to", "draw.frames", "InputNotConnected", f"{F}[1]", "resize.frames"),
    ("chain.connections.0.from", "draw.frames", "Cycle", f"{C}[0]", "resize → detect → draw → resize"),
    ("chain.connections.0.from", "resize.frames", "Cycle", f"{C}[0]", "resize → resize"),
    ("chain.connections.0.when", "frame % 2 == 0", "NotSupported", f"{C}[0].when", "conditional"),
    ("chain.connections.0.connectionType", "fast", "InvalidParameter", f"{C}[0].connectionType", "there is none"),
    ("parameters.threshold", 2, "InvalidParameter", "spec.parameters.threshold", "'threshold' of function 'detect'"),
    ("parameters.threshold", "high", "InvalidParameter", "spec.parameters.threshold", "a number is wanted"),
    ("parameters.tresh", 1, "UnknownParameter", "spec.parameters.tresh", "did you mean 'threshold'?"),
    ("functionParameters", [{"function": "detekt"}], "UnknownFunction", "spec.functionParameters[0].function", "'detect'"),
    ("functionParameters", [{"function": "resize", "parameters": {"width": 1}}], "InvalidParameter", "spec.functionParameters[0].parameters.width", "minimum"),
    ("functionParameters", [{"function": "draw"}, {"function": "draw"}], "DuplicateName", "spec.functionParameters[1].function", "'draw'"),
    ("connectionParameters", [{"from": "decode.frames", "to": "encode.frames"}], "UnknownPort", "spec.connectionParameters[0]", "decode.frames → encode.frames"),
    ("inputs.video", REMOVE, "MissingInput", "spec.inputs.video", "address"),
    ("inputs.vidoe", {"uri": "file:///v"}, "UnknownParameter", "spec.inputs.vidoe", "did you mean 'video'?"),
    ("inputs.video.uri", "street.mp4", "InvalidParameter", "spec.inputs.video.uri", "file:///"),
    ("inputs.video.uri", "file://street.mp4", "InvalidParameter", "spec.inputs.video.uri", "file:///"),
    ("inputs.video.uri", "", "InvalidParameter", "spec.inputs.video.uri", "empty"),
    ("outputs.annotated", REMOVE, "MissingOutput", "spec.outputs.annotated", "address"),
    ("outputs.detections.uri", "file:///out/x/../a.mp4", "InvalidParameter", "spec.outputs.detections.uri", "output 'annotated'"),
    ("outputs.annotated.uri", "file:///data/street.mp4", "InvalidParameter", "spec.outputs.annotated.uri", "input 'video'"),
    ("rate.functions", [{"function": "dect", "framesPerSecond": 1}], "UnknownFunction", "spec.rate.functions[0].function", "'detect'"),
    ("rate.connections", [{"from": "a.b", "to": "c.d", "framesPerSecond": 1}], "NotSupported", "spec.rate.connections", "load"),
    ("placement.rules.0.function", "dect", "UnknownFunction", "spec.placement.rules[0].function", "'detect'"),
    ("placement.rules.0.implementations", ["opencls"], "InvalidParameter", "spec.placement.rules[0].implementations[0]", "'opencl'"),
    ("placement.rules.0", {"implementations": ["opencl"]}, "InvalidParameter", "spec.placement.rules[0].implementations", "'decode'"),
    ("placement.rules.0.regions", ["lane0"], "NotSupported", "spec.placement.rules[0].regions", "whole devices"),
    ("placement.rules.0.excludeRegions", ["lane0"], "NotSupported", "spec.placement.rules[0].excludeRegions", "whole devices"),
    ("strategyRef", {"name": "pack"}, "InvalidParameter", "spec.strategyRef.name", "no SchedulingStrategy 'pack'"),
]  # fmt: skip


def mutate(spec: Json, field: str, value: Json) -> Json:
    """Set or remove a field, given by keys and indices with dots between."""
    *way, last = field.split(".")
    holder = spec
    for key in way:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    key: Any = int(last) if isinstance(holder, list) else last
    if value is REMOVE:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(value)
    return spec


@pytest.mark.parametrize(("field", "value", "reason", "path", "words"), MUTATIONS)
def test_a_spoiled_flow_is_refused_with_reason_and_field(
    spec: Json, problems: Check, field: str, value: Json, reason: str, path: str, words: str
) -> None:
    found = problems(mutate(spec, field, value))
    hits = [p for p in found if p.reason == reason and p.path == path]
    assert hits, found
    assert any(words in p.message for p in hits), hits
    for problem in found:
        assert problem.message[-1] in ".?" and "\n" not in problem.message
        assert str(problem) == f"{problem.path}: {problem.message}"


def test_all_problems_are_told_in_a_stable_order(spec: Json, problems: Check) -> None:
    mutate(spec, "chain.functions.1.type", "nothing-like-it")
    mutate(spec, "inputs.video", REMOVE)
    mutate(spec, "placement.rules.0.regions", ["lane0"])
    mutate(spec, "chain.connections.4.from", "draw.frame")
    found = problems(spec)
    assert [p.reason for p in found] == ["MissingInput", "UnknownFunction", "UnknownPort", "NotSupported"]
    assert found == problems(spec)


def test_an_unknown_type_spoils_nothing_else(spec: Json, problems: Check) -> None:
    (problem,) = problems(mutate(spec, "chain.functions.2.type", "detect-cat"))
    assert problem.reason == "UnknownFunction"


def test_a_referenced_chain_is_named_in_the_path(spec: Json, problems: Check) -> None:
    chain = spec.pop("chain")
    chain["functions"][1]["parameters"]["width"] = "wide"
    resource = FunctionChain.parse({"metadata": {"name": "people"}, "spec": chain})
    spec["chainRef"] = {"name": "people"}
    (problem,) = problems(spec, resource)
    assert problem.path == "FunctionChain/people spec.functions[1].parameters.width"
    spec["chainRef"] = {"name": "poeple"}
    (problem,) = problems(spec, resource)
    assert (problem.reason, problem.path) == ("UnknownChain", "spec.chainRef.name")
    assert "did you mean 'people'?" in problem.message


@pytest.mark.parametrize(
    "unsupported", [{"encryption": "Required"}, {"policy": "Latest"}, {"conversion": "copy"}], ids=str
)
def test_a_connection_type_beyond_this_version_is_refused_by_name(
    spec: Json, problems: Check, unsupported: Mapping[str, str]
) -> None:
    type_ = ConnectionType.parse({"metadata": {"name": "special"}, "spec": unsupported})
    (problem,) = problems(mutate(spec, "chain.connections.0.connectionType", "special"), type_)
    assert (problem.reason, problem.path) == ("NotSupported", f"{C}[0].connectionType")
    assert f"{next(iter(unsupported))}: {next(iter(unsupported.values()))}" in problem.message


def strategy(name: str, **spec: Json) -> SchedulingStrategy:
    return SchedulingStrategy.parse({"metadata": {"name": name}, "spec": spec})


def test_a_line_of_strategies_must_exist_and_end(spec: Json, problems: Check) -> None:
    mutate(spec, "strategyRef", {"name": "a"})
    a, b = strategy("a", extends={"name": "b"}), strategy("b", extends={"name": "a"})
    (problem,) = problems(spec, a, b)
    assert problem.path == "spec.strategyRef.name" and "(a → b → a)" in problem.message
    (problem,) = problems(spec, a)
    assert "'b', which 'a' extends" in problem.message


def test_parameters_of_a_strategy_are_not_supported(spec: Json, problems: Check) -> None:
    (problem,) = problems(mutate(spec, "strategyRef", {"name": "a"}), strategy("a", parameters={"x": 1.0}))
    assert problem.reason == "NotSupported"
