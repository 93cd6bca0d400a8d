# SPDX-License-Identifier: Apache-2.0
"""Plans over the small functions in ``functions/`` beside this file, run in this process or in a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accelchain_runtime import registry
from accelchain_runtime.devices.pool import DevicePool
from accelchain_runtime.engine.fence import Fence, boot_time
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.run import Run
from accelchain_runtime.engine.status import Status
from accelchain_runtime.links import MECHANISMS

FUNCTIONS = Path(__file__).parent / "functions"
ROOT = Path(__file__).parents[2]

Document = dict[str, Any]


def plan_of(functions: list[tuple[Any, ...]], connections: list[Any], **fields: Any) -> Document:
    """Return a plan: functions as (name, type, parameters, device) and connections as "a.x b.y" or (that, fields)."""
    planned = []
    for entry in functions:
        name, kind, parameters, device = (*entry, *({}, "host")[len(entry) - 2 :])
        implementation = "host" if device == "host" else "opencl"
        planned.append(
            {"name": name, "type": kind, "implementation": implementation, "device": device, "parameters": parameters}
        )
    edges = []
    for entry in connections:
        text, more = entry if isinstance(entry, tuple) else (entry, {})
        (source, source_port), (target, target_port) = (end.split(".") for end in text.split())
        edges.append(
            {"from": {"function": source, "port": source_port}, "to": {"function": target, "port": target_port}} | more
        )
    names = sorted({function["device"] for function in planned})
    devices = [{"name": name, "api": "host" if name == "host" else "opencl"} for name in names]
    return {"flow": {"name": "test"}, "devices": devices, "functions": planned, "connections": edges} | fields


@pytest.fixture
def make_plan() -> Callable[..., Document]:
    return plan_of


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pool(cache: Path) -> DevicePool:
    return DevicePool(cache)


@pytest.fixture(scope="session")
def run_plan(pool: DevicePool, cache: Path) -> Callable[..., Document]:
    """Run a plan in this process and return the last status document."""
    functions = registry.find([FUNCTIONS])

    def run(plan: Document, mechanisms: Any = MECHANISMS) -> Document:
        status = Status(time.monotonic())
        Run(Plan.model_validate(plan), functions, pool, status, cache=cache, mechanisms=mechanisms).execute()
        return status.document()

    return run


class RunInThread:
    """A run in a thread of its own: the test holds its fence, drains it, stops it."""

    def __init__(self, plan: Document, pool: DevicePool, cache: Path, clock: Callable[[], float]) -> None:
        self.status = Status(time.monotonic())
        parsed = Plan.model_validate(plan)
        self.fence = Fence(parsed.attempt.number, clock)
        self.run = Run(parsed, registry.find([FUNCTIONS]), pool, self.status, cache=cache, fence=self.fence)
        self._thread = threading.Thread(target=self.run.execute, daemon=True)
        self._thread.start()

    def until(self, condition: Callable[[Document], bool]) -> Document:
        """Wait until the status document is as wanted."""
        deadline = time.monotonic() + 20
        while not condition(document := self.status.document()):
            assert time.monotonic() < deadline, document
            time.sleep(0.002)
        return document

    def end(self) -> Document:
        """Wait for its end and return the last document."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.status.document()


@pytest.fixture
def begin_run(pool: DevicePool, cache: Path) -> Iterator[Callable[..., RunInThread]]:
    """``begin_run(plan, clock)``: run a plan in a thread; ``clock`` is what grants age on."""
    runs: list[RunInThread] = []

    def begin(plan: Document, clock: Callable[[], float] = boot_time) -> RunInThread:
        runs.append(RunInThread(plan, pool, cache, clock))
        return runs[-1]

    yield begin
    for run in runs:
        run.run.stop("Stopped", "The test is over.")
        run.end()


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(self, *arguments: str, cache: Path, env: dict[str, str] | None = None) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "runtime"),
            "ACCELCHAIN_FUNCTIONS": str(FUNCTIONS),
            "ACCELCHAIN_CACHE": str(cache),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "accelchain_runtime.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def status_url(self) -> str:
        """Wait until the worker says where its status is."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "status at " in line:
                return line.split("status at ")[1].strip()
        raise AssertionError("the worker ended without a status address")

    def end(self, timeout: float = 20.0) -> tuple[int, str]:
        """Wait for its end; returns exit code and what it logged."""
        _, logged = self.process.communicate(timeout=timeout)
        return self.process.returncode, logged

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def start_worker(cache: Path, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start a worker for a plan; its termination log is ``tmp_path / "end.json"``."""
    workers = []

    def start(plan: Document | None, *arguments: str, env: dict[str, str] | None = None) -> WorkerProcess:
        if plan is not None:
            file = tmp_path / "plan.json"
            file.write_text(json.dumps(plan))
            arguments = ("--plan", str(file), "--termination-log", str(tmp_path / "end.json"), *arguments)
        workers.append(WorkerProcess(*arguments, cache=cache, env=env))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()
