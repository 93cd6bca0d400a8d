# SPDX-License-Identifier: Apache-2.0
"""Grants to publish: for this attempt, fresh, and asked for; what is published together appears together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelchain_runtime.engine.fence import Fence, GrantRefused

Document = dict[str, Any]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_grant_for_another_attempt_is_refused(clock: Clock) -> None:
    fence = Fence(2, clock)
    fence.ask()
    with pytest.raises(GrantRefused, match="attempt 2 of the flow, not 1"):
        fence.grant(1, clock.now)


def test_a_grant_that_nobody_asked_for_is_refused(clock: Clock) -> None:
    fence = Fence(1, clock)
    with pytest.raises(GrantRefused, match="only in phase Publishing"):
        fence.grant(1, clock.now)
    assert fence.ask()
    fence.close()
    with pytest.raises(GrantRefused, match="only in phase Publishing"):
        fence.grant(1, clock.now)


def test_a_grant_that_lay_unread_is_refused(clock: Clock) -> None:
    fence = Fence(1, clock)
    fence.ask()
    with pytest.raises(GrantRefused, match=r"5\.5 s"):
        fence.grant(1, clock.now - 5.5)
    fence.grant(1, clock.now - 4.5)
    assert fence.wait()


def test_a_grant_that_grew_old_is_asked_for_again(clock: Clock) -> None:
    fence = Fence(1, clock)
    fence.ask()
    fence.grant(1, clock.now)
    clock.now += 5.1
    expired = []

    def ask_again() -> None:
        expired.append(clock.now)
        threading.Thread(target=fence.grant, args=(1, clock.now)).start()

    assert fence.wait(ask_again)
    assert expired == [1005.1]


def test_a_lifted_fence_needs_no_grant_and_a_closed_one_lets_nothing_through(clock: Clock) -> None:
    lifted, closed = Fence(1, clock), Fence(1, clock)
    lifted.lift()
    assert not lifted.ask()
    assert lifted.wait()
    closed.ask()
    closed.close()
    assert not closed.wait()


@pytest.fixture
def fenced(make_plan: Callable[..., Document], begin_run: Any, clock: Clock, tmp_path: Path) -> Callable[..., Any]:
    """Start a fenced run of five frames into two files, ``one`` and ``two``."""

    def start(second: Document | None = None, **fields: Any) -> Any:
        plan = make_plan(
            [
                ("x", "count-source"),
                ("one", "collect", {"uri": str(tmp_path / "one")}),
                ("two", "collect", {"uri": str(tmp_path / "two"), **(second or {})}),
            ],
            ["x.frames one.frames", "x.frames two.frames"],
            **{"fenced": True, **fields},
        )
        return begin_run(plan, clock)

    return start


def publishing(document: Document) -> bool:
    return bool(document["phase"] == "Publishing")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def test_nothing_is_to_be_seen_before_the_grant_and_everything_after_it(
    fenced: Callable[..., Any], clock: Clock, tmp_path: Path
) -> None:
    run = fenced()
    document = run.until(publishing)
    assert (document["frames"], document["position"], document["reason"]) == (5, 0, "")
    assert names(tmp_path) == ["one.part", "two.part"]
    run.fence.grant(1, clock.now)
    assert run.end()["phase"] == "Succeeded"
    assert run.status.document()["position"] == 5
    assert names(tmp_path) == ["one", "two"]


def test_a_run_that_is_not_fenced_publishes_at_once(fenced: Callable[..., Any], tmp_path: Path) -> None:
    assert fenced(fenced=False).end()["phase"] == "Succeeded"
    assert names(tmp_path) == ["one", "two"]


def test_the_batch_is_discarded_when_it_is_stopped_before_the_grant(fenced: Callable[..., Any], tmp_path: Path) -> None:
    run = fenced()
    run.until(publishing)
    run.run.stop("DeadlineExceeded", "It took too long.")
    document = run.end()
    assert (document["phase"], document["reason"], document["position"]) == ("Failed", "DeadlineExceeded", 0)
    assert names(tmp_path) == []


def test_a_stream_that_is_told_to_stop_publishes_without_a_grant(fenced: Callable[..., Any], tmp_path: Path) -> None:
    run = fenced(mode="Stream")
    run.until(publishing)
    assert run.run.drain()
    document = run.end()
    assert (document["phase"], document["reason"], document["position"]) == ("Succeeded", "Stopped", 5)
    assert names(tmp_path) == ["one", "two"]


def test_a_grant_that_expires_is_asked_for_anew_with_a_document(
    fenced: Callable[..., Any], clock: Clock, tmp_path: Path
) -> None:
    run = fenced()
    run.until(publishing)
    version = run.status.wait(-1, 0)
    run.fence._changed.acquire()  # as if the process stopped here: the grant comes, and nobody acts on it
    try:
        run.fence.grant(1, clock.now)
        clock.now += 6
    finally:
        run.fence._changed.release()
    assert run.status.wait(version, 10) != version
    assert run.status.phase == "Publishing"
    assert names(tmp_path) == ["one.part", "two.part"]
    run.fence.grant(1, clock.now)
    assert run.end()["phase"] == "Succeeded"


def test_nothing_is_published_when_one_sink_could_not_finish(make_plan: Any, run_plan: Any, tmp_path: Path) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source"),
                ("one", "collect", {"uri": str(tmp_path / "one")}),
                ("bad", "fail", {"where": "finish"}),
            ],
            ["x.frames one.frames", "x.frames bad.frames"],
        )
    )
    assert (document["reason"], document["message"]) == ("FunctionFailed", "bad: ValueError: broken")
    assert names(tmp_path) == []


def test_what_was_published_before_a_failure_is_told(fenced: Callable[..., Any], tmp_path: Path) -> None:
    document = fenced({"fails": True}, fenced=False).end()
    assert document["reason"] == "FunctionFailed"
    assert document["message"] == "two: the folder is gone. Already published: one."
    assert document["position"] == 0
    assert names(tmp_path) == ["one"]
