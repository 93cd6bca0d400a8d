# SPDX-License-Identifier: Apache-2.0
"""One run of a plan, from setup to close, whatever happens in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

from accelchain_runtime.devices.pool import AnyDevice, DeviceError, DevicePool
from accelchain_runtime.engine import graph
from accelchain_runtime.engine.assemble import Assembler, Assembly, SetupFailed
from accelchain_runtime.engine.flow import RunFailed
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.loop import Loop
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.specs import check_results
from accelchain_runtime.engine.state import Node
from accelchain_runtime.engine.status import ENDS, Status
from accelchain_runtime.engine.threads import Failed, HostThread, Inbox, Stop, Worker, join_all
from accelchain_runtime.links import MECHANISMS
from accelchain_runtime.links.base import Connect, is_accelerator
from accelchain_runtime.links.choose import LinkError
from accelchain_runtime.registry import FunctionFolder

log = logging.getLogger("worker")

GRACE_SECONDS = 1.0
"""How long threads of functions may go on with their frame after a failure or a stop."""
_LAST_SECONDS = 0.3
"""How long functions may take to remove unfinished files when a thread hangs."""


class Run:
    """A plan's run: ``execute`` in one thread, ``stop`` from any other."""

    def __init__(
        self,
        plan: Plan,
        registry: Sequence[FunctionFolder],
        pool: DevicePool,
        status: Status,
        *,
        cache: Path | None = None,
        mechanisms: Mapping[str, Connect] = MECHANISMS,
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._pool = pool
        self._cache = cache
        self._mechanisms = mechanisms
        self.status = status
        self._inbox: Inbox = SimpleQueue()
        self._stop: Stop | None = None
        self._assembly = Assembly()
        self._unclosed: list[Node] = []
        self._closing = threading.Lock()

    def stop(self, reason: str, message: str) -> None:
        """End the run at once: unfinished results are discarded. The first call counts."""
        if self._stop is None:
            self._stop = Stop(reason, message)
            self._inbox.put(self._stop)

    def execute(self) -> None:
        """Run to the end; the outcome is in ``status``. Raises nothing that a function, a device or a plan caused."""
        devices: Mapping[str, AnyDevice] = {}
        workers: list[Worker] = []
        failure: tuple[str, str, str] | None = None
        outputs: dict[str, object] = {}
        try:
            checked = graph.build(self._plan, self._registry)
            devices = self._pool.open(self._plan.devices)
            assembler = Assembler(
                self._plan,
                checked,
                devices,
                cache=self._cache,
                live=self.status.offer_live,
                mechanisms=self._mechanisms,
            )
            self._assembly = assembler.assembly
            self._unclosed = assembler.assembly.nodes
            assembler.run(self._stopped)
            self._raise_if_stopped()
            self.status.running(self._assembly)
            loop = Loop(self._assembly.nodes, self._inbox, self._warn, self.status.first_frame)
            workers = loop.workers
            loop.run()
            for device in devices.values():
                if is_accelerator(device):
                    device.finish()
            outputs = self._finish()
        except Exception as error:  # everything that ends a run becomes its reason and message
            failure = self._explain(error, devices)
        hung = self._stop_workers(workers)
        close_error = self._close(hung, discard=failure is not None)
        if failure is None:
            failure = close_error
        if not hung:
            self._release(devices)
        if failure is None:
            self.status.succeed(outputs)
        else:
            self.status.fail(*failure)

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

    def _finish(self) -> dict[str, object]:
        outputs: dict[str, object] = {}
        for node in self._assembly.nodes:
            self._raise_if_stopped()
            try:
                values = check_results(node.function.finish())
            except Exception as error:  # whatever a function raises ends the run, and is reported with its name
                raise RunFailed(Failed(node.name, error)) from error
            outputs |= {f"{node.name}.{name}": value for name, value in values.items()}
        self._raise_if_stopped()
        return outputs

    @staticmethod
    def _stop_workers(workers: Sequence[Worker]) -> list[Worker]:
        for worker in workers:
            worker.stop()
        hung = join_all(workers, GRACE_SECONDS)
        for worker in hung:
            log.error("%s does not end within %.0f s and is left behind", worker.name, GRACE_SECONDS)
        return hung

    def _close(self, hung: Sequence[Worker], *, discard: bool) -> tuple[str, str, str] | None:
        busy = {worker.node for worker in hung if isinstance(worker, HostThread)}
        error = self._close_nodes([node for node in self._unclosed if node not in busy], discard)
        if busy:  # their threads may still hold what is closed: not waited for longer than it takes to remove files
            closer = threading.Thread(target=self._close_nodes, args=(list(busy), discard), daemon=True)
            closer.start()
            closer.join(_LAST_SECONDS)
        return error

    def _close_nodes(self, nodes: Sequence[Node], discard: bool) -> tuple[str, str, str] | None:
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
                failure = failure or ("FunctionFailed", _named(node.name, error), "")
        return failure

    def _release(self, devices: Mapping[str, AnyDevice]) -> None:
        try:
            self._assembly.release()
        except Exception as error:  # a broken device can't take its memory back; the process ends soon
            if not any(is_accelerator(device) and device.is_device_error(error) for device in devices.values()):
                raise
            log.warning("a device did not take its memory back: %s", error)

    # -- reasons -----------------------------------------------------------------------------------------------------

    def _explain(self, error: Exception, devices: Mapping[str, AnyDevice]) -> tuple[str, str, str]:
        """Return reason, message and field of what ended the run."""
        function, cause, on_device = "", error, False
        if isinstance(error, RunFailed):
            if isinstance(error.cause, Stop):
                return error.cause.reason, error.cause.message, ""
            function, on_device = error.cause.function, error.cause.device
            if not isinstance(error.cause.error, Exception):
                return "FunctionFailed", _named(function, error.cause.error), ""
            cause = error.cause.error
        elif isinstance(error, SetupFailed):
            if not isinstance(error.error, Exception):
                return "FunctionFailed", _named(error.function, error.error), ""
            function, cause = error.function, error.error
        elif self._stop is not None:
            return self._stop.reason, self._stop.message, ""
        if isinstance(cause, InputError):
            return "InvalidInput", _named(function, cause), self._field(function, cause.parameter)
        told = isinstance(cause, DeviceError | LinkError)  # sentences for users; of all else the place matters
        log.error("%s: %s", function or "worker", cause, exc_info=None if told else cause)
        on_device = on_device or any(is_accelerator(d) and d.is_device_error(cause) for d in devices.values())
        if on_device or isinstance(cause, DeviceError | LinkError):
            return "DeviceFailed", _named(function, cause), ""
        return "FunctionFailed", _named(function, cause), ""

    def _field(self, function: str, parameter: str | None) -> str:
        """Return the DataFlow's field that a parameter came from."""
        plans = {plan.name: plan for plan in self._plan.functions}
        if not parameter or function not in plans:
            return ""
        return plans[function].origins.get(parameter, "")


def _named(function: str, error: BaseException) -> str:
    """Return what an error says, behind the function's name; its class where that says more than the text."""
    known = isinstance(error, InputError | DeviceError | LinkError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    return text if not function or text.startswith(f"{function}:") else f"{function}: {text}"
