# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, SIGTERM and SIGHUP at every stage: 130 within seconds, and nothing is left."""

from __future__ import annotations

import random
import signal
import time

import pytest

STAGES = ["starting a cluster", "late  chain inline", "Pod  ", "late  chain inline  Running", "/100 frames"]


@pytest.fixture
def late_run(machine, late_flow, functions):
    file = machine.work / "flow.yaml"
    file.write_text(late_flow(machine.work / "film.mp4", seconds=0.2))
    return lambda: machine.start("run", file, "--functions", functions, "--report", "report.html")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stage", STAGES[:1] + STAGES[-1:])
def test_a_signal_ends_the_run_and_leaves_nothing(machine, late_run, stage, number):
    running = late_run()
    running.until(stage)
    running.signal(number)
    assert running.end(10) == 130, running.err
    assert "interrupted" in running.err and "Traceback" not in running.err
    assert [path.name for path in machine.work.iterdir()] == ["flow.yaml"]


@pytest.mark.parametrize("stage", STAGES[1:-1])
def test_ctrl_c_in_between(machine, late_run, stage):
    running = late_run()
    running.until(stage)
    running.signal()
    assert running.end(10) == 130, running.err
    assert "Traceback" not in running.err
    assert [path.name for path in machine.work.iterdir()] == ["flow.yaml"]


def test_a_second_ctrl_c_breaks_no_cleaning_up(machine, late_run):
    running = late_run()
    running.until("/100 frames")
    running.signal()
    running.signal()
    running.until("interrupted", 10) if running.process.poll() is None else None
    running.signal()
    assert running.end(10) == 130, running.err
    assert "Traceback" not in running.err
    assert [path.name for path in machine.work.iterdir()] == ["flow.yaml"]


@pytest.mark.parametrize("seconds", [round(random.Random(4).uniform(0.15, 2.5), 2) for _ in range(4)])
def test_ctrl_c_at_any_moment(machine, late_run, seconds):
    running = late_run()
    running.until("starting a cluster")
    time.sleep(seconds)  # the moment is what the test is about
    running.signal()
    assert running.end(10) == 130, running.err
    assert "Traceback" not in running.err
