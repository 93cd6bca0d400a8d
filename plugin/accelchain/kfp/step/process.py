# SPDX-License-Identifier: Apache-2.0
"""A process that gets our signals."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from types import FrameType

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command to its end, in a process group of its own that gets the signals which this process gets.

    Its stderr is ours. A killed parent takes it along (Linux). What its group left running is killed.

    Returns:
        Its exit code (128 and the signal's number where a signal ended it), and what it wrote to stdout.

    Raises:
        OSError: it can't be started.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            _signal_group(child.pid, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        with tempfile.TemporaryFile() as output:
            child = subprocess.Popen(command, stdout=output, start_new_session=True, preexec_fn=_dies_with_us())
            for number in early:
                _signal_group(child.pid, number)
            code = child.wait()
            _signal_group(child.pid, signal.SIGKILL)
            output.seek(0)
            text = output.read().decode(errors="replace")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return (code if code >= 0 else 128 - code), text


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:  # all of it has ended
        pass


def _dies_with_us() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded here: after a fork only async-signal-safe calls are left
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
