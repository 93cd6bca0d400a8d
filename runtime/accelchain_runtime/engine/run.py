# SPDX-License-Identifier: Apache-2.0
"""One run of a plan, from setup to close, whatever happens in between."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

from accelchain_runtime.devices.pool import AnyDevice, DevicePool
from accelchain_runtime.engine import graph
from accelchain_runtime.engine.assemble import Assembler, Assembly
from accelchain_runtime.engine.fence import Fence
from accelchain_runtime.engine.flow import RunFailed
from accelchain_runtime.engine.function import InputError, Publisher
from accelchain_runtime.engine.loop import Loop
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.reach import Reach, ReachError, reach_of
from accelchain_runtime.engine.reasons import Failure, explain, named
from accelchain_runtime.engine.specs import check_results
from accelchain_runtime.engine.state import Node
from accelchain_runtime.engine.status import ENDS, Status
from accelchain_runtime.engine.threads import Drain, Failed, HostThread, Inbox, Stop, Worker, join_all
from accelchain_runtime.links import MECHANISMS
from accelchain_runtime.links.base import Connect, is_accelerator
from accelchain_runtime.registry import FunctionFolder

log = logging.getLogger("worker")

GRACE_SECONDS = 1.0
"""How long threads of functions may go on with their frame after a failure or a stop."""
_LAST_SECONDS = 0.3
"""How long functions may take to remove unfinished files when a thread hangs."""


class Run:
    """A plan's run: ``execute`` in one thread, ``stop`` and ``drain`` from any other."""

    def __init__(
        self,
        plan: Plan,
        registry: Sequence[FunctionFolder],
        pool: DevicePool,
        status: Status,
        *,
        cache: Path | None = None,
        mechanisms: Mapping[str, Connect] = MECHANISMS,
        fence: Fence | None = None,
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._pool = pool
        self._cache = cache
        self._mechanisms = mechanisms
        self.status = status
        self._inbox: Inbox = SimpleQueue()
        self._fence = fence if fence is not None else Fence(plan.attempt.number)
        if not plan.fenced:
            self._fence.lift()
        status.begin(plan.attempt.number, plan.attempt.start_frame)
        self._stop: Stop | None = None
        self._drained = False
        self._stopping = threading.Event()
        self._assembly = Assembly()
        self._unclosed: list[Node] = []
        self._closing = threading.Lock()

    def stop(self, reason: str, message: str) -> None:
        """End the run at once: unfinished results are discarded. The first call counts."""
        if self._stop is None:
            self._stop = Stop(reason, message)
            self._inbox.put(self._stop)
            self._fence.close()
            self._stopping.set()

    def drain(self) -> bool:
        """End the run well: sources stop, what is under way goes through, and sinks publish without a grant.

        Returns:
            Whether the run does so; False before it is Running, when there is nothing to save.
        """
        if self.status.phase == "Starting":
            return False
        self._drained = True
        self._fence.lift()
        self._inbox.put(Drain())
        self._stopping.set()
        return True

    def execute(self) -> None:
        """Run to the end; the outcome is in ``status``. Raises nothing that a function, a device or a plan caused."""
        devices: Mapping[str, AnyDevice] = {}
        workers: list[Worker] = []
        failure: Failure | None = None
        outputs: dict[str, object] = {}
        hung: list[Worker] | None = None
        try:
            checked = graph.build(self._plan, self._registry)
            reach = self._reach()
            devices = self._pool.open(self._plan.devices)
            self.status.bound(devices)
            assembler = Assembler(
                self._plan,
                checked,
                devices,
                cache=self._cache,
                live=self.status.offer_live,
                reach=reach,
                stopping=self._stopping,
                mechanisms=self._mechanisms,
            )
            self._assembly = assembler.assembly
            self._unclosed = assembler.assembly.nodes
            assembler.run(self._stopped)
            self._raise_if_stopped()
            self.status.running(self._assembly)
            loop = Loop(
                self._assembly.nodes,
                self._inbox,
                self._warn,
                self.status.first_frame,
                first_number=self._plan.attempt.start_frame,
            )
            workers = loop.workers
            loop.run()
            for device in devices.values():
                if is_accelerator(device):
                    device.finish()
            hung = self._stop_workers(workers)
            outputs = self._finish(_nodes_of(hung))
            self._publish()
        except Exception as error:  # everything that ends a run becomes its reason and message
            failure = explain(error, self._plan, devices.values(), self._stop)
        if hung is None:
            hung = self._stop_workers(workers)
        close_error = self._close(_nodes_of(hung), discard=failure is not None)
        if failure is None:
            failure = close_error
        if not hung:
            self._release(devices)
        if failure is None:
            self.status.succeed(outputs, "Stopped" if self._drained else "")
        else:
            self.status.fail(failure.reason, self._and_published(failure.message), failure.parameter)

    def abandon(self) -> None:
        """Remove unfinished files though ``execute`` hangs; the process ends after this."""
        if self.status.phase not in ENDS:
            closer = threading.Thread(target=self._close_nodes, args=(list(self._unclosed), True), daemon=True)
            closer.start()
            closer.join(_LAST_SECONDS)

    # -- steps of execute --------------------------------------------------------------------------------------------

    def _stopped(self) -> bool:
        return self._stop is not None

    def _raise_if_stopped(self) -> None:
        if self._stop is not None:
            raise RunFailed(self._stop)

    def _warn(self, text: str) -> None:
        log.warning("%s", text)
        self.status.warn(text)

    def _reach(self) -> Reach:
        try:
            return reach_of(self._plan, os.environ)
        except ReachError as error:
            raise InputError(f"{error}.") from error

    def _finish(self, busy: Collection[Node]) -> dict[str, object]:
        """Have every function make its results durable; those that are busy are sources which were not waited for."""
        outputs: dict[str, object] = {}
        for node in self._assembly.nodes:
            self._raise_if_stopped()
            if node in busy:
                continue
            try:
                values = check_results(node.function.finish())
            except Exception as error:  # whatever a function raises ends the run, and is reported with its name
                raise RunFailed(Failed(node.name, error)) from error
            outputs |= {f"{node.name}.{name}": value for name, value in values.items()}
        self._raise_if_stopped()
        return outputs

    def _publish(self) -> None:
        """Have every function show its results, each of them within seconds of a grant where one is needed.

        From the first one on it is too late to stop, unless a grant expires on the way.
        """
        if self._fence.ask():
            self.status.publishing()
        self._await_grant()
        for node in self._assembly.nodes:
            if isinstance(node.function, Publisher):
                self._await_grant()
                try:
                    node.function.publish()
                except Exception as error:  # whatever a function raises ends the run, and is reported with its name
                    raise RunFailed(Failed(node.name, error)) from error
            node.published = True

    def _await_grant(self) -> None:
        if not self._fence.wait(self.status.publishing):
            self._raise_if_stopped()

    def _and_published(self, message: str) -> str:
        """Return the message of a failure, and which results are to be seen all the same."""
        shown = [node.name for node in self._assembly.nodes if node.deferred and node.published]
        return f"{message.removesuffix('.')}. Already published: {', '.join(shown)}." if shown else message

    @staticmethod
    def _stop_workers(workers: Sequence[Worker]) -> list[Worker]:
        for worker in workers:
            worker.stop()
        hung = join_all(workers, GRACE_SECONDS)
        for worker in hung:
            log.error("%s does not end within %.0f s and is left behind", worker.name, GRACE_SECONDS)
        return hung

    def _close(self, busy: Collection[Node], *, discard: bool) -> Failure | None:
        error = self._close_nodes([node for node in self._unclosed if node not in busy], discard)
        if busy:  # their threads may still hold what is closed: not waited for longer than it takes to remove files
            closer = threading.Thread(target=self._close_nodes, args=(list(busy), discard), daemon=True)
            closer.start()
            closer.join(_LAST_SECONDS)
        return error

    def _close_nodes(self, nodes: Sequence[Node], discard: bool) -> Failure | None:
        """Close functions, the last ones first; returns the first failure, if any."""
        failure = None
        for node in reversed(nodes):
            with self._closing:
                if node.closed:
                    continue
                node.closed = True
            try:
                node.function.close(discard=discard)
            except Exception as error:  # the others must be closed all the same
                log.exception("%s: close failed", node.name)
                failure = failure or Failure("FunctionFailed", named(node.name, error))
        return failure

    def _release(self, devices: Mapping[str, AnyDevice]) -> None:
        try:
            self._assembly.release()
        except Exception as error:  # a broken device can't take its memory back; the process ends soon
            if not any(is_accelerator(device) and device.is_device_error(error) for device in devices.values()):
                raise
            log.warning("a device did not take its memory back: %s", error)


def _nodes_of(hung: Sequence[Worker]) -> set[Node]:
    """Return the functions whose threads hang."""
    return {worker.node for worker in hung if isinstance(worker, HostThread)}
