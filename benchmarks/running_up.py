# SPDX-License-Identifier: Apache-2.0
"""``accelchain up`` as a process of its own, with a state folder of its own, for as long as a benchmark needs it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo_chain import command

START_DEADLINE = 60.0
STOP_DEADLINE = 15.0


@dataclass(frozen=True)
class Up:
    """A cluster that is up."""

    pid: int
    kubeconfig: Path


@contextmanager
def running_up(*arguments: str) -> Iterator[Up]:
    """Start ``accelchain up`` and stop it."""
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            command("up", *arguments),
            env=os.environ | {"XDG_STATE_HOME": state},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            if not select.select([process.stdout], [], [], START_DEADLINE)[0]:
                raise SystemExit(f"accelchain up was not up after {START_DEADLINE:.0f} s")
            path = process.stdout.readline().strip()
            if not path:
                raise SystemExit(f"accelchain up ended with {process.wait(STOP_DEADLINE)}")
            yield Up(process.pid, Path(path))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_DEADLINE)
            finally:
                process.kill()
                process.wait()


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    text = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in text for child in (task / "children").read_text().split()]


def memory_mb(pid: int) -> dict[str, float]:
    """Return a process's resident memory and its proportional share of it, in MB (10^6 bytes)."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if ":" in line
    )
    return {name.lower(): round(int(fields[name].split()[0]) * 1024e-6, 1) for name in ("Rss", "Pss")}
