# SPDX-License-Identifier: Apache-2.0
"""Connections of a chain: ports, types of ports, connection types, cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelchain.api.connection_type import MECHANISMS, ConnectionType
from accelchain.api.data_flow import ConnectionOverride
from accelchain.api.function_chain import ChainConnection, ConnectionParameters
from accelchain.api.function_type import Port
from accelchain.chain.functions import Draft
from accelchain.chain.graph import CycleError, topological_order
from accelchain.chain.ports import dimensions, frame_bytes, mismatch
from accelchain.chain.problems import Problems, choose
from accelchain.chain.resolved import PortId, ResolvedConnection
from accelchain.chain.template import Template
from accelchain.chain.unsupported import check_connection, check_connection_type

DEFAULT_SLOTS = 4


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection whose two ports were found."""

    source: PortId
    target: PortId
    connection: ChainConnection
    path: str
    bytes_per_frame: int | None


def find_edges(template: Template, drafts: Mapping[str, Draft], problems: Problems) -> tuple[Edge, ...]:
    """Find the ports of every connection and check that they fit, that no input is open and none has two writers.

    Args:
        template: the chain.
        drafts: its functions whose type is known; connections of others are looked at as far as possible.
        problems: where faults go.
    """
    edges: list[Edge] = []
    writers: dict[PortId, str] = {}
    for i, connection in enumerate(template.spec.connections):
        path = template.connection_path(i)
        check_connection(connection, path, problems)
        source, target = PortId.parse(connection.source), PortId.parse(connection.target)
        if target in writers:
            problems.add(
                "DuplicateName",
                f"{path}.to",
                f"input '{target}' is fed by '{writers[target]}' already: an input takes one connection.",
            )
            continue
        writers[target] = connection.source
        output = _port(template, drafts, source, "outputs", f"{path}.from", problems)
        input_ = _port(template, drafts, target, "inputs", f"{path}.to", problems)
        if output is None or input_ is None:
            continue
        first = dimensions(output, drafts[source.function].type.spec, drafts[source.function].parameters)
        second = dimensions(input_, drafts[target.function].type.spec, drafts[target.function].parameters)
        size = None
        if message := mismatch(output, first, input_, second):
            problems.add(
                "PortTypeMismatch", path, f"'{source}' does not fit '{target}': {message}; put a function between them."
            )
        else:
            size = frame_bytes(output.dtype, first, second)
        edges.append(Edge(source, target, connection, path, size))
    _check_open_inputs(drafts, writers, problems)
    return tuple(edges)


def order_functions(template: Template, problems: Problems) -> tuple[str, ...]:
    """Return the names of the functions in topological order; empty, and a problem, where there is a cycle."""
    names = list(dict.fromkeys(function.name for function in template.spec.functions))
    pairs = [(PortId.parse(c.source).function, PortId.parse(c.target).function) for c in template.spec.connections]
    known = [pair for pair in pairs if pair[0] in names and pair[1] in names]
    try:
        return topological_order(names, known)
    except CycleError as error:
        closing = (error.path[-2], error.path[-1])
        problems.add(
            "Cycle",
            template.connection_path(pairs.index(closing)),
            f"the connections run in a circle ({error}): frames must flow one way; remove one of them.",
        )
        return ()


def resolve_connections(
    edges: Sequence[Edge],
    connection_types: Mapping[str, ConnectionType],
    overrides: Sequence[ConnectionOverride],
    problems: Problems,
) -> tuple[ResolvedConnection, ...]:
    """Add to every edge what its ConnectionType, the chain and the flow say of it (the later goes before)."""
    by_edge = _by_edge(edges, overrides, problems)
    resolved: list[ResolvedConnection] = []
    for edge in edges:
        path, override = by_edge.get((str(edge.source), str(edge.target)), ("", None))
        name, field = edge.connection.connection_type, f"{edge.path}.connectionType"
        if override is not None and override.connection_type is not None:
            name, field = override.connection_type, f"{path}.connectionType"
        type_ = None
        if name is not None:
            type_ = connection_types.get(name)
            if type_ is None:
                problems.add(
                    "InvalidParameter", field, f"there is no ConnectionType '{name}': {choose(name, connection_types)}"
                )
            else:
                check_connection_type(type_, field, problems)
        given = [edge.connection.parameters or ConnectionParameters()]
        if override is not None:
            given.insert(0, override.parameters)
        slots = next((p.slots for p in given if p.slots is not None), None)
        latency = next((p.latency_microseconds for p in given if p.latency_microseconds is not None), 0)
        resolved.append(
            ResolvedConnection(
                edge.source,
                edge.target,
                tuple(type_.spec.mechanisms if type_ is not None else MECHANISMS),
                slots if slots is not None else (type_.spec.slots if type_ is not None else DEFAULT_SLOTS),
                latency,
                edge.bytes_per_frame,
            )
        )
    return tuple(resolved)


def _port(
    template: Template, drafts: Mapping[str, Draft], id_: PortId, side: str, path: str, problems: Problems
) -> Port | None:
    """Return a function's port; None, and a problem, where there is none. An unknown type was told already."""
    names = [function.name for function in template.spec.functions]
    if id_.function not in names:
        problems.add(
            "UnknownFunction", path, f"the chain has no function '{id_.function}': {choose(id_.function, names)}"
        )
        return None
    if id_.function not in drafts:
        return None
    draft = drafts[id_.function]
    ports, others = draft.type.spec.inputs, draft.type.spec.outputs
    if side == "outputs":
        ports, others = others, ports
    found = next((port for port in ports if port.name == id_.port), None)
    if found is None:
        what, other = ("output", "input") if side == "outputs" else ("input", "output")
        turned = f" ('{id_.port}' is an {other})" if any(port.name == id_.port for port in others) else ""
        problems.add(
            "UnknownPort",
            path,
            f"function '{id_.function}' ({draft.type.function}) has no {what} '{id_.port}'{turned}: "
            f"{choose(id_.port, (port.name for port in ports))}",
        )
    return found


def _check_open_inputs(drafts: Mapping[str, Draft], writers: Mapping[PortId, str], problems: Problems) -> None:
    for draft in drafts.values():
        for port in draft.type.spec.inputs:
            if not port.optional and PortId(draft.name, port.name) not in writers:
                problems.add(
                    "InputNotConnected",
                    draft.path,
                    f"input '{port.name}' of function '{draft.name}' ({draft.type.function}) is open: "
                    f"connect a port of type {port.type} to {draft.name}.{port.name}.",
                )


def _by_edge(
    edges: Sequence[Edge], overrides: Sequence[ConnectionOverride], problems: Problems
) -> dict[tuple[str, str], tuple[str, ConnectionOverride]]:
    """Return the flow's overrides by the ends of the connection, each with its field."""
    known = {(str(edge.source), str(edge.target)) for edge in edges}
    result: dict[tuple[str, str], tuple[str, ConnectionOverride]] = {}
    for i, override in enumerate(overrides):
        path, ends = f"spec.connectionParameters[{i}]", (override.source, override.target)
        if ends not in known:
            shown = choose(f"{ends[0]} → {ends[1]}", (f"{a} → {b}" for a, b in known))
            problems.add("UnknownPort", path, f"the chain has no connection {ends[0]} → {ends[1]}: {shown}")
        elif ends in result:
            problems.add("DuplicateName", path, f"{ends[0]} → {ends[1]} is there already: make one of them.")
        else:
            result[ends] = (path, override)
    return result
