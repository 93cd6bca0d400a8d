# SPDX-License-Identifier: Apache-2.0
"""Starts the keeper of a cluster, which starts its namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from realkube.errors import ClusterError, RefusedError, tails
from realkube.init import CONTROL, REFUSED

_PACKAGE_ROOT = Path(__file__).parents[1]
_LONGEST_ROOT = 50  # a unix socket's path has at most 107 characters, and the kubelet's are deep
_HIDDEN = ("/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys", "/dev")  # the cluster has these for itself
_SECONDS = 30.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Keeper:
    """A running keeper.

    Attributes:
        process: itself.
        port: where the relay listens on the host's loopback.
        listener: the descriptor of that socket in init.
        owner: the pipe whose end ends the cluster; None where the cluster outlives this process.
    """

    process: subprocess.Popen[bytes]
    port: int
    listener: int
    owner: IO[bytes] | None

    def end(self) -> None:
        """Wait for its end, after it was told to."""
        self.process.wait(_STOP_SECONDS)
        if self.owner is not None:
            self.owner.close()


def prepare_root(root: Path) -> None:
    """Make the folder of a cluster; RefusedError where one cannot lie there."""
    if len(str(root)) > _LONGEST_ROOT:
        raise RefusedError(f"the path of a cluster's folder has at most {_LONGEST_ROOT} characters: {root}.")
    if any(root.is_relative_to(hidden) for hidden in _HIDDEN):
        raise RefusedError(f"a cluster's folder cannot lie in {', '.join(_HIDDEN)}: {root}.")
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise RefusedError(f"a cluster's folder must be empty: {root}; end a cluster that runs there first.")
    root.chmod(0o711)  # pods of other users use volumes below it
    for folder in ("log", "volumes"):
        (root / folder).mkdir()


@contextlib.contextmanager
def launch(name: str, root: Path, *, outlive: bool) -> Iterator[Keeper]:
    """Start the namespaces of a cluster; where the body fails, all is ended and cleaned."""
    reader, writer = os.pipe()
    owner = open(writer, "wb")  # noqa: SIM115 - it is to stay open
    options = [] if outlive else ["--owner", str(reader)]
    with open(root / "log" / "keeper.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "realkube.keeper", name, str(root), *options],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(_PACKAGE_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[] if outlive else [reader],
            start_new_session=True,  # a terminal's Ctrl-C is for us, and we tell it
        )
    os.close(reader)
    assert process.stdout is not None
    try:
        with process.stdout:
            told = _read(process.stdout, root)
            _await_control(process.stdout, root)
        if outlive:
            owner.close()
        yield Keeper(process, told["port"], told["listener"], None if outlive else owner)
    except BaseException:
        process.terminate()
        process.wait(_STOP_SECONDS)
        owner.close()
        shutil.rmtree(root, ignore_errors=True)  # where the keeper ended before it could take charge of it
        raise


def _read(stdout: IO[bytes], root: Path) -> dict[str, Any]:
    line = stdout.readline()
    if not line:
        raise ClusterError(f"the keeper ended.{tails(root / 'log' / 'keeper.log')}")
    told: dict[str, Any] = json.loads(line)
    if "refused" in told:
        raise RefusedError(told["refused"])
    return told


def _await_control(stdout: IO[bytes], root: Path) -> None:
    """Wait until init takes requests."""
    os.set_blocking(stdout.fileno(), False)
    deadline = time.monotonic() + _SECONDS
    while not (root / CONTROL).exists():
        line = stdout.readline()
        if line:
            end = json.loads(line)
            if end["code"] == REFUSED:
                raise RefusedError(f"this machine refuses what a cluster needs: {end['log'].strip()}.")
            raise ClusterError(f"init ended with code {end['code']}.\n{end['log']}")
        if time.monotonic() > deadline:
            raise ClusterError(f"init was not ready within {_SECONDS:.0f} s.{tails(root / 'log' / 'init.log')}")
        time.sleep(0.02)
