# SPDX-License-Identifier: Apache-2.0
"""Sets functions up in topological order, probes edges, allocates slots: from a graph to the loop's nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelchain_runtime.devices.pool import AnyDevice, DeviceError
from accelchain_runtime.engine import parameters
from accelchain_runtime.engine.figures import EdgeFigures, FunctionFigures
from accelchain_runtime.engine.function import (
    InputError,
    LiveSource,
    Publisher,
    SetupContext,
    SourceInfo,
    TensorSpec,
)
from accelchain_runtime.engine.graph import Graph, label
from accelchain_runtime.engine.loader import new_function
from accelchain_runtime.engine.pace import Pacer
from accelchain_runtime.engine.plan import ConnectionPlan, FunctionPlan, Plan
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.engine.specs import check_outputs
from accelchain_runtime.engine.state import Edge, Node, Port, Slot
from accelchain_runtime.links import MECHANISMS
from accelchain_runtime.links.base import Connect, Memory, free_memory, is_accelerator, new_memory
from accelchain_runtime.links.choose import choose

_UNREAD_SLOTS = 2


@dataclass
class Assembly:
    """Everything that a run has set up; closed whatever happens.

    Attributes:
        nodes: in topological order, as far as set up.
        sources: what each source knows of its stream, by function.
    """

    nodes: list[Node] = field(default_factory=list)
    sources: dict[str, SourceInfo] = field(default_factory=dict)
    memories: list[tuple[AnyDevice, Memory]] = field(default_factory=list)
    totals: dict[str, int | None] = field(default_factory=dict)
    """Frames that each function will have, as its sources tell; None: unknown."""

    def release(self) -> None:
        """Give links and slots back; functions are closed before."""
        for node in self.nodes:
            for edge in node.inputs:
                edge.link.close()
        for device, memory in self.memories:
            free_memory(device, memory)
        self.memories.clear()


class SetupFailed(Exception):  # noqa: N818  (says what happened)
    """A function's setup raised."""

    def __init__(self, function: str, error: Exception | SystemExit) -> None:
        super().__init__(str(error))
        self.function = function
        self.error = error


