# SPDX-License-Identifier: Apache-2.0
"""The processes of Pods, as the host sees them: the kernel's own view, past Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def processes(pod: Mapping[str, Any]) -> dict[int, str]:
    """Return the command lines of a Pod's processes by the host's pids, its sandbox left out."""
    uid = pod["metadata"]["uid"]
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if uid in (folder / "cgroup").read_text():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if line and line != "/pause":
                    found[int(folder.name)] = line
        except OSError:
            continue  # it ended meanwhile
    return found


def main_process(pod: Mapping[str, Any]) -> int:
    """Return the host's pid of a Pod's first process; LookupError where none runs."""
    found = sorted(processes(pod))
    if not found:
        raise LookupError(f"no process of pod {pod['metadata']['name']} runs")
    return found[0]


def send(pod: Mapping[str, Any], number: int) -> None:
    """Send a signal to a Pod's first process, from outside of its namespaces: SIGKILL ends it there only so."""
    os.kill(main_process(pod), number)


def resident_bytes(pod: Mapping[str, Any]) -> int:
    """Return the resident memory of a Pod's processes."""
    total = 0
    for pid in processes(pod):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
