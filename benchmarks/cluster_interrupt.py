# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C of ``accelchain run``, on this machine and in a cluster, for cluster.py."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import yaml
from cluster_at_rest import slow_flow
from demo_chain import command
from realkube.cluster import Cluster
from realkube.team import Team

DEADLINE = 60.0
MARK = "ACCELCHAIN_BENCHMARK_MARK"


def on_laptop(clip: Path, folder: Path) -> float:
    """Interrupt a run on this machine; return the seconds until none of its processes is left."""
    file = folder / "laptop.yaml"
    file.write_text(yaml.safe_dump(slow_flow("slow", clip.as_uri(), (folder / "slow-out.mp4").as_uri())))
    mark = uuid.uuid4().hex
    return _interrupted(["run", str(file), "--no-report"], mark, lambda: not _processes(mark))


async def in_cluster(cluster: Cluster, team: Team, name: str, folder: Path) -> float:
    """Interrupt a run in a cluster; return the seconds until neither its process nor any of its objects is left."""
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(slow_flow(name)))
    arguments = ["run", str(file), "--no-report", "--kubeconfig", str(cluster.kubeconfig), "-n", team.namespace]
    mark = uuid.uuid4().hex
    return _interrupted(arguments, mark, lambda: not _processes(mark) and not team.left())


def _interrupted(arguments: list[str], mark: str, is_over: Callable[[], bool]) -> float:
    """Run the command line until its flow runs, press Ctrl-C, and time the end."""
    process = subprocess.Popen(
        command(*arguments),
        env={**os.environ, MARK: mark, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a terminal does: the signal goes to the whole group
    )
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        _until(lambda: any("Running" in line for line in lines), process, lines)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(DEADLINE)
        while not is_over():
            if time.monotonic() - began > DEADLINE:
                raise SystemExit(f"something of {' '.join(arguments)} is left {DEADLINE:.0f} s after Ctrl-C")
            time.sleep(0.02)
        return round(time.monotonic() - began, 2)
    finally:
        process.kill()
        process.wait()


def _until(condition: Callable[[], bool], process: subprocess.Popen[str], lines: list[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the flow does not run:\n{''.join(lines[-20:])}")
        time.sleep(0.02)


def _processes(mark: str) -> list[int]:
    """Return the processes that a run started, itself included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile
    return found
