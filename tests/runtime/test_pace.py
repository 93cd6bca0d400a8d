# SPDX-License-Identifier: Apache-2.0
"""Recordings in mode Stream: frames at their own times, by a clock of the test's."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from accelchain_runtime.engine.pace import Pacer


class Time(threading.Event):
    """A clock that goes on while somebody waits."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += 0 if self.is_set() else timeout or 0
        return self.is_set()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pacer(time: Time) -> Pacer:
    return Pacer(time, time)


def test_frames_come_at_their_times(time: Time, pacer: Pacer) -> None:
    moments = []
    for moment in (7.0, 7.1, 7.15, 9.0):
        pacer.wait(moment)
        moments.append(time.now)
        time.now += 0.04  # the work of a frame delays no other
    assert moments == pytest.approx([100.0, 100.1, 100.15, 102.0])


def test_who_was_held_up_shortly_catches_up_and_who_was_frozen_does_not(time: Time, pacer: Pacer) -> None:
    pacer.wait(0.0)
    time.now += 0.5
    assert pacer.wait(0.1) == pacer.wait(0.2) == 0
    assert pacer.wait(0.6) == pytest.approx(0.1)
    time.now += 3600
    assert pacer.wait(0.7) == 0
    assert pacer.wait(0.8) == pytest.approx(0.1)


def test_a_stop_ends_the_wait(time: Time, pacer: Pacer) -> None:
    pacer.wait(0.0)
    time.set()
    assert pacer.wait(3600.0) == 0


def test_only_a_recording_in_mode_stream_is_paced(make_plan: Any, run_plan: Any) -> None:
    def rate(mode: str, frames: int, recorded: bool = True) -> float:
        document = run_plan(
            make_plan(
                [("x", "count-source", {"frames": frames, "recorded": recorded}), ("sink", "collect")],
                ["x.frames sink.frames"],
                mode=mode,
            )
        )
        assert document["frames"] == frames
        return float(document["framesPerSecond"])

    assert rate("Stream", 11) <= 27.5  # 25 a second, and the first one at once
    assert rate("Batch", 500) > 30  # five hundred paced frames would take twenty seconds
    assert rate("Stream", 500, recorded=False) > 30
