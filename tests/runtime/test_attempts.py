# SPDX-License-Identifier: Apache-2.0
"""Attempts at a flow: streams that are told to stop and gone on with, grants over HTTP, workers frozen and killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Document = dict[str, Any]
Plan = Callable[..., Document]
Start = Callable[..., Any]

TOKEN = "secret"
ADDRESS = ("--status-address", "127.0.0.1:0")


def end_of(folder: Path) -> Document:
    document: Document = json.loads((folder / "end.json").read_text())
    return document


def get(url: str) -> Document:
    request = urllib.request.Request(f"{url}/status", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        document: Document = json.load(response)
        return document


def post(url: str, body: bytes, token: str = TOKEN, path: str = "/publish") -> tuple[int, str]:
    """Send a grant; returns the answer's code and text."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(url: str, condition: Callable[[Document], bool]) -> Document:
    deadline = time.monotonic() + 20
    while not condition(document := get(url)):
        assert time.monotonic() < deadline, document
        time.sleep(0.01)
    return document


@pytest.fixture
def stream(make_plan: Plan, tmp_path: Path) -> Callable[..., Document]:
    """A plan of mode Stream: an endless source, and a sink that publishes the numbers of its frames in ``out``."""

    def plan(source: Document | None = None, sink: Document | None = None, **fields: Any) -> Document:
        return make_plan(
            [
                ("x", "count-source", {"frames": -1, "sleep": 0.002, **(source or {})}),
                ("sink", "collect", {"uri": str(tmp_path / "out"), **(sink or {})}),
            ],
            ["x.frames sink.frames"],
            **{"mode": "Stream", "tokenSha256": hashlib.sha256(TOKEN.encode()).hexdigest(), **fields},
        )

    return plan


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_that_is_told_to_stop_publishes_what_it_has(
    start_worker: Start, stream: Callable[..., Document], tmp_path: Path, number: signal.Signals
) -> None:
    worker = start_worker(stream(fenced=True), *ADDRESS)
    until(worker.status_url(), lambda document: document["frames"] >= 10)
    worker.process.send_signal(number)
    code, logged = worker.end()
    end = end_of(tmp_path)
    assert (code, end["phase"], end["reason"]) == (0, "Succeeded", "Stopped"), logged
    numbers = [int(line) for line in (tmp_path / "out").read_text().split()]
    assert numbers == list(range(end["frames"]))
    assert end["position"] == end["frames"] >= 10
    assert end["outputs"]["parameters"]["sink.numbers"] == numbers
    assert "ERROR" not in logged


def test_a_source_that_waits_holds_up_no_stop(
    start_worker: Start, stream: Callable[..., Document], tmp_path: Path
) -> None:
    worker = start_worker(stream({"hangs": 3}), *ADDRESS)
    until(worker.status_url(), lambda document: document["frames"] == 3)
    worker.process.terminate()
    assert worker.end()[0] == 0
    assert (tmp_path / "out").read_text().split() == ["0", "1", "2"]
    assert end_of(tmp_path)["position"] == 3


def test_a_second_signal_discards(start_worker: Start, stream: Callable[..., Document], tmp_path: Path) -> None:
    worker = start_worker(stream(sink={"sleep": 0.5}), *ADDRESS)
    url = worker.status_url()
    until(url, lambda document: document["functions"] and document["functions"][0]["frames"] >= 4)
    worker.process.terminate()
    for line in worker.process.stderr:
        if "told to stop" in line:
            break
    worker.process.terminate()
    assert worker.end()[0] == 143
    end = end_of(tmp_path)
    assert (end["phase"], end["reason"], end["position"]) == ("Failed", "Stopped", 0)
    assert not list(tmp_path.glob("out*"))


def test_an_attempt_counts_on_from_its_first_frame(run_plan: Any, stream: Callable[..., Document]) -> None:
    document = run_plan(stream({"frames": 9}, attempt={"number": 2, "startFrame": 5}))
    assert document["phase"] == "Succeeded", document["message"]
    assert document["outputs"]["parameters"]["sink.numbers"] == [5, 6, 7, 8]
    assert (document["attempt"], document["position"], document["frames"], document["total"]) == (2, 9, 4, 4)
    document = run_plan(stream({"frames": 9}, attempt={"number": 3, "startFrame": 12}))
    assert (document["phase"], document["frames"], document["total"], document["position"]) == ("Succeeded", 0, 0, 12)


def test_frames_before_the_first_one_are_matched_in_joins(run_plan: Any, make_plan: Plan) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": 9}),
                ("y", "count-source", {"frames": 7}),
                ("merge", "merge"),
                ("sink", "collect"),
            ],
            ["x.frames merge.a", "y.frames merge.b", "merge.frames sink.frames"],
            attempt={"number": 2, "startFrame": 4},
        )
    )
    assert document["phase"] == "Succeeded", document["message"]
    assert document["outputs"]["parameters"]["sink.numbers"] == [4, 5, 6]
    assert document["position"] == 7  # nothing is deferred here: delivered as they are done


VIDEO = {"frames": 5, "width": 64, "height": 48}


