# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, SIGTERM and SIGHUP at every stage: 130 within seconds, and nothing is left."""

from __future__ import annotations

import random
import signal
import time

import pytest

SIGINT = signal.SIGINT
MOMENTS = [
    (signal.SIGTERM, "starting a cluster"),
    (SIGINT, "starting a cluster"),
    (SIGINT, "late  chain inline"),
    (SIGINT, "Pod  "),
    (SIGINT, "late  chain inline  Running"),
    (signal.SIGHUP, "/100 frames"),
]


@pytest.fixture
def late_run(machine, late_flow, functions):
    file = machine.work / "flow.yaml"
    file.write_text(late_flow(machine.work / "film.mp4", seconds=0.2))
    return lambda: machine.start("run", file, "--functions", functions, "--report", "report.html")


@pytest.mark.parametrize(("number", "words"), MOMENTS)
def test_a_signal_ends_the_run_and_leaves_nothing(machine, late_run, number, words):
    running = late_run()
    running.until(words)
    running.signal(number)
    assert running.end(10) == 130, running.err
    assert "interrupted" in running.err and "Traceback" not in running.err
    assert [path.name for path in machine.work.iterdir()] == ["flow.yaml"]


def test_a_second_ctrl_c_breaks_no_cleaning_up(machine, late_run):
    running = late_run()
    running.until("/100 frames")
    running.signal()
    running.signal()
    assert running.end(10) == 130, running.err
    assert "Traceback" not in running.err
    assert [path.name for path in machine.work.iterdir()] == ["flow.yaml"]


@pytest.mark.parametrize("seconds", [round(random.Random(4).uniform(0, 1.5), 2) for _ in range(3)])
def test_ctrl_c_at_any_moment(machine, late_run, seconds):
    running = late_run()
    running.until("starting a cluster")  # before that it may be Python that starts, where nobody can catch a signal
    time.sleep(seconds)  # the moment is what the test is about
    running.signal()
    assert running.end(10) == 130, running.err
    assert "Traceback" not in running.err
