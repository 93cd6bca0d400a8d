# SPDX-License-Identifier: Apache-2.0
"""Whatever chain resolves is a directed acyclic graph whose edges fit; whatever does not, says why."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain.api import DataFlow, FunctionType
from accelchain.chain.graph import CycleError, topological_order
from accelchain.chain.ports import dimensions
from accelchain.chain.references import Reference, parse
from accelchain.chain.resolve import ChainError, resolve_flow

HOST = {"name": "host", "api": "host", "entrypoint": "h:H"}
KINDS = ["frames", "detections"]
SHAPES = [["height", 3], [8, 3], ["$size", 3], [3]]


@st.composite
def function_types(draw: st.DrawFn) -> list[FunctionType]:
    """Up to four types with up to two ports a side."""
    types = []
    for n in range(draw(st.integers(1, 4))):
        sides = {}
        for side in ("inputs", "outputs"):
            sides[side] = [
                {"name": f"{side[0]}{i}", "type": draw(st.sampled_from(KINDS)), "shape": draw(st.sampled_from(SHAPES)),
                 "optional": side == "inputs" and draw(st.booleans())}
                for i in range(draw(st.integers(0, 2)))
            ]  # fmt: skip
        role = "source" if not sides["inputs"] else "transform" if sides["outputs"] else "sink"
        if not sides["outputs"] and role == "source":
            sides["outputs"] = [{"name": "o0", "type": "frames", "shape": [8, 3]}]
        size = {"name": "size", "type": "integer", "minimum": 1, "maximum": 16, "default": 8}
        spec = {"role": role, "parameters": [size], "implementations": [HOST], **sides}
        types.append(FunctionType.parse({"metadata": {"name": f"t{n}"}, "spec": spec}))
    return types


@st.composite
def flows(draw: st.DrawFn) -> tuple[DataFlow, list[FunctionType]]:
    """Chains of up to five functions; connections are mostly between ports that there are."""
    types = draw(function_types())
    functions: list[Any] = []
    for n in range(draw(st.integers(1, 5))):
        function: dict[str, Any] = {"name": f"f{n}", "type": draw(st.sampled_from(types)).function}
        if draw(st.booleans()):
            function["parameters"] = {"size": draw(st.integers(0, 17))}
        functions.append(function)
    by_name = {t.function: t for t in types}
    outputs = [f"{f['name']}.{p.name}" for f in functions for p in by_name[f["type"]].spec.outputs]
    inputs = [f"{f['name']}.{p.name}" for f in functions for p in by_name[f["type"]].spec.inputs]
    connections = []
    for target in inputs:
        if outputs and draw(st.integers(0, 9)):
            connections.append({"from": draw(st.sampled_from([*outputs, "f0.none"])), "to": target})
    chain = {"functions": functions, "connections": connections}
    return DataFlow.parse({"metadata": {"name": "d"}, "spec": {"chain": chain}}), types


@settings(max_examples=300, deadline=None)
@given(flows())
def test_a_chain_that_resolves_is_acyclic_and_its_edges_fit(case: tuple[DataFlow, list[FunctionType]]) -> None:
    flow, types = case
    try:
        resolved = resolve_flow(flow, chains={}, types=types, connection_types={}, strategies={})
    except ChainError as error:
        assert error.problems
        assert all(p.path.startswith("spec.") and p.message for p in error.problems)
        return
    place = {f.name: i for i, f in enumerate(resolved.functions)}
    assert flow.spec.chain is not None
    assert place.keys() == {f.name for f in flow.spec.chain.functions}
    fed = set()
    for connection in resolved.connections:
        source, target = connection.source, connection.target
        assert place[source.function] < place[target.function]
        assert target not in fed
        fed.add(target)
        give, take = resolved.function(source.function), resolved.function(target.function)
        output = next(p for p in give.spec.outputs if p.name == source.port)
        input_ = next(p for p in take.spec.inputs if p.name == target.port)
        assert (output.type, output.dtype) == (input_.type, input_.dtype)
        shapes = zip(
            dimensions(output, give.spec, give.parameters), dimensions(input_, take.spec, take.parameters), strict=True
        )
        assert all(a is None or b is None or a == b for a, b in shapes)
    for function in resolved.functions:
        for port in function.spec.inputs:
            assert port.optional or (function.name, port.name) in {(t.function, t.port) for t in fed}
        assert 1 <= function.parameters.get("size", 8) <= 16  # type: ignore[operator]


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_graph_has_an_order_or_a_cycle_that_is_there(count: int, pairs: list[tuple[int, int]]) -> None:
    nodes = [f"n{i}" for i in range(count)]
    edges = [(f"n{a}", f"n{b}") for a, b in pairs if a < count and b < count]
    try:
        order = topological_order(nodes, edges)
    except CycleError as error:
        assert error.path[0] == error.path[-1] and len(error.path) >= 2
        assert all(edge in edges for edge in zip(error.path, error.path[1:], strict=False))
        return
    assert sorted(order) == sorted(nodes)
    assert all(order.index(a) < order.index(b) for a, b in edges)


@given(st.text(alphabet="ab$(){}."))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    escaped = text.replace("$(", "$$(")
    if "$$$(" not in escaped:  # "$" before "$(": the escape would take the first two
        assert parse(escaped) == (text,)


@given(
    st.sampled_from(["parameters", "inputs", "outputs"]), st.from_regex(r"[A-Za-z][-A-Za-z0-9_]{0,9}", fullmatch=True)
)
def test_a_reference_that_is_the_whole_value_is_nothing_but_a_reference(kind: Any, name: str) -> None:
    reference = Reference(kind, name)
    assert parse(str(reference)) == (reference,)
    assert parse(f"a{reference}b") == ("a", reference, "b")
