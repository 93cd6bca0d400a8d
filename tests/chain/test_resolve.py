# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accelchain.api import ConnectionType, FunctionChain, FunctionType
from accelchain.chain.resolve import check_chain
from accelchain.chain.resolved import PortId, ResolvedFlow

Json = Any
Resolve = Callable[..., ResolvedFlow]
Make = Callable[..., FunctionType]


def edge(flow: ResolvedFlow, source: str, target: str) -> Any:
    return next(c for c in flow.connections if (str(c.source), str(c.target)) == (source, target))


def test_the_demo_chain_resolves(spec: Json, resolve: Resolve) -> None:
    flow = resolve(spec)
    assert [f.name for f in flow.functions] == ["decode", "resize", "detect", "draw", "encode", "write"]
    assert flow.function("decode").parameters == {"uri": "file:///data/street.mp4"}
    assert flow.function("detect").parameters == {"threshold": 0.5}
    assert flow.artifacts == {"annotated": "file:///out/a.mp4", "detections": "file:///out/d.jsonl"}
    assert edge(flow, "resize.frames", "detect.frames").bytes_per_frame == 300 * 300 * 3
    assert edge(flow, "detect.detections", "write.detections").bytes_per_frame == 100 * 6 * 4
    assert edge(flow, "decode.frames", "draw.frames").bytes_per_frame is None  # known when the video is open


def test_every_parameter_knows_the_field_it_came_from(spec: Json, resolve: Resolve) -> None:
    spec["functionParameters"] = [{"function": "resize", "parameters": {"filter": "median"}}]
    flow = resolve(spec)
    assert flow.function("decode").origins == {"uri": "spec.inputs.video.uri"}
    assert flow.function("detect").origins == {"threshold": "spec.parameters.threshold"}
    assert flow.function("resize").origins == {
        "width": "spec.chain.functions[1].parameters.width",
        "height": "spec.chain.functions[1].parameters.height",
        "filter": "spec.functionParameters[0].parameters.filter",
    }
    del spec["parameters"]
    assert resolve(spec).function("detect").origins == {"threshold": "spec.chain.parameters[0].default"}


def test_the_flows_parameters_go_before_the_chains(spec: Json, resolve: Resolve) -> None:
    spec["functionParameters"] = [{"function": "detect", "parameters": {"threshold": 0.9}}]
    assert resolve(spec).function("detect").parameters == {"threshold": 0.9}


def test_text_is_read_as_the_number_or_boolean_that_is_declared(spec: Json, resolve: Resolve) -> None:
    """Workflow engines hand every value on as text."""
    spec["parameters"]["threshold"] = "0.5"
    spec["chain"]["functions"][1]["parameters"] = {"width": "300", "height": " 300 "}
    flow = resolve(spec)
    assert flow.function("detect").parameters == {"threshold": 0.5}
    assert flow.function("resize").parameters == {"width": 300, "height": 300}
    assert edge(flow, "resize.frames", "detect.frames").bytes_per_frame == 300 * 300 * 3


@pytest.mark.parametrize("text", ["8.5", "NaN", "1e999", "[8]", "true", '"8"', "", "eight"])
def test_text_that_is_no_value_of_the_declared_type_is_refused(spec: Json, problems: Any, text: str) -> None:
    spec["chain"]["functions"][1]["parameters"]["width"] = text
    assert [p.path for p in problems(spec)] == ["spec.chain.functions[1].parameters.width"]


def test_an_input_whose_only_reader_is_overridden_needs_no_address(spec: Json, resolve: Resolve) -> None:
    del spec["inputs"]
    spec["functionParameters"] = [{"function": "decode", "parameters": {"uri": "http://camera/live"}}]
    assert resolve(spec).function("decode").parameters == {"uri": "http://camera/live"}


def test_a_declared_input_that_nobody_reads_is_fine(spec: Json, resolve: Resolve) -> None:
    spec["chain"]["inputs"].append({"name": "spare"})
    resolve(spec)


def test_a_chain_can_be_referred_to(spec: Json, resolve: Resolve) -> None:
    chain = FunctionChain.parse({"metadata": {"name": "people", "generation": 7}, "spec": spec.pop("chain")})
    flow = resolve(spec | {"chainRef": {"name": "people"}}, chain)
    assert (flow.chain_name, flow.chain_generation) == ("people", 7)
    assert flow.function("resize").path == "FunctionChain/people spec.functions[1]"