class Assembler:
    """Sets up one plan."""

    def __init__(
        self,
        plan: Plan,
        graph: Graph,
        devices: Mapping[str, AnyDevice],
        *,
        cache: Path | None,
        live: Callable[[str, LiveSource], None] | None,
        reach: Reach,
        stopping: threading.Event,
        mechanisms: Mapping[str, Connect] = MECHANISMS,
    ) -> None:
        self._plan = plan
        self._graph = graph
        self._devices = devices
        self._cache = cache
        self._live = live
        self._reach = reach
        self._stopping = stopping
        self._mechanisms = mechanisms
        self._outputs: dict[str, dict[str, TensorSpec]] = {}
        self._upstream: dict[str, SourceInfo] = {}
        self.assembly = Assembly()

    def run(self, stopped: Callable[[], bool]) -> Assembly:
        """Set everything up, unless ``stopped`` between two functions.

        Raises:
            SetupFailed: a function's setup raised.
            InputError, LinkError, DeviceError: the plan can't be run here.
        """
        for function in self._graph.functions:
            if stopped():
                return self.assembly
            self._add(function)
        for node in self.assembly.nodes:
            if stopped():
                return self.assembly
            try:
                self._allocate(node)
            except MemoryError as error:
                raise SetupFailed(node.name, error) from error
        for node in self.assembly.nodes:
            leaders = {
                id(held) for leader in self.assembly.nodes if node in leader.followers for held in leader.held_back
            }
            node.held_back = [*(leader for leader in self.assembly.nodes if id(leader) in leaders), node]
        return self.assembly

    def _add(self, plan: FunctionPlan) -> None:
        folder = self._graph.folders[plan.name]
        implementation = folder.implementation(plan.implementation)
        assert implementation is not None, "the graph was checked"
        device = self._device(plan, str(implementation["api"]))
        values = parameters.resolve(folder.parameters, plan.parameters, plan.name)
        connections = self._graph.inputs[plan.name]
        inputs = {
            connection.target.port: self._outputs[connection.source.function][connection.source.port]
            for connection in connections
        }
        infos = [self._upstream[c.source.function] for c in connections]
        first = infos[0] if infos else SourceInfo((0, 0))
        try:
            function = new_function(folder, implementation)
        except (Exception, SystemExit) as error:  # a class whose __init__ raises
            raise SetupFailed(plan.name, error) from error
        node = Node(
            plan.name,
            function,
            device if is_accelerator(device) else None,
            plan.device,
            plan.implementation,
            FunctionFigures(),
        )
        self.assembly.nodes.append(node)  # before setup: a function is closed even if its setup raised
        context = SetupContext(
            name=plan.name,
            parameters=values,
            inputs=inputs,
            device=device,
            mode=self._plan.mode,
            folder=folder.folder,
            cache=self._cache,
            source_size=first.size,
            source_rate=first.rate,
            live=self._live,
            attempt=self._plan.attempt.number,
            start_frame=self._plan.attempt.start_frame,
            reach=self._reach,
            stopping=self._stopping,
        )
        try:
            self._outputs[plan.name] = check_outputs(folder, function.setup(context))
        except (Exception, SystemExit) as error:  # whatever a function raises ends the run, reported with its name
            raise SetupFailed(plan.name, error) from error
        if not connections:
            first = getattr(function, "info", first)
            self.assembly.sources[plan.name] = first
            self.assembly.totals[plan.name] = first.frames
            if first.recorded and self._plan.mode == "Stream" and node.device is None:
                node.pacer = Pacer(self._stopping)
        else:
            known = [self.assembly.totals[c.source.function] for c in connections]
            self.assembly.totals[plan.name] = min((total for total in known if total is not None), default=None)
        node.deferred = isinstance(function, Publisher) and function.deferred
        self._upstream[plan.name] = first

    def _device(self, plan: FunctionPlan, api: str) -> AnyDevice:
        device = self._devices.get(plan.device)
        if device is None:
            raise DeviceError(f"{plan.name}: the plan has no device {plan.device}.")
        if device.api != api:
            raise InputError(
                f"{plan.name}: implementation {plan.implementation} needs a device of api {api}, "
                f"but {plan.device} is of api {device.api}."
            )
        return device

    def _allocate(self, node: Node) -> None:
        """Allocate the node's slots and connect its readers."""
        readers = [
            connection
            for function in self._graph.functions
            for connection in self._graph.inputs[function.name]
            if connection.source.function == node.name
        ]
        for name, spec in self._outputs[node.name].items():
            self._add_port(node, name, spec, [c for c in readers if c.source.port == name])
        node.terminal = not readers
        node.await_end = node.device is not None and (node.terminal or any(edge.link.blocking for edge in node.inputs))

    def _add_port(self, node: Node, name: str, spec: TensorSpec, readers: Sequence[ConnectionPlan]) -> None:
        device = self._devices[node.device_name]
        count = max((connection.slots for connection in readers), default=_UNREAD_SLOTS)
        choices = [
            choose(
                label(connection),
                device,
                self._devices[self._node(connection.target.function).device_name],
                spec,
                connection.mechanisms,
                self._mechanisms,
            )
            for connection in readers
        ]
        memories = [new_memory(device, spec) for _ in range(count)]
        self.assembly.memories += [(device, memory) for memory in memories]
        slots = [Slot(index, {name: memory.view()}) for index, memory in enumerate(memories)]
        port = Port(name, slots, list(reversed(slots)))
        node.ports.append(port)
        for connection, choice in zip(readers, choices, strict=True):
            target = self._node(connection.target.function)
            link = self._mechanisms[choice.mechanism](device, self._devices[target.device_name], memories)
            assert link is not None, "it served the probe"
            edge = Edge(
                (f"{node.name}.{name}", f"{target.name}.{connection.target.port}"),
                node,
                target,
                port,
                connection.target.port,
                link,
                connection.latency_microseconds * 1e-6,
                connection.slots,
                [{connection.target.port: buffer} for buffer in link.buffers],
                EdgeFigures(choice.mechanism, spec.nbytes, choice.seconds),
            )
            port.edges.append(edge)
            if connection.slots < count:
                port.limited.append(edge)
            self._insert(target, edge)
            if node.device is not None and choice.mechanism == "same-buffer" and not edge.latency:
                edge.direct = True
                node.followers.append(target)

    def _insert(self, target: Node, edge: Edge) -> None:
        """Keep a node's inputs in the order of its manifest's ports: the first one's frame goes on."""
        order = [connection.target.port for connection in self._graph.inputs[target.name]]
        target.inputs.append(edge)
        target.inputs.sort(key=lambda each: order.index(each.target_port))

    def _node(self, name: str) -> Node:
        return next(node for node in self.assembly.nodes if node.name == name)
