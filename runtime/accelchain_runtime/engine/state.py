# SPDX-License-Identifier: Apache-2.0
"""What the loop works on: functions, ports with their rings of slots, edges with their links."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.figures import EdgeFigures, FunctionFigures
from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, Function
from accelchain_runtime.engine.pace import Pacer
from accelchain_runtime.links.base import Link


@dataclass(slots=True, eq=False)
class Slot:
    """One place for a frame in a port's ring."""

    index: int
    outputs: dict[str, Buffer]
    """The producer's view, by port, ready to be handed to ``enqueue``."""
    frame: FrameInfo | None = None
    readers: int = 0
    """Edges that still need the frame."""
    busy: list[Event] = field(default_factory=list)
    """What must end before the slot is written again."""


@dataclass(slots=True, eq=False)
class Port:
    """An output port: a ring of slots and its readers. A free slot is a credit."""

    name: str
    slots: Sequence[Slot]
    free: list[Slot]
    """Used last in, first out: the last one is the warmest in the caches."""
    edges: list[Edge] = field(default_factory=list)
    limited: list[Edge] = field(default_factory=list)
    """Edges with fewer credits than the ring has slots."""

    def take(self, node: Node) -> Slot:
        """Take a free slot of the node's ring."""
        slot = self.free.pop()
        if not self.free:
            node.block()
        for edge in self.limited:
            edge.credits -= 1
            if not edge.credits:
                node.block()
        return slot

    def free_slot(self, node: Node, slot: Slot, edge: Edge | None) -> bool:
        """One reader (``edge``) is done with the slot, or nobody reads it; returns whether an obstacle is gone."""
        gone = False
        if edge is not None:
            slot.readers -= 1
            if self.limited and edge in self.limited:
                gone = self._credit(node, edge)
        if not slot.readers:
            gone = self._put_back(node, slot) or gone
        return gone

    def free_unused(self, node: Node, slot: Slot) -> None:
        """Nothing was written into the slot."""
        for edge in self.limited:
            self._credit(node, edge)
        self._put_back(node, slot)

    @staticmethod
    def _credit(node: Node, edge: Edge) -> bool:
        edge.credits += 1
        if edge.credits == 1:
            node.unblock()
        return edge.credits == 1

    def _put_back(self, node: Node, slot: Slot) -> bool:
        self.free.append(slot)
        if len(self.free) == 1:
            node.unblock()
        return len(self.free) == 1


@dataclass(slots=True, eq=False)
class Edge:
    """A connection. ``credits`` counts only where the edge has fewer than the ring has slots."""

    label: tuple[str, str]
    source: Node
    target: Node
    port: Port
    target_port: str
    link: Link
    latency: float
    """Artificial delay of a frame in seconds."""
    credits: int
    inputs: list[dict[str, Buffer]]
    """The consumer's view of each slot, ready to be handed to ``enqueue`` where it is the only input."""
    figures: EdgeFigures
    direct: bool = False
    """Producer and consumer share a device and a buffer, so that its queue's order is all that frames need."""
    arrived: deque[tuple[Slot, Event | None]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Node:
    """A function of the plan, set up."""

    name: str
    function: Function
    device: Accelerator | None
    """None: the host, where it has a thread of its own."""
    device_name: str
    implementation: str
    figures: FunctionFigures
    pacer: Pacer | None = None
    """Of a host source whose frames are handed on at their own times."""
    inputs: list[Edge] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    followers: list[Node] = field(default_factory=list)
    """Consumers over direct edges."""
    held_back: list[Node] = field(default_factory=list)
    """Who can't begin a frame while this node has no credit: those that it follows, and itself, last.

    Held back at the head of a device's part of the chain, a frame's buffers are still in the caches when the next
    function reads them; frames that pile up between two functions would only be written out to memory.
    """
    obstacles: int = 0
    """What keeps it from beginning a frame: inputs without one, and rings and edges without a credit, of its own and of
    those that it is held back by."""
    begun: int = 0
    done: int = 0
    limit: int | None = None
    """Number of frames that it works on; None while nobody knows."""
    short_port: str = ""
    """The input that ended first."""
    awake: bool = False
    """Whether the loop will look at it."""
    terminal: bool = False
    """Whether nothing reads what it makes."""
    deferred: bool = False
    """Whether its frames count as delivered only when they are published."""
    published: bool = False
    closed: bool = False
    parting: bool = False
    """An input went on after another had ended."""
    await_end: bool = False
    """A device function whose end the loop must hear of: nothing behind it tells."""

    def block(self) -> None:
        """A ring or an edge has no credit left: an obstacle to the node and to those that it holds back."""
        for held in self.held_back:
            held.obstacles += 1

    def unblock(self) -> None:
        """There is a credit again."""
        for held in self.held_back:
            held.obstacles -= 1

    @property
    def finished(self) -> bool:
        """Whether it has done all that it will do."""
        return self.limit is not None and self.done >= self.limit
