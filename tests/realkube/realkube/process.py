# SPDX-License-Identifier: Apache-2.0
"""Commands with a deadline, and waiting with one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from realkube.errors import ClusterError


def run(
    command: Sequence[object],
    *,
    stdin: str = "",
    timeout: float = 60.0,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ClusterError with its message where it is late, or fails and ``check`` is set."""
    argv = list(map(str, command))
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(argv)}: no end within {timeout:.0f} s.") from None
    if check and done.returncode:
        raise ClusterError(f"{' '.join(argv)}: code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def until(condition: Callable[[], bool], seconds: float, what: str, check: Callable[[], None] = lambda: None) -> None:
    """Return when the condition holds; ClusterError after the deadline, or where ``check`` raises it."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not come within {seconds:.0f} s.")
        time.sleep(0.1)
