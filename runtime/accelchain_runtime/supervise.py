# SPDX-License-Identifier: Apache-2.0
"""Runs one plan under supervision: signals, deadline, status server, termination log, exit code.

The run has a thread of its own. The main thread only waits, so that a function that hangs in foreign code, in setup as
well, holds up neither a signal nor the deadline.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from pydantic import ValidationError

from accelchain_runtime import registry
from accelchain_runtime.devices.pool import DevicePool, cache_folder
from accelchain_runtime.engine.fence import Fence
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.run import Run
from accelchain_runtime.engine.status import Status, cut
from accelchain_runtime.server import StatusServer, parse_address

log = logging.getLogger("worker")

EXIT_SUCCEEDED, EXIT_FAILED, EXIT_INPUT, EXIT_STOPPED = 0, 1, 2, 143
_EXITS = {"InvalidInput": EXIT_INPUT, "Stopped": EXIT_STOPPED}
"""Of runs that failed, by their reason; others exit with ``EXIT_FAILED``."""
_DRAIN_SECONDS = 25.0
"""How long a stream that is told to stop may take to finish: less than its Pod's grace period of 30 s."""
_STOP_SECONDS = 1.5
"""From a stop until the run is given up: longer than ``run.GRACE_SECONDS``, and with what follows less than 2 s."""


@dataclass(frozen=True)
class Task:
    """What a worker is told on its command line."""

    plan: Path
    status_address: str = ""
    termination_log: Path | None = None
    token_file: Path | None = None


def supervise(task: Task, pool: DevicePool, started: float) -> int:
    """Run the task to its end and return the process's exit code.

    Args:
        task: the task.
        pool: devices that may be open already.
        started: ``time.monotonic()`` when the task was received.
    """
    status = Status(started)
    server: StatusServer | None = None
    try:
        plan = _load(task.plan)
        digest = _digest(plan, task.token_file)
        functions = registry.find()
        fence = Fence(plan.attempt.number)
        if task.status_address:
            server = _serve(task.status_address, status, digest, fence)
    except (InputError, registry.ManifestError) as error:
        status.fail("InvalidInput", str(error))
    else:
        run = Run(plan, functions, pool, status, cache=cache_folder(), fence=fence)
        deadline = None if plan.deadline_seconds is None else started + plan.deadline_seconds
        carry_out(run, deadline, drains=plan.mode == "Stream")
    document = status.document()
    level = logging.INFO if status.phase == "Succeeded" else logging.ERROR
    end = "Succeeded" if status.phase == "Succeeded" else f"{document['reason']}: {document['message']}"
    log.log(level, "%s after %d frames and %.1f s", end, document["frames"], document["seconds"])
    if task.termination_log:
        write_termination_log(task.termination_log, cut(document))
    if server:
        server.stop()
    return exit_code(status)


def exit_code(status: Status) -> int:
    """Return the exit code that tells how a run ended."""
    return EXIT_SUCCEEDED if status.phase == "Succeeded" else _EXITS.get(status.reason, EXIT_FAILED)


_STOPPED = ("Stopped", "The worker was told to stop.")
_LATE = ("DeadlineExceeded", "The run took longer than its deadline allows; it was stopped.")
_STUCK = ("Stopped", f"The worker was told to stop, and its stream was not finished within {_DRAIN_SECONDS:.0f} s.")


def carry_out(run: Run, deadline: float | None, *, drains: bool) -> None:
    """Execute the run in a thread; stop it at a signal or at the deadline, and give it up if it does not stop.

    Args:
        run: the run.
        deadline: of ``time.monotonic()``.
        drains: the first signal lets what is under way be finished and published; the second one discards it.
    """
    events: SimpleQueue[str] = SimpleQueue()  # its put is safe in a signal handler, an Event's set is not

    def on_signal(number: int, frame: FrameType | None) -> None:
        events.put("signal")

    def execute() -> None:
        try:
            run.execute()
        except BaseException as error:
            log.exception("the engine failed")
            run.status.fail("FunctionFailed", f"the engine failed: {type(error).__name__}: {error}")
        finally:
            events.put("done")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    threading.Thread(target=execute, name="engine", daemon=True).start()
    stop: tuple[str, str] | None = None
    late, limit = _LATE, deadline
    try:
        while True:
            try:
                event = events.get(timeout=None if limit is None else max(limit - time.monotonic(), 0.0))
            except Empty:
                event = "timeout"
            if event == "done":
                return
            if stop is None and event == "signal" and drains and run.drain():
                log.info("told to stop: what is under way is finished and published")
                drains, late, limit = False, _STUCK, time.monotonic() + _DRAIN_SECONDS
            elif stop is None:
                stop = _STOPPED if event == "signal" else late
                run.stop(*stop)
                limit = time.monotonic() + _STOP_SECONDS
            elif event == "timeout":
                log.error("the run does not stop and is given up")
                run.abandon()
                run.status.fail(*stop)
                return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load(file: Path) -> Plan:
    try:
        return Plan.load(file.read_bytes())
    except OSError as error:
        raise InputError(f"The plan {file} can't be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise InputError(f"The plan {file} is no plan of this version: {field}: {first['msg']}.") from error


def _digest(plan: Plan, token_file: Path | None) -> str:
    """Return the digest of the token that opens the status server."""
    if token_file is None:
        return plan.token_sha256
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The token file {token_file} can't be read: {error}.") from error
    digest = hashlib.sha256(token.encode()).hexdigest()
    if plan.token_sha256 not in ("", digest):
        raise InputError(f"The token in {token_file} is not the one that the plan was made with.")
    return digest


def _serve(address: str, status: Status, digest: str, fence: Fence) -> StatusServer:
    try:
        server = StatusServer(parse_address(address), status, digest, fence)
    except OSError as error:
        raise InputError(f"The status address {address} can't be used: {error.strerror}.") from error
    log.info("status at %s", server.url)
    return server


def write_termination_log(file: Path, data: bytes) -> None:
    """Write the file so that nobody reads a part of it.

    In a pod the file is a mount of its own, which can't be replaced: there it is one write.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}")
    except OSError:
        _write_in_place(file, data)
        return
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except OSError:
        os.unlink(temporary)
        _write_in_place(file, data)


def _write_in_place(file: Path, data: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
    except OSError as error:
        log.error("the termination log %s can't be written: %s", file, error)