@pytest.fixture
def film(make_plan: Plan, tmp_path: Path) -> Callable[..., Document]:
    """A fenced plan that writes a video."""

    def plan(**fields: Any) -> Document:
        (tmp_path / "out").mkdir(exist_ok=True)
        return make_plan(
            [("x", "count-source", VIDEO), ("encode", "encode-video", {"uri": str(tmp_path / "out" / "film.mp4")})],
            ["x.frames encode.frames"],
            **{"fenced": True, "tokenSha256": hashlib.sha256(TOKEN.encode()).hexdigest(), **fields},
        )

    return plan


def publishing(document: Document) -> bool:
    return bool(document["phase"] == "Publishing")


def test_a_grant_over_http(start_worker: Start, film: Callable[..., Document], tmp_path: Path) -> None:
    worker = start_worker(film(attempt={"number": 2}), *ADDRESS)
    url = worker.status_url()
    until(url, publishing)
    assert os.listdir(tmp_path / "out") == []
    assert post(url, b'{"attempt": 2}', token="wrong")[0] == 401
    assert post(url, b'{"attempt": 2}', path="/else")[0] == 404
    assert [post(url, body)[0] for body in (b"", b"{}", b"[2]", b'{"attempt": "2"}', b"x" * 5000)] == [400] * 5
    code, text = post(url, b'{"attempt": 1}')
    assert (code, json.loads(text)) == (
        409,
        {"error": "This is attempt 2 of the flow, not 1: it publishes nothing."},
    )
    assert get(url)["phase"] == "Publishing"
    assert post(url, b'{"attempt": 2}')[0] == 200
    assert worker.end()[0] == 0
    assert os.listdir(tmp_path / "out") == ["film.mp4"]


def test_no_grant_is_taken_while_frames_flow(start_worker: Start, stream: Callable[..., Document]) -> None:
    worker = start_worker(stream(fenced=True), *ADDRESS)
    url = worker.status_url()
    until(url, lambda document: document["phase"] == "Running")
    code, text = post(url, b'{"attempt": 1}')
    assert (code, "only in phase Publishing" in text) == (409, True)


def test_the_deadline_holds_while_a_grant_is_waited_for(
    start_worker: Start, film: Callable[..., Document], tmp_path: Path
) -> None:
    worker = start_worker(film(deadlineSeconds=2), *ADDRESS)
    until(worker.status_url(), publishing)
    assert worker.end()[0] == 1
    assert (end_of(tmp_path)["reason"], os.listdir(tmp_path / "out")) == ("DeadlineExceeded", [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_worker_that_is_ended_before_the_grant_leaves_nothing(
    start_worker: Start, film: Callable[..., Document], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    worker = start_worker(film(), *ADDRESS)
    until(worker.status_url(), publishing)
    worker.process.send_signal(number)
    assert worker.end()[0] == code
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.slow
def test_a_worker_that_thaws_publishes_nothing_until_it_is_granted_anew(
    start_worker: Start, film: Callable[..., Document], tmp_path: Path
) -> None:
    worker = start_worker(film(), *ADDRESS)
    url = worker.status_url()
    until(url, publishing)
    worker.process.send_signal(signal.SIGSTOP)
    answers: list[tuple[int, str]] = []
    grant = threading.Thread(target=lambda: answers.append(post(url, b'{"attempt": 1}')))
    grant.start()
    frozen_until = time.clock_gettime(time.CLOCK_BOOTTIME) + 5.5  # longer than a grant holds
    while time.clock_gettime(time.CLOCK_BOOTTIME) < frozen_until:
        time.sleep(0.1)
    worker.process.send_signal(signal.SIGCONT)
    grant.join(20)
    ((code, text),) = answers
    assert (code, "send it again" in text) == (409, True)
    assert get(url)["phase"] == "Publishing"
    assert os.listdir(tmp_path / "out") == []
    assert post(url, b'{"attempt": 1}')[0] == 200
    assert worker.end()[0] == 0
    assert os.listdir(tmp_path / "out") == ["film.mp4"]


def test_a_grant_of_somebody_who_gave_up_counts_for_nothing(
    start_worker: Start, film: Callable[..., Document], tmp_path: Path
) -> None:
    worker = start_worker(film(), *ADDRESS)
    url = worker.status_url()
    until(url, publishing)
    worker.process.send_signal(signal.SIGSTOP)
    request = urllib.request.Request(
        f"{url}/publish", b'{"attempt": 1}', {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    )
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.3)
    worker.process.send_signal(signal.SIGCONT)
    for line in worker.process.stderr:
        if "did not wait for the answer" in line:
            break
    assert get(url)["phase"] == "Publishing"
    assert os.listdir(tmp_path / "out") == []


def test_each_attempt_at_a_stream_writes_a_file_of_its_own(
    start_worker: Start, film: Callable[..., Document], tmp_path: Path
) -> None:
    for attempt in (1, 2):
        plan = film(fenced=False, mode="Stream", attempt={"number": attempt, "startFrame": (attempt - 1) * 2})
        assert start_worker(plan).end()[0] == 0
        assert end_of(tmp_path)["position"] == 5
    assert sorted(os.listdir(tmp_path / "out")) == ["film.2.mp4", "film.mp4"]
    plan = film(fenced=False, mode="Stream", attempt={"number": 3, "startFrame": 5})
    assert start_worker(plan).end()[0] == 0  # nothing was left to do: no file, and no failure
    assert sorted(os.listdir(tmp_path / "out")) == ["film.2.mp4", "film.mp4"]
