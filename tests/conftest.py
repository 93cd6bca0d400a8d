# SPDX-License-Identifier: Apache-2.0
"""A user's machine for tests of the command line: its own HOME, and nothing left on it afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelchain.cli.commands import cli

REPOSITORY = Path(__file__).parents[1]
MARK = "ACCELCHAIN_TEST_MARK"


def until(condition: Callable[[], object], seconds: float = 20.0, what: str = "the condition") -> None:
    """Return when the condition holds; AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


class Running:
    """A command that runs in a process group of its own, as a terminal starts it; its stderr is read as it comes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out = self.err = ""
        self._threads = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in ("out", "err")]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal to the whole group, as a terminal does; harmless where it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def until(self, text: str, seconds: float = 40.0) -> None:
        """Wait until stdout or stderr holds the text."""
        until(lambda: text in self.out + self.err or self.process.poll() is not None, seconds, repr(text))
        assert text in self.out + self.err, self.err

    def end(self, seconds: float = 40.0) -> int:
        """Return the exit code; where it does not end in time, fail with the stacks of its threads."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)  # faulthandler prints them
            code = self.process.wait(5)
            self.err += f"\nIt did not end within {seconds} s."
        for thread in self._threads:
            thread.join(5)
        return code


@dataclass
class Machine:
    """A user's machine."""

    root: Path
    cache: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("home", "state", "tmp", "work"):
            (self.root / name).mkdir()

    @property
    def work(self) -> Path:
        """The folder that commands run in."""
        return self.root / "work"

    @property
    def state(self) -> Path:
        """The state folder of ``accelchain up``."""
        return self.root / "state" / "accelchain"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of a running ``accelchain up``."""
        return self.state / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELCHAIN_", "XDG_"))}
        roots = os.pathsep.join(str(REPOSITORY / root) for root in ("plugin", "operators", "runtime"))
        return kept | {
            "HOME": str(self.root / "home"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "TMPDIR": str(self.root / "tmp"),
            "ACCELCHAIN_CACHE": str(self.cache),
            "PYTHONPATH": roots,
            "PYTHONFAULTHANDLER": "1",
            MARK: self.mark,
        }

    def run(
        self, *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 90.0, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``accelchain`` to its end."""
        done = subprocess.run(
            self._command(arguments),
            env={**self.environment, **(env or {})},
            cwd=self.work,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def call(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run ``accelchain`` to its end within this process: as ``run``, but quicker to start."""
        with contextlib.chdir(self.work):
            result = CliRunner(env=self.environment).invoke(cli, [*map(str, arguments)])
        assert isinstance(result.exception, SystemExit | None), result.exc_info
        return subprocess.CompletedProcess([*arguments], result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: object, env: Mapping[str, str] | None = None) -> Running:
        """Start ``accelchain``."""
        running = Running(self._command(arguments), {**self.environment, **(env or {})}, self.work)
        self.started.append(running)
        return running

    def kubectl(self, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl against the machine's ``accelchain up``."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "kubectl"), *map(str, arguments)],
            env={**self.environment, "KUBECONFIG": str(self.kubeconfig)},
            cwd=self.work,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> dict[int, str]:
        """Return what runs of this machine: command lines by pid."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command:  # a zombie has none
                        found[int(folder.name)] = command
            except OSError:
                continue  # it ended meanwhile, or is somebody else's
        return found

    def workers(self) -> dict[int, str]:
        """Return the worker processes, warm ones among them."""
        return {pid: command for pid, command in self.processes().items() if "accelchain_runtime.worker" in command}

    def busy_workers(self) -> list[int]:
        """Return the worker processes that have a pod: they work in its folder."""
        found = []
        for pid in self.workers():
            try:
                if Path(f"/proc/{pid}/cwd").readlink().parent.name == "pods":
                    found.append(pid)
            except OSError:
                continue  # it ended meanwhile
        return found

    def files(self) -> list[str]:
        """Return files that nobody should leave: temporary ones, pods' folders, unfinished results."""
        left = list((self.root / "tmp").iterdir())
        left += (self.state / "pods").glob("*")
        left += (path for path in self.root.rglob("*") if ".part" in path.name)
        return sorted(map(str, left))

    def assert_clean(self, seconds: float = 5.0) -> None:
        """Fail where a process (and so a listening socket) or a file is left."""
        until(lambda: not self.processes(), seconds, f"the end of {self.processes()}")
        assert self.files() == []

    def close(self) -> None:
        """End what a failed test left running."""
        for running in self.started:
            running.signal(signal.SIGTERM)
        for running in self.started:
            running.end(20)

    @staticmethod
    def _command(arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "accelchain.cli.main", *map(str, arguments)]


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session, so that kernels are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def machine(tmp_path: Path, kernel_cache: Path) -> Iterator[Machine]:
    """A user's machine; the test fails where a process, a socket or a file is left on it."""
    user = Machine(tmp_path, kernel_cache)
    yield user
    user.close()
    user.assert_clean()


@contextlib.contextmanager
def with_up(root: Path, cache: Path, *options: object) -> Iterator[Machine]:
    """Run ``accelchain up`` on a machine; it ends with 0 and leaves nothing."""
    user = Machine(root, cache)
    up = user.start("up", *options)
    try:
        up.until("accelchain is up")
        yield user
        up.signal(signal.SIGTERM)
        assert up.end(15) == 0, up.err
        assert "Traceback" not in up.err
    finally:
        user.close()
    user.assert_clean()


@pytest.fixture(scope="session")
def make_machine(kernel_cache: Path) -> Callable[..., contextlib.AbstractContextManager[Machine]]:
    """Make machines on which ``accelchain up`` runs: the folder, and options of ``up``."""
    return lambda root, *options: with_up(root, kernel_cache, *options)


@pytest.fixture(scope="module")
def busy_machine(tmp_path_factory: pytest.TempPathFactory, kernel_cache: Path) -> Iterator[Machine]:
    """A machine on which ``accelchain up`` runs for all tests of a module."""
    with with_up(tmp_path_factory.mktemp("machine"), kernel_cache) as user:
        yield user


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait for conditions: the condition, a deadline in seconds, what it is."""
    return until


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY
