# SPDX-License-Identifier: Apache-2.0
"""The plan as a graph: checked, and in topological order (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.plan import ConnectionPlan, FunctionPlan, Plan
from accelchain_runtime.registry import FunctionFolder


@dataclass(frozen=True)
class Graph:
    """Functions in topological order, and the connections into each."""

    functions: tuple[FunctionPlan, ...]
    folders: Mapping[str, FunctionFolder]
    """The function's folder by its name in the plan."""
    inputs: Mapping[str, tuple[ConnectionPlan, ...]]
    """Connections into each function, in the order of the manifest's ports."""


def build(plan: Plan, registry: Sequence[FunctionFolder]) -> Graph:
    """Check the plan against the manifests and order it.

    Raises:
        InputError: an unknown function or port, a port connected twice, a required input left open, a cycle.
    """
    folders: dict[str, FunctionFolder] = {}
    for function in plan.functions:
        if function.name in folders:
            raise InputError(f"Two functions are named {function.name}.")
        folders[function.name] = _folder(function, registry)
    by_target: dict[tuple[str, str], ConnectionPlan] = {}
    for connection in plan.connections:
        for end, side in ((connection.source, "outputs"), (connection.target, "inputs")):
            if end.function not in folders:
                raise InputError(f"Connection {label(connection)}: there is no function {end.function}.")
            if end.port not in [port["name"] for port in getattr(folders[end.function], side)]:
                raise InputError(f"Connection {label(connection)}: {end.function} has no port {end.port} in {side}.")
        target = (connection.target.function, connection.target.port)
        if target in by_target:
            raise InputError(f"Input {target[0]}.{target[1]} has two connections.")
        by_target[target] = connection
    inputs: dict[str, tuple[ConnectionPlan, ...]] = {}
    for name, folder in folders.items():
        connected = []
        for port in folder.inputs:
            if (name, port["name"]) in by_target:
                connected.append(by_target[(name, port["name"])])
            elif not port.get("optional"):
                raise InputError(f"Input {name}.{port['name']} is not connected.")
        if folder.inputs and not connected:
            raise InputError(f"{name}: none of its inputs is connected.")
        inputs[name] = tuple(connected)
    return Graph(_ordered(plan.functions, inputs), folders, inputs)


def label(connection: ConnectionPlan) -> str:
    """Return ``from.port -> to.port``."""
    source, target = connection.source, connection.target
    return f"{source.function}.{source.port} -> {target.function}.{target.port}"


def _folder(function: FunctionPlan, registry: Sequence[FunctionFolder]) -> FunctionFolder:
    versions = [folder for folder in registry if folder.name == function.type]
    found = next((folder for folder in versions if function.version in ("", folder.version)), None)
    if found is None:
        here = f"; here are versions {', '.join(folder.version for folder in versions)}" if versions else ""
        raise InputError(
            f"{function.name}: this worker has no function {function.type} {function.version}".rstrip() + f"{here}."
        )
    if found.implementation(function.implementation) is None:
        raise InputError(f"{function.name}: {function.type} has no implementation {function.implementation}.")
    return found


def _ordered(
    functions: Sequence[FunctionPlan], inputs: Mapping[str, Sequence[ConnectionPlan]]
) -> tuple[FunctionPlan, ...]:
    ordered: list[FunctionPlan] = []
    placed: set[str] = set()
    waiting = list(functions)
    while waiting:
        ready = [f for f in waiting if all(c.source.function in placed for c in inputs[f.name])]
        if not ready:
            raise InputError(f"The chain has a cycle among {', '.join(f.name for f in waiting)}.")
        ordered += ready
        placed |= {f.name for f in ready}
        waiting = [f for f in waiting if f.name not in placed]
    return tuple(ordered)
