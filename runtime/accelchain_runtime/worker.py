# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain_runtime.worker``: the process that runs a plan, cold or out of a warm pool."""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from accelchain_runtime import registry
from accelchain_runtime.devices.pool import DeviceError, DevicePool, cache_folder
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.prepare import preparations
from accelchain_runtime.supervise import EXIT_FAILED, EXIT_INPUT, EXIT_STOPPED, EXIT_SUCCEEDED, Task, supervise

log = logging.getLogger("worker")

_PR_SET_PDEATHSIG = 1
_TASK_BYTES = 1 << 20


class TaskError(Exception):
    """The line that a warm worker got is no task."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker and return its exit code."""
    started = time.monotonic()
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if options.die_with_parent:
        die_with_parent()
    pool = DevicePool(cache_folder())
    if not options.warm:
        return supervise(_task(options), pool, started)
    return _serve_warm(pool)


def _serve_warm(pool: DevicePool) -> int:
    """Get everything ready, wait for one task, run it."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    warm_up(pool)
    print(json.dumps({"ready": True}), flush=True)
    line = sys.stdin.buffer.readline(_TASK_BYTES)
    started = time.monotonic()
    if not line:
        return EXIT_SUCCEEDED
    try:
        return supervise(_take(line), pool, started)
    except TaskError as error:
        log.error("%s", error)
        return EXIT_INPUT


def warm_up(pool: DevicePool) -> None:
    """Import functions, open devices and load kernels that the cache holds; compile nothing."""
    for preparation in preparations(registry.find(), pool, cache_folder()):
        try:
            if preparation.done:
                preparation.run()
        except InputError as error:  # a function that is broken or lacks a package must not take the others with it
            log.warning("%s is not warm: %s", preparation, error)


def _take(line: bytes) -> Task:
    """Become the process that the task asks for.

    Raises:
        TaskError: the line is no task.
    """
    try:
        task: dict[str, Any] = json.loads(line)
        argv = [str(argument) for argument in task["argv"]]
        environment = {str(name): str(value) for name, value in task.get("env", {}).items()}
        output, folder = task.get("stdout"), task.get("cwd")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"The line on stdin is no task: {type(error).__name__}: {error}.") from error
    os.environ.update(environment)
    try:
        if output:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(descriptor)
        if folder:
            os.chdir(folder)
    except OSError as error:
        raise TaskError(f"The task can't be begun: {error}.") from error
    try:
        options = _parser().parse_args(argv)
    except SystemExit as error:  # argparse has said why
        raise TaskError("The task's argv is wrong.") from error
    if options.warm:
        raise TaskError("The task's argv has --warm.")
    return _task(options)


def _task(options: argparse.Namespace) -> Task:
    return Task(
        options.plan,
        options.status_address or os.environ.get("ACCELCHAIN_STATUS_ADDRESS", ""),
        options.termination_log,
        options.token_file,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m accelchain_runtime.worker", description=__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--plan", type=Path, metavar="FILE", help="run this plan")
    task.add_argument("--warm", action="store_true", help="get ready, and wait for a task: one line of JSON on stdin")
    parser.add_argument("--status-address", default="", metavar="IP:PORT", help="serve status here")
    parser.add_argument("--termination-log", type=Path, metavar="FILE", help="write the last status here")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the token that opens the status server")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the parent process ends")
    return parser


def die_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent ends (the thread of it that started this process).

    Raises:
        OSError: the kernel refused.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_STOPPED)


def _process() -> None:
    """Run ``main`` and end the process at once: threads that hang in foreign code must not hold it up."""
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_FAILED
    except (DeviceError, registry.ManifestError) as error:
        log.error("%s", error)
        code = EXIT_FAILED
    except BaseException:
        log.exception("the worker failed")
        code = EXIT_FAILED
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by whoever started this process
            with suppress(OSError):  # its reader has gone, or the disk is full: the exit code still counts
                stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _process()
