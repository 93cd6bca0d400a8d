# SPDX-License-Identifier: Apache-2.0
"""The worker as a process: exit codes, termination log, signals, deadline, warm start, status server."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
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

ADDRESS = ("--status-address", "127.0.0.1:0")


def simple(make_plan: Plan, sink: Document | None = None, **fields: Any) -> Document:
    frames = fields.pop("frames", 5)
    return make_plan(
        [("x", "count-source", {"frames": frames, "sleep": 0.001}), ("sink", "collect", sink or {})],
        ["x.frames sink.frames"],
        **fields,
    )


def hanging(make_plan: Plan, out: Path, **fields: Any) -> Document:
    return make_plan(
        [
            ("x", "count-source", {"frames": -1}),
            ("stuck", "fail", {"where": "hang"}),
            ("sink", "collect", {"uri": str(out)}),
        ],
        ["x.frames stuck.frames", "x.frames sink.frames"],
        **fields,
    )


def get(url: str, token: str = "") -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    return urllib.request.urlopen(request, timeout=10)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_cold_run_succeeds(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, logged = start_worker(simple(make_plan, {"uri": str(out)})).end()
    assert code == 0, logged
    end = json.loads((tmp_path / "end.json").read_text())
    assert (end["phase"], end["frames"], end["total"]) == ("Succeeded", 5, 5)
    assert end["outputs"]["parameters"]["sink.numbers"] == [0, 1, 2, 3, 4]
    assert end["edges"][0]["mechanism"] == "same-buffer"
    assert end["firstFrameSeconds"] > 0
    assert out.read_text().split() == ["0", "1", "2", "3", "4"]


def test_bad_input_exits_with_2_and_failure_with_1(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    plan = make_plan(
        [("x", "count-source"), ("bad", "fail", {"where": "setup", "kind": "input"})], ["x.frames bad.frames"]
    )
    assert start_worker(plan).end()[0] == 2
    assert json.loads((tmp_path / "end.json").read_text())["reason"] == "InvalidInput"
    plan["functions"][1]["parameters"]["kind"] = "error"
    assert start_worker(plan).end()[0] == 1


def test_a_disk_that_fills_up_fails_the_function_in_one_sentence(
    start_worker: Start, make_plan: Plan, tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"
    plan = make_plan(
        [
            ("x", "count-source", {"frames": 600, "width": 320, "height": 240}),
            ("encode", "encode-video", {"uri": str(out), "quality": 0}),
        ],
        ["x.frames encode.frames"],
    )
    worker = start_worker(plan, *ADDRESS)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    code, logged = worker.end()
    end = json.loads((tmp_path / "end.json").read_text())
    assert (code, end["reason"]) == (1, "FunctionFailed"), logged
    assert end["message"] == f"encode: can't write {out}: File too large."
    assert "Traceback" not in logged
    assert not out.exists()


def test_something_else_than_a_plan_exits_with_2(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    assert start_worker({"hello": "world"}).end()[0] == 2
    assert "is no plan of this version" in json.loads((tmp_path / "end.json").read_text())["message"]
    plan = simple(make_plan)
    plan["devices"].append({"name": "gpu0", "api": "cuda"})
    assert start_worker(plan).end()[0] == 2
    assert "drives no cuda devices" in json.loads((tmp_path / "end.json").read_text())["message"]


def test_sigterm_discards_a_batch_and_exits_with_143(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    worker = start_worker(simple(make_plan, {"uri": str(out)}, frames=-1))
    wait_until(lambda: out.with_name("out.part").exists())
    worker.process.terminate()
    begun = time.monotonic()
    code, logged = worker.end()
    assert code == 143, logged
    assert time.monotonic() - begun < 2
    assert not list(tmp_path.glob("out*"))
    end = json.loads((tmp_path / "end.json").read_text())
    assert (end["phase"], end["reason"]) == ("Failed", "Stopped")


def test_sigterm_ends_a_worker_whose_function_hangs(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    worker = start_worker(hanging(make_plan, out))
    wait_until(lambda: out.with_name("out.part").exists())
    worker.process.terminate()
    begun = time.monotonic()
    assert worker.end()[0] == 143
    assert time.monotonic() - begun < 2.5
    assert not list(tmp_path.glob("out*"))


def test_the_deadline_ends_a_run(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    code, _ = start_worker(hanging(make_plan, tmp_path / "out", deadlineSeconds=1.5)).end()
    assert code == 1
    assert json.loads((tmp_path / "end.json").read_text())["reason"] == "DeadlineExceeded"
    assert not list(tmp_path.glob("out*"))


def warm(start_worker: Start) -> Any:
    worker = start_worker(None, "--warm")
    assert json.loads(worker.process.stdout.readline()) == {"ready": True}
    return worker


def test_warm_worker_runs_one_task(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    worker = warm(start_worker)
    (tmp_path / "plan.json").write_text(json.dumps(simple(make_plan)))
    task = {
        "argv": ["--plan", "plan.json", "--termination-log", "end.json"],
        "env": {"SOMETHING": "1"},
        "stdout": str(tmp_path / "worker.log"),
        "cwd": str(tmp_path),
    }
    worker.process.stdin.write(json.dumps(task) + "\n")
    worker.process.stdin.flush()
    code, logged = worker.end()
    assert (code, logged) == (0, "")
    assert json.loads((tmp_path / "end.json").read_text())["phase"] == "Succeeded"
    assert "Succeeded after 5 frames" in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize(("line", "code"), [(None, 0), ("no json\n", 2), ('{"argv": ["--warm"]}\n', 2)])
def test_warm_worker_ends_without_a_task(start_worker: Start, line: str | None, code: int) -> None:
    worker = warm(start_worker)
    if line:
        worker.process.stdin.write(line)
    worker.process.stdin.close()
    assert worker.process.wait(timeout=10) == code


def test_warm_worker_ends_at_sigterm(start_worker: Start) -> None:
    worker = warm(start_worker)
    worker.process.terminate()
    assert worker.process.wait(timeout=10) == 143


def test_worker_dies_with_its_parent(make_plan: Plan, start_worker: Start, cache: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'accelchain_runtime.worker', '--warm', '--die-with-parent']\n"
        "worker = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)\n"
        "worker.stdout.readline()\n"
        "print(worker.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root / "runtime"), "ACCELCHAIN_CACHE": str(cache)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            parent.wait(timeout=10)
            wait_until(lambda: not _runs(child))
        finally:
            os.close(child)


def _runs(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def test_status_stream_follows_the_run_to_its_end(start_worker: Start, make_plan: Plan) -> None:
    worker = start_worker(simple(make_plan, frames=400), *ADDRESS)
    with get(worker.status_url() + "/stream") as stream:
        documents = [json.loads(line) for line in stream]
    assert documents[-1]["phase"] == "Succeeded"
    assert documents[-1]["frames"] == 400
    frames = [document["frames"] for document in documents]
    assert frames == sorted(frames)
    assert worker.end()[0] == 0


def test_status_needs_the_token(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    worker = start_worker(simple(make_plan, frames=-1, tokenSha256=digest), *ADDRESS)
    url = worker.status_url()
    assert get(url + "/healthz").read() == b"ok\n"
    for refused in (url + "/status", url + "/status?token=wrong", url + "/stream", url + "/live/x.mjpeg"):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(refused)
        assert error.value.code == 401
    with pytest.raises(urllib.error.HTTPError) as error:
        get(url + "/status", "wrong")
    assert error.value.code == 401
    assert json.load(get(url + "/status", "secret"))["phase"] in ("Starting", "Running")
    assert json.load(get(url + "/status?token=secret"))["phase"] in ("Starting", "Running")
    with pytest.raises(urllib.error.HTTPError) as error:
        get(url + "/else", "secret")
    assert error.value.code == 404


def test_a_token_file_that_is_not_the_plans_is_refused(start_worker: Start, make_plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("other\n")
    plan = simple(make_plan, tokenSha256=hashlib.sha256(b"secret").hexdigest())
    assert start_worker(plan, "--token-file", str(tmp_path / "token")).end()[0] == 2
    (tmp_path / "token").write_text("secret\n")
    assert start_worker(plan, "--token-file", str(tmp_path / "token")).end()[0] == 0
