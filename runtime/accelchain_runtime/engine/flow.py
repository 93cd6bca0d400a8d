# SPDX-License-Identifier: Apache-2.0
"""How frames flow: who may begin one, what it takes and makes, who gets it next. The loop's hot path.

A device function is enqueued as soon as its inputs are enqueued, and its input slots are free again at once where the
producer's next command is ordered behind the reading (one queue) or told to wait for it (``Slot.busy``). Host
functions have a thread each, which waits for what their inputs need. Back-pressure is credits alone: a frame is begun
when nothing is in its way (``Node.obstacles``). Every function makes one frame of each frame, in order, so the end of
a stream is a number (``Node.limit``), not a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.function import Buffer, EndOfStream, Event, FrameInfo
from accelchain_runtime.engine.state import Edge, Node, Port, Slot
from accelchain_runtime.engine.threads import CarryThread, Failed, HostThread, Stop, Task, Watch

_SAMPLED = 8
"""Every so many frames of a device function may be timed; not the first, which a driver still compiles for."""


class RunFailed(Exception):  # noqa: N818  (says what happened)
    """The run ends: a function raised, a device failed, or somebody stopped it."""

    def __init__(self, cause: Failed | Stop) -> None:
        super().__init__(cause.message if isinstance(cause, Stop) else str(cause.error))
        self.cause = cause


class Flow:
    """The frames under way. All methods are called by the loop's thread."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        warn: Callable[[str], None],
        first_frame: Callable[[float], None],
        delay: Callable[[float, Callable[[], None]], None],
        first_number: int = 0,
    ) -> None:
        """Take over nodes that are set up.

        Args:
            nodes: in topological order.
            warn: called with what the user should know of a run that goes on.
            first_frame: called once, with ``time.monotonic()``, when every terminal function has done a frame.
            delay: ``delay(moment, then)`` calls ``then`` at that moment (``time.perf_counter``).
            first_number: the number that sources' frames are counted from.
        """
        self._nodes = nodes
        self._first_number = first_number
        self._warn = warn
        self._first_frame: Callable[[float], None] | None = first_frame
        self._delay_until = delay
        self._terminals = [node for node in nodes if node.terminal]
        self._awake: list[Node] = []
        self.unflushed: set[Accelerator] = set()
        """Devices that have commands which they may not know of."""
        self.host_threads: dict[Node, HostThread] = {}
        self.carriers: dict[Edge, CarryThread] = {}
        self.watches: dict[Accelerator, Watch] = {}
        for node in nodes:
            node.obstacles = len(node.inputs)
        for node in reversed(nodes):
            self._wake(node)

    # -- beginning frames ------------------------------------------------------------------------------------------

    def _wake(self, node: Node) -> None:
        """Have a look at the node soon: an obstacle is gone."""
        if not node.awake:
            node.awake = True
            self._awake.append(node)

    def pump(self) -> None:
        """Begin all frames that nothing is in the way of.

        The last node woken comes first, so that a frame goes down the chain before the next one is begun.
        """
        awake = self._awake
        while awake:
            node = awake.pop()
            node.awake = False
            if node.obstacles or (node.limit is not None and node.begun >= node.limit):
                continue
            if node.device is None:
                self._begin_host(node)
            else:
                self._begin_device(node, node.device)

    def _take(self, node: Node) -> tuple[FrameInfo, list[tuple[Edge, Slot]], dict[str, Buffer], list[Event]]:
        """Take the next frame's inputs; all have the node's next number."""
        if len(node.inputs) == 1:
            edge = node.inputs[0]
            slot, event = edge.arrived.popleft()
            if not edge.arrived:
                node.obstacles += 1
            assert slot.frame is not None
            return slot.frame, [(edge, slot)], edge.inputs[slot.index], [event] if event is not None else []
        taken: list[tuple[Edge, Slot]] = []
        inputs: dict[str, Buffer] = {}
        waits: list[Event] = []
        for edge in node.inputs:
            slot, event = edge.arrived.popleft()
            if not edge.arrived:
                node.obstacles += 1
            taken.append((edge, slot))
            inputs[edge.target_port] = edge.link.buffers[slot.index]
            if event is not None:
                waits.append(event)
        if not taken:
            return FrameInfo(self._first_number + node.begun, 0.0, (0, 0)), taken, inputs, waits
        frame = taken[0][1].frame
        assert frame is not None
        return frame, taken, inputs, waits

    @staticmethod
    def _reserve(node: Node, waits: list[Event]) -> tuple[list[Slot], dict[str, Buffer]]:
        """Take a free slot of every output port; ``waits`` gets what must end before they are written."""
        if len(node.ports) == 1:
            slot = node.ports[0].take(node)
            if slot.busy:
                waits.extend(slot.busy)
                slot.busy.clear()
            return [slot], slot.outputs
        made: list[Slot] = []
        outputs: dict[str, Buffer] = {}
        for port in node.ports:
            slot = port.take(node)
            if slot.busy:
                waits.extend(slot.busy)
                slot.busy.clear()
            made.append(slot)
            outputs = outputs | slot.outputs if outputs else slot.outputs
        return made, outputs

    def _begin_host(self, node: Node) -> None:
        frame, taken, inputs, waits = self._take(node)
        made, outputs = self._reserve(node, waits)
        node.begun += 1
        if not node.obstacles:
            self._wake(node)  # before its consumers, which are looked at first therefore
        self.host_threads[node].put(Task(frame, taken, inputs, outputs, made, waits))

    def _begin_device(self, node: Node, device: Accelerator) -> None:
        frame, taken, inputs, waits = self._take(node)
        made, outputs = self._reserve(node, waits)
        node.begun += 1
        if not node.obstacles:
            self._wake(node)  # before its consumers, which are looked at first therefore
        timed = node.begun % _SAMPLED == 2 and node.figures.device.due()
        before = device.marker(device.queue, waits) if timed else None
        try:
            event = node.function.enqueue(frame, inputs, outputs, device.queue, waits)
            ordered = event is not None and device.on_queue(event)
        except EndOfStream as end:
            if taken:
                raise RunFailed(Failed(node.name, TypeError("only a source may end the stream"))) from end
            self.end_source(node, frame, made, end.warning)
            return
        except Exception as error:  # whatever a function raises ends the run, and is reported with its name
            raise RunFailed(Failed(node.name, error, device.is_device_error(error))) from error
        if event is None:
            raise RunFailed(Failed(node.name, TypeError("a device function must return an event")))
        self.unflushed.add(device)
        if before is not None:
            node.figures.device.take([(device, before, event)])
        if node.await_end:
            self._await_end(node, device, event, taken)
        else:
            self._count(node)
            for edge, slot in taken:
                if ordered and edge.direct:
                    self._free(edge.source, edge.port, slot, edge)
                else:
                    self._release(edge, slot, event)
        for port, slot in zip(node.ports, made, strict=True):
            slot.frame = frame
            slot.readers = len(port.edges)
            for edge in port.edges:
                if ordered and edge.direct:
                    self._arrive(edge, slot, None)
                else:
                    self._send(edge, slot, event, 0.0)
            if not port.edges:
                self._give_back(node, port, slot, event)

    def _await_end(self, node: Node, device: Accelerator, event: Event, taken: list[tuple[Edge, Slot]]) -> None:
        def ended(_: float) -> None:
            self._count(node)
            for edge, slot in taken:
                self._release(edge, slot, None)

        self.watches[device].add(event, node.name, ended)

    # -- handing frames on -----------------------------------------------------------------------------------------

    def host_done(self, node: Node, task: Task, begun: float, ended: float) -> None:
        """A host function is done with a frame (times of ``time.perf_counter``): hand it on."""
        node.figures.host.add(ended - begun)
        self._count(node)
        for edge, slot in task.taken:
            self._release(edge, slot, None)
        for port, slot in zip(node.ports, task.made, strict=True):
            slot.frame = task.frame
            slot.readers = len(port.edges)
            for edge in port.edges:
                self._send(edge, slot, None, ended)
            if not port.edges:
                self._give_back(node, port, slot, None)

    def carried(self, edge: Edge, slot: Slot, ready: float) -> None:
        """A blocking link has carried a frame that was ready at that time."""
        edge.figures.host.add(time.perf_counter() - ready)
        self._arrive(edge, slot, None)

    def _send(self, edge: Edge, slot: Slot, ready: Event | None, ended: float) -> None:
        if edge.latency:
            if ready is None:
                self._delay(edge, slot, ended)
            else:
                device = edge.source.device
                assert device is not None
                self.watches[device].add(
                    ready, edge.source.name, lambda time_ready: self._delay(edge, slot, time_ready)
                )
        else:
            self._carry(edge, slot, ready, ended)

    def _delay(self, edge: Edge, slot: Slot, ended: float) -> None:
        self._delay_until(ended + edge.latency, lambda: self._carry(edge, slot, None, ended))

    def _carry(self, edge: Edge, slot: Slot, ready: Event | None, ended: float) -> None:
        if self._beyond(edge, slot):
            self._discard(edge, slot, ready)
            return
        if edge.link.blocking:
            self.carriers[edge].carry(slot, ready, ended)
            return
        try:
            event = edge.link.carry(slot.index, ready)
        except Exception as error:  # the device's error class
            raise RunFailed(Failed(edge.source.name, error, device=True)) from error
        figures = edge.figures
        if ready is None:
            figures.host.add(time.perf_counter() - ended)
        commands = edge.link.commands(slot.index)
        if commands:
            self.unflushed.update(device for device, _ in commands)
            if figures.device.due():
                figures.device.take([(device, command, command) for device, command in commands])
        self._arrive(edge, slot, event)

    def _arrive(self, edge: Edge, slot: Slot, event: Event | None) -> None:
        """The frame is where its consumer can have it, after ``event``."""
        node, arrived = edge.target, edge.arrived
        if event is not None and node.device is not None and node.device.on_queue(event):
            event = None  # the consumer's commands come behind it anyway
        if not arrived:
            node.obstacles -= 1
        arrived.append((slot, event))
        if node.limit is not None:
            self._drop_beyond(edge)
        if not node.obstacles:
            self._wake(node)

    # -- giving slots back -----------------------------------------------------------------------------------------

    def _release(self, edge: Edge, slot: Slot, read: Event | None) -> None:
        """The consumer is done with the slot, after ``read``."""
        self._give_back(edge.source, edge.port, slot, edge.link.release(slot.index, read), edge)

    def _give_back(self, node: Node, port: Port, slot: Slot, wait: Event | None, edge: Edge | None = None) -> None:
        """The slot may be written again, after ``wait``, as far as this edge goes."""
        if wait is not None and (node.device is None or not node.device.on_queue(wait)):
            slot.busy.append(wait)
        self._free(node, port, slot, edge)

    def _free(self, node: Node, port: Port, slot: Slot, edge: Edge | None) -> None:
        if port.free_slot(node, slot, edge):
            for waiting in node.held_back:
                if not waiting.obstacles:
                    self._wake(waiting)

    def _count(self, node: Node) -> None:
        node.done += 1
        if self._first_frame and node.terminal and all(terminal.done for terminal in self._terminals):
            self._first_frame(time.monotonic())
            self._first_frame = None

    # -- the ends of streams ---------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Sources begin nothing more: what they have handed on goes through, and then the run is at its end."""
        self._warn = lambda _: None  # that parts end at different frames needs no warning here
        for node in self._nodes:
            if not node.inputs:
                # what a host source works on at this moment may take it long: it is not waited for and not used
                self._set_limit(node, node.done if node.device is None else node.begun)

    def end_source(self, node: Node, frame: FrameInfo, made: list[Slot], warning: str | None) -> None:
        """A source has no frame like this and none after it; it did not use the slots."""
        for port, slot in zip(node.ports, made, strict=True):
            port.free_unused(node, slot)
        if warning:
            self._warn(f"{node.name}: {warning}")
        self._set_limit(node, frame.number - self._first_number)

    def _set_limit(self, node: Node, limit: int, short: str = "") -> None:
        """The node works on ``limit`` frames and no more; so do its consumers."""
        if node.limit is not None and node.limit <= limit:
            return
        node.limit = limit
        node.short_port = short
        for edge in node.inputs:
            self._drop_beyond(edge)
        for port in node.ports:
            for edge in port.edges:
                self._set_limit(edge.target, limit, edge.target_port)

    def _beyond(self, edge: Edge, slot: Slot) -> bool:
        limit, frame = edge.target.limit, slot.frame
        return limit is not None and frame is not None and frame.number - self._first_number >= limit

    def _drop_beyond(self, edge: Edge) -> None:
        """Give frames back that have arrived but that the consumer will not take."""
        while edge.arrived and self._beyond(edge, edge.arrived[-1][0]):
            slot, event = edge.arrived.pop()
            if not edge.arrived:
                edge.target.obstacles += 1
            self._discard(edge, slot, edge.link.release(slot.index, event))

    def _discard(self, edge: Edge, slot: Slot, wait: Event | None) -> None:
        node, target = edge.source, edge.target
        if target.short_port and target.short_port != edge.target_port and not target.parting:
            target.parting = True
            self._warn(
                f"{target.name}: its input {target.short_port} ended after {target.limit} frames; "
                f"what {edge.target_port} has beyond is not used"
            )
        self._give_back(node, edge.port, slot, wait, edge)
        # a producer that all its readers are past ends too, or an endless source would run for nobody
        readers = [edge.target for port in node.ports for edge in port.edges]
        if all(reader.limit is not None and reader.limit <= node.done for reader in readers):
            self._set_limit(node, node.begun)
