# SPDX-License-Identifier: Apache-2.0
"""``run`` on this machine: what it prints where, how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def flow(machine, late_flow, functions):
    """Write a flow with ``dawdle``; return the arguments that run it."""

    def write(**parameters: object) -> list[object]:
        file = machine.work / "flow.yaml"
        file.write_text(late_flow(machine.work / "film.mp4", **parameters))
        return ["run", file, "--functions", functions]

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_plain_lines_without_a_terminal_and_paths_last(machine, flow):
    result = machine.run(*flow(seconds=0.03), "--graph", "graph.svg")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(machine.work / n) for n in ("film.mp4", "graph.svg", "report.html")]
    assert names(machine.work) == ["film.mp4", "flow.yaml", "graph.svg", "report.html"]
    lines = result.stderr.splitlines()
    assert "\x1b" not in result.stderr
    for words in ("DataFlow", "WBFunction", "WBConnection", "Pod", "/100 frames", "Succeeded"):
        assert any(words in line for line in lines), result.stderr
    assert lines[-1].startswith("late succeeded: 100 frames")


def test_json_is_one_document_and_nothing_else(machine, flow):
    result = machine.run(*flow(seconds=0), "--json", "--no-report")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["kind"], document["status"]["phase"]) == ("DataFlow", "Succeeded")
    assert document["status"]["progress"]["frames"] == 100 and document["status"]["edges"]
    assert "managedFields" not in document["metadata"]
    assert result.stderr == ""


def test_a_function_that_fails_says_why_with_the_last_lines_of_the_log(machine, flow):
    result = machine.run(*flow(seconds=0.02, failAt=5), "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    failed = next(c for c in document["status"]["conditions"] if c["type"] == "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "FunctionFailed")
    assert "FunctionFailed" in result.stderr and "dawdle breaks" in result.stderr
    assert "the reason is told in the log" in result.stderr
    assert names(machine.work) == ["flow.yaml", "report.html"]
    assert "the reason is told in the log" in (machine.work / "report.html").read_text()


def test_a_worker_killed_with_9_is_a_lost_one(machine, flow, wait_until):
    running = machine.start(*flow(seconds=0.1), "--json")
    wait_until(machine.busy_workers, 60)
    os.kill(machine.busy_workers()[0], signal.SIGKILL)
    assert running.end() == 1, running.err
    failed = next(c for c in json.loads(running.out)["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "WorkerLost"
    assert "WorkerLost" in running.err and "Traceback" not in running.err
    assert "film.mp4" not in names(machine.work)


def test_a_timeout_ends_the_run(machine, flow):
    result = machine.run(*flow(seconds=1), "--timeout", 2, "--json")
    assert result.returncode == 1
    assert "had not ended after 2 s" in result.stderr
    assert json.loads(result.stdout)["kind"] == "DataFlow"
    assert names(machine.work) == ["flow.yaml"]


def test_readers_that_go_away_end_nothing(machine, flow):
    command = f"{sys.executable} -m accelchain.cli.main {' '.join(map(str, flow(seconds=0)))} --no-report"
    for pipe in ("2>&1 | head -n 2", "| true"):
        result = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} {pipe}"],
            env=machine.environment,
            cwd=machine.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stderr + result.stdout and "Exception ignored" not in result.stderr
        assert (machine.work / "film.mp4").exists()
        (machine.work / "film.mp4").unlink()


def test_a_terminal_shows_a_table_and_a_bar(machine, flow):
    screen, terminal = pty.openpty()
    os.set_blocking(screen, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "accelchain.cli.main", *map(str, flow(seconds=0.02)), "--no-report"],
        env={**machine.environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        cwd=machine.work,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(screen, 65536):
            shown += part
    except OSError:
        pass  # the terminal's other side is closed: the process has ended
    os.close(screen)
    assert process.wait(20) == 0
    assert process.stdout is not None
    assert process.stdout.read().decode().split() == [str(machine.work / "film.mp4")]
    process.stdout.close()
    text = shown.decode()
    for words in ("function", "queue", "dawdle", "host · host", "━", "100%", "frames/s", "\x1b["):
        assert words in text, text[-3000:]


def test_a_file_that_needs_its_own_chain_a_namespace_and_functions_from_the_environment(machine, late_flow, functions):
    flow = yaml.safe_load(late_flow(machine.work / "film.mp4", seconds=0))
    chain = {
        "apiVersion": flow["apiVersion"],
        "kind": "FunctionChain",
        "metadata": {"name": "slowly", "namespace": "team"},
        "spec": flow["spec"].pop("chain"),
    }
    flow["spec"]["chainRef"] = {"name": "slowly"}
    (machine.work / "flow.yaml").write_text(yaml.safe_dump_all([flow, chain]))
    result = machine.run("run", "flow.yaml", "--no-report", env={"ACCELCHAIN_FUNCTIONS": str(functions)})
    assert result.returncode == 0, result.stderr
    assert "Refused" not in result.stderr
