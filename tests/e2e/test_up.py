# SPDX-License-Identifier: Apache-2.0
"""``up`` from its start to its end, by whatever means it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
from urllib.parse import urlsplit


def listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), 1).close()
    except OSError:
        return False
    return True


def test_it_prints_its_kubeconfig_refuses_a_second_one_and_leaves_nothing(machine):
    up = machine.start("up")
    up.until("accelchain is up")
    assert up.out == f"{machine.kubeconfig}\n"
    assert machine.kubeconfig.stat().st_mode & 0o777 == 0o600
    facts = json.loads((machine.state / "up.json").read_text())
    assert facts["pid"] == up.process.pid and listens(facts["url"])
    second = machine.run("up")
    assert second.returncode == 2 and "runs already" in second.stderr and second.stdout == ""
    assert machine.kubeconfig.exists()
    up.signal(signal.SIGINT)
    assert up.end(15) == 0, up.err
    assert "Traceback" not in up.err
    assert not listens(facts["url"])
    assert sorted(p.name for p in machine.state.iterdir()) == ["up.log"]


def test_ctrl_c_while_it_starts(machine, wait_until):
    up = machine.start("up")
    wait_until(lambda: machine.workers() or (machine.state / "up.json").exists())
    up.signal()
    assert up.end(15) in (0, 130), up.err
    assert "Traceback" not in up.err
    assert not machine.kubeconfig.exists() and not (machine.state / "up.json").exists()


def test_after_a_kill_with_9_no_worker_lives_and_the_next_one_starts(machine, late_flow, functions, wait_until):
    up = machine.start("up", "--functions", functions)
    up.until("accelchain is up")
    film = machine.work / "film.mp4"
    machine.kubectl("apply", "-f", "-", stdin=late_flow(film, seconds=0.1))
    wait_until(machine.busy_workers, 60)  # kernels may be compiled first
    os.kill(up.process.pid, signal.SIGKILL)
    up.end()
    wait_until(lambda: not machine.workers(), 5, "the end of the workers")
    assert machine.kubeconfig.exists(), "nobody could remove it"
    assert machine.run("get").returncode == 2
    again = machine.start("up")
    again.until("accelchain is up")
    assert machine.files() == [], "what the killed one left is gone"
    assert "no dataflows" in machine.run("get").stderr
    again.signal(signal.SIGTERM)
    assert again.end(15) == 0
    assert not film.exists()


def test_a_state_folder_that_cannot_be_made(machine):
    (machine.root / "state" / "accelchain").write_text("in the way")
    result = machine.run("up")
    assert result.returncode == 2 and "XDG_STATE_HOME" in result.stderr and result.stdout == ""


def test_a_flow_that_waits_for_kernels_is_deleted_at_once(machine, late_flow, functions, tmp_path, wait_until):
    """The first flow on a machine: its pod waits until kernels are compiled, and no delete waits for that."""
    machine.cache = tmp_path / "cold"
    up = machine.start("up", "--functions", functions)
    up.until("accelchain is up")
    machine.kubectl("apply", "-f", "-", stdin=late_flow(machine.work / "film.mp4"))
    wait_until(lambda: "PreparingKernels" in machine.kubectl("get", "pods", "-o", "yaml").stdout)
    deleted = machine.run("delete", "late", "--timeout", 3)
    assert deleted.returncode == 0, deleted.stderr
    up.signal(signal.SIGTERM)
    assert up.end(15) == 0, up.err