def test_connections_take_type_then_chain_then_flow(spec: Json, resolve: Resolve) -> None:
    thin = ConnectionType.parse({"metadata": {"name": "thin"}, "spec": {"mechanisms": ["host-copy"], "slots": 2}})
    connections = spec["chain"]["connections"]
    connections[0] |= {"connectionType": "thin"}
    connections[1] |= {"connectionType": "thin", "parameters": {"slots": 3, "latencyMicroseconds": 50}}
    spec["connectionParameters"] = [{"from": "resize.frames", "to": "detect.frames", "parameters": {"slots": 8}}]
    flow = resolve(spec, thin)
    first, second = (edge(flow, c["from"], c["to"]) for c in connections[:2])
    assert (first.mechanisms, first.slots, first.latency_microseconds) == (("host-copy",), 2, 0)
    assert (second.mechanisms, second.slots, second.latency_microseconds) == (("host-copy",), 8, 50)
    assert len(edge(flow, "draw.frames", "encode.frames").mechanisms) == 4


def test_rates_and_rules_reach_the_functions_that_they_name(spec: Json, resolve: Resolve) -> None:
    spec["rate"]["functions"] = [{"function": "detect", "framesPerSecond": 2}]
    spec["placement"]["rules"].append({"excludeNodes": ["old"]})
    flow = resolve(spec)
    assert flow.function("detect").rate == 2
    assert flow.function("detect").rate_path == "spec.rate.functions[0].framesPerSecond"
    assert flow.function("draw").rate == 8
    assert [len(flow.function(n).rules) for n in ("detect", "draw")] == [2, 1]
    del spec["rate"]
    assert resolve(spec).function("detect").rate is None


def test_implementations_are_those_that_rules_leave_and_this_version_runs(
    spec: Json, resolve: Resolve, make_type: Make
) -> None:
    flow = resolve(spec)
    assert [i.name for i in flow.function("detect").implementations] == ["opencl", "onnxruntime"]
    spec["placement"]["rules"][0]["implementations"] = ["onnxruntime"]
    assert [i.name for i in resolve(spec).function("detect").implementations] == ["onnxruntime"]


CUDA = {"name": "cuda", "api": "cuda", "deviceTypes": ["gpu"], "entrypoint": "c:C"}
REGION = {"name": "lane", "api": "opencl", "deviceTypes": ["fpga"], "entrypoint": "c:C", "regionTypes": ["lane"]}
HOST = {"name": "host", "api": "host", "entrypoint": "h:H"}


@pytest.mark.parametrize("beyond", [CUDA, REGION], ids=["cuda", "region"])
def test_a_type_that_only_later_versions_run_is_refused_by_name(
    resolve: Resolve, problems: Any, make_type: Make, beyond: Json
) -> None:
    chain = {"chain": {"functions": [{"name": "a", "type": "src"}]}}
    both = make_type("src", outputs=[{"name": "o"}], implementations=[beyond, HOST])
    assert [i.name for i in resolve(chain, only=[both]).functions[0].implementations] == ["host"]
    only = make_type("src", outputs=[{"name": "o"}], implementations=[beyond])
    (problem,) = problems(chain, only=[only])
    assert (problem.reason, problem.path) == ("NotSupported", "FunctionType/src.1.0.0 spec.implementations")


def test_the_highest_release_is_taken_where_no_version_is_asked_for(resolve: Resolve, make_type: Make) -> None:
    versions = ["1.9.0", "1.10.0", "1.10.1-rc.1", "0.99.0"]
    types = [make_type("src", v, outputs=[{"name": "o"}]) for v in versions]
    chain = {"chain": {"functions": [{"name": "a", "type": "src"}]}}
    assert resolve(chain, only=types).functions[0].version == "1.10.0"
    chain["chain"]["functions"][0]["version"] = "1.10.1-rc.1"
    assert resolve(chain, only=types).functions[0].version == "1.10.1-rc.1"
    early = [make_type("src", f"1.0.0-rc.{n}", outputs=[{"name": "o"}]) for n in (9, 10)]
    del chain["chain"]["functions"][0]["version"]
    assert resolve(chain, only=early).functions[0].version == "1.0.0-rc.10"


