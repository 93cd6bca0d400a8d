# SPDX-License-Identifier: Apache-2.0
"""The threads beside the loop: everything that waits is in one of them, and reports to the loop's inbox.

All are daemons: one that hangs in foreign code does not keep the process alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from queue import SimpleQueue
from typing import Any

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.function import Buffer, EndOfStream, Event, FrameInfo
from accelchain_runtime.engine.state import Edge, Node, Slot

log = logging.getLogger("engine")


@dataclass(slots=True)
class Task:
    """One frame of work of a host function."""

    frame: FrameInfo
    taken: list[tuple[Edge, Slot]]
    """Input slots, to be released after the work."""
    inputs: dict[str, Buffer]
    outputs: dict[str, Buffer]
    made: list[Slot]
    """Output slots, one a port."""
    waits: list[Event]


@dataclass(slots=True)
class Worked:
    """A host function is done with a task."""

    node: Node
    task: Task
    begun: float
    ended: float


@dataclass(slots=True)
class Ended:
    """A host source has no further frame: the task's slots are unused."""

    node: Node
    task: Task
    warning: str | None


@dataclass(slots=True)
class Watched:
    """The command that a watch was set on has ended, or failed."""

    watch: Watch


@dataclass(slots=True)
class Carried:
    """A blocking link is done with a slot."""

    edge: Edge
    slot: Slot
    ready: float


@dataclass(slots=True)
class Failed:
    """Something raised; ``device`` tells that a device's work failed, not Python code."""

    function: str
    error: BaseException
    device: bool = False


@dataclass(slots=True)
class Drain:
    """Somebody wants sources to stop: what is under way goes through, and the run ends well."""


@dataclass(slots=True)
class Stop:
    """Somebody wants the run to end."""

    reason: str
    message: str


Message = Worked | Ended | Watched | Carried | Failed | Drain | Stop
Inbox = SimpleQueue[Message]


class Worker:
    """A daemon thread with an inbox of its own."""

    def __init__(self, name: str, inbox: Inbox) -> None:
        self.name = name
        self.inbox = inbox
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: Any) -> None:
        """Give it work; done in this order."""
        self._items.put(item)

    def stop(self) -> None:
        """Let it end after what it does now, without the work that waits."""
        self._stopping = True
        self._items.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for its end; returns whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(timeout, 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._items.get()) is not None and not self._stopping:
            if not self._work(item):
                return

    def _work(self, item: Any) -> bool:
        """Do one piece of work; returns whether there may be more."""
        raise NotImplementedError


class HostThread(Worker):
    """Runs one host function, a task after the other."""

    def __init__(self, node: Node, inbox: Inbox) -> None:
        super().__init__(node.name, inbox)
        self.node = node

    def _work(self, task: Task) -> bool:
        node = self.node
        try:
            for event in task.waits:
                event.wait()
        except Exception as error:  # the device's error class: work that this task builds on has failed
            self.inbox.put(Failed(node.name, error, device=True))
            return False
        begun = time.perf_counter()
        try:
            node.function.enqueue(task.frame, task.inputs, task.outputs, None, ())
            if not (node.inputs or isfinite(task.frame.time)):
                raise ValueError(f"a source must set the frame's time to seconds, not to {task.frame.time}")
        except EndOfStream as end:
            misplaced = Failed(node.name, TypeError("only a source may end the stream"))
            self.inbox.put(misplaced if node.inputs else Ended(node, task, end.warning))
            return False
        except BaseException as error:  # whatever a function raises ends the run, and is reported with its name
            self.inbox.put(Failed(node.name, error))
            return False
        waited = node.pacer.wait(task.frame.time) if node.pacer is not None else 0.0
        self.inbox.put(Worked(node, task, begun + waited, time.perf_counter()))
        return True


class Watch(Worker):
    """Wakes the loop when a device has ended a command that nothing else would tell of.

    The loop looks at the events itself while it is awake, which costs a tenth of a microsecond; only before it sleeps
    it sets the watch, on the oldest one.
    """

    def __init__(self, device: Accelerator, inbox: Inbox) -> None:
        super().__init__(f"watch of {device.name}", inbox)
        self.device = device
        self.events: deque[tuple[Event, str, Callable[[float], None]]] = deque()
        """(event, function, what to call in the loop with the time of the end), in the order of one queue."""
        self._is_set = False

    def add(self, event: Event, function: str, then: Callable[[float], None]) -> None:
        """Have ``then`` called in the loop when the event has ended."""
        self.events.append((event, function, then))

    def set(self) -> None:
        """Send ``Watched`` when the oldest event has ended."""
        if self.events and not self._is_set:
            self._is_set = True
            self.put(self.events[0][0])

    def clear(self) -> None:
        """The loop has got ``Watched``."""
        self._is_set = False

    def _work(self, event: Event) -> bool:
        try:
            event.wait()
        except Exception:  # the device's error class: the loop meets it again, where it knows whose event it is
            log.debug("%s: the command failed", self.name, exc_info=True)
        self.inbox.put(Watched(self))
        return True


class CarryThread(Worker):
    """Carries the frames of one edge whose link waits."""

    def __init__(self, edge: Edge, inbox: Inbox) -> None:
        super().__init__(" -> ".join(edge.label), inbox)
        self._edge = edge

    def carry(self, slot: Slot, ready: Event | None, time_ready: float) -> None:
        """Carry a slot's frame."""
        self.put((slot, ready, time_ready))

    def _work(self, item: tuple[Slot, Event | None, float]) -> bool:
        slot, ready, time_ready = item
        edge = self._edge
        try:
            if ready is not None:
                ready.wait()
                time_ready = time.perf_counter()
            event = edge.link.carry(slot.index, None)
            if event is not None:
                event.wait()
        except Exception as error:  # the device's error class
            self.inbox.put(Failed(edge.source.name, error, device=True))
            return False
        self.inbox.put(Carried(edge, slot, time_ready))
        return True


def join_all(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Wait for all within the time; returns those that still run."""
    deadline = time.monotonic() + seconds
    return [worker for worker in workers if not worker.join(deadline - time.monotonic())]
