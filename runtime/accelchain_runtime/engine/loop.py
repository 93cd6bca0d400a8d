# SPDX-License-Identifier: Apache-2.0
"""The one scheduling loop: hears of what has ended, and lets frames flow on. It never waits for a device."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from itertools import count
from queue import Empty

from accelchain_runtime.engine.flow import Flow, RunFailed
from accelchain_runtime.engine.state import Node
from accelchain_runtime.engine.threads import (
    Carried,
    CarryThread,
    Drain,
    Ended,
    Failed,
    HostThread,
    Inbox,
    Message,
    Stop,
    Watch,
    Watched,
    Worked,
    Worker,
)


class Loop:
    """Runs the nodes until all of them are done."""

    def __init__(
        self,
        nodes: Sequence[Node],
        inbox: Inbox,
        warn: Callable[[str], None],
        first_frame: Callable[[float], None],
        *,
        first_number: int = 0,
    ) -> None:
        """Take over nodes that are set up.

        Args:
            nodes: in topological order.
            inbox: where threads report to; ``Stop`` in it ends the run at once, ``Drain`` as if sources had ended.
            warn: called with what the user should know of a run that goes on.
            first_frame: called once, with ``time.monotonic()``, when every terminal function has done a frame.
            first_number: the number that sources' frames are counted from.
        """
        self._nodes = nodes
        self._inbox = inbox
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()  # of timers for the same moment
        self._flow = flow = Flow(
            nodes, warn=warn, first_frame=first_frame, delay=self._delay, first_number=first_number
        )
        for node in nodes:
            if node.device is None:
                flow.host_threads[node] = HostThread(node, inbox)
            elif node.device not in flow.watches:
                flow.watches[node.device] = Watch(node.device, inbox)
            for edge in node.inputs:
                if edge.link.blocking:
                    flow.carriers[edge] = CarryThread(edge, inbox)
        self.workers: list[Worker] = [*flow.host_threads.values(), *flow.watches.values(), *flow.carriers.values()]

    def run(self) -> None:
        """Run to the end.

        Raises:
            RunFailed: something raised, or ``Stop`` was in the inbox.
        """
        for worker in self.workers:
            worker.start()
        flow = self._flow
        flow.pump()
        while not all(node.finished for node in self._nodes):
            for device in flow.unflushed:
                device.flush(device.queue)
            flow.unflushed.clear()
            if not self._look_at_devices():
                self._handle_next()
        for node in self._nodes:
            node.figures.device.settle()
            for edge in node.inputs:
                edge.figures.device.settle()

    def _look_at_devices(self) -> bool:
        """Handle the awaited commands that have ended; returns whether there were any."""
        any_ended = False
        for device, watch in self._flow.watches.items():
            events = watch.events
            while events:
                event, function, then = events[0]
                try:
                    if not device.has_ended(event):
                        break
                except Exception as error:  # the device's error class
                    raise RunFailed(Failed(function, error, device=True)) from error
                events.popleft()
                any_ended = True
                then(time.perf_counter())
                self._flow.pump()
        return any_ended

    def _handle_next(self) -> None:
        """Wait for one message or timer; handle it and everything else that is there."""
        for watch in self._flow.watches.values():
            watch.set()
        timeout = max(self._timers[0][0] - time.perf_counter(), 0.0) if self._timers else None
        try:
            message: Message = self._inbox.get(timeout=timeout)
            while True:
                self._handle(message)
                self._flow.pump()
                message = self._inbox.get_nowait()
        except Empty:
            pass
        while self._timers and self._timers[0][0] <= time.perf_counter():
            heapq.heappop(self._timers)[2]()
            self._flow.pump()

    def _handle(self, message: Message) -> None:
        match message:
            case Watched(watch):
                watch.clear()
            case Worked(node, task, begun, ended):
                self._flow.host_done(node, task, begun, ended)
            case Ended(node, task, warning):
                self._flow.end_source(node, task.frame, task.made, warning)
            case Carried(edge, slot, ready):
                self._flow.carried(edge, slot, ready)
            case Drain():
                self._flow.drain()
            case Failed() | Stop():
                raise RunFailed(message)

    def _delay(self, moment: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (moment, next(self._order), then))