def test_references_within_a_longer_string(resolve: Resolve, make_type: Make) -> None:
    source = make_type("src", outputs=[{"name": "o"}], parameters=[{"name": "label"}])
    spec = {
        "chain": {
            "parameters": [{"name": "n", "type": "integer"}, {"name": "on", "type": "boolean"}],
            "inputs": [{"name": "v"}],
            "functions": [{"name": "a", "type": "src", "parameters": {"label": ""}}],
        },
        "parameters": {"n": 3, "on": True},
        "inputs": {"v": {"uri": "file:///v"}},
    }
    parameters = spec["chain"]["functions"][0]["parameters"]  # type: ignore[index]
    for text, want in [
        ("n=$(parameters.n), on=$(parameters.on)", "n=3, on=true"),
        ("$(inputs.v.uri)?x", "file:///v?x"),
        ("$$(parameters.n) costs $5", "$(parameters.n) costs $5"),
        ("", ""),
    ]:
        parameters["label"] = text
        assert resolve(spec, only=[source]).functions[0].parameters == {"label": want}


def test_branch_join_and_optional_inputs(resolve: Resolve, problems: Any, make_type: Make) -> None:
    port = {"name": "p", "type": "tensor", "dtype": "float32", "shape": [4]}
    source = make_type("src", outputs=[port])
    join = make_type("join", inputs=[port | {"name": "a"}, port | {"name": "b", "optional": True}], outputs=[port])
    sink = make_type("sink", inputs=[port])
    functions = [{"name": n, "type": t} for n, t in [("end", "sink"), ("j", "join"), ("s1", "src"), ("s2", "src")]]
    connections = [{"from": "s1.p", "to": "j.a"}, {"from": "s2.p", "to": "j.b"}, {"from": "j.p", "to": "end.p"}]
    spec = {"chain": {"functions": functions, "connections": connections}}
    flow = resolve(spec, only=[source, join, sink])
    assert [f.name for f in flow.functions] == ["s1", "s2", "j", "end"]
    assert {c.bytes_per_frame for c in flow.connections} == {16}
    del connections[1]
    resolve(spec, only=[source, join, sink])
    del connections[0]
    assert {p.reason for p in problems(spec, only=[source, join, sink])} == {"InputNotConnected"}


def test_a_required_parameter_of_the_chain(spec: Json, problems: Any, resolve: Resolve) -> None:
    spec["chain"]["parameters"][0] = {"name": "threshold", "type": "number", "required": True}
    resolve(spec)
    del spec["parameters"]
    (problem,) = problems(spec)
    assert (problem.reason, problem.path) == ("InvalidParameter", "spec.parameters.threshold")
    spec["chain"]["parameters"][0]["required"] = False  # used by a function all the same
    assert [p.path for p in problems(spec)] == ["spec.parameters.threshold"]


def test_a_chain_is_sound_before_flows_fill_it_in(spec: Json, types: list[FunctionType]) -> None:
    chain = FunctionChain.parse({"metadata": {"name": "people"}, "spec": spec["chain"]})
    assert check_chain(chain.spec, types, "spec") == ()
    spec["chain"]["functions"][1]["parameters"]["width"] = "$(parameters.width)"
    spec["chain"]["parameters"].append({"name": "width", "type": "integer"})
    chain = FunctionChain.parse({"metadata": {"name": "people"}, "spec": spec["chain"]})
    assert check_chain(chain.spec, types, "spec") == ()
    chain.spec.connections[1].source = "draw.frames"
    assert [(p.reason, p.path) for p in check_chain(chain.spec, types, "spec")] == [("Cycle", "spec.connections[1]")]


def test_a_default_of_the_chain_is_checked_against_the_function(spec: Json, types: list[FunctionType]) -> None:
    spec["chain"]["parameters"][0]["default"] = 7
    chain = FunctionChain.parse({"metadata": {"name": "people"}, "spec": spec["chain"]})
    (problem,) = check_chain(chain.spec, types, "spec")
    assert problem.path == "spec.parameters[0].default" and "above the maximum" in problem.message


def test_a_port_reads_as_it_is_written() -> None:
    assert str(PortId.parse("resize.frames")) == "resize.frames"
