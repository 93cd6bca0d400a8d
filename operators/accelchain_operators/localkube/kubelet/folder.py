# SPDX-License-Identifier: Apache-2.0
"""The kubelet's files: one folder a pod, readable by the user alone, and none left when the pod is gone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from accelchain_operators.localkube.kubelet.content import VolumeFile
from accelchain_operators.localkube.kubelet.podspec import JsonObject, WorkerSpec

MESSAGE_BYTES = 4096
"""Kubernetes keeps the last so many bytes of a termination message."""
LOG_MESSAGE_BYTES = 2048
"""… and of the log that stands in for it."""


class PodFolder:
    """``pods/<namespace>_<name>_<uid>``: volumes, termination message and log of one pod."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "worker.log"
        self.termination = path / "termination-log"
        self._process = path / "process.json"

    def create(self) -> None:
        """Make the empty folder."""
        self.path.mkdir(mode=0o700)
        (self.path / "volumes").mkdir(mode=0o700)
        self.termination.touch(mode=0o600)

    def remove(self) -> None:
        """Delete the folder. Harmless a second time."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def paths(self, spec: WorkerSpec) -> list[tuple[str, Path]]:
        """Return every path of the container that lies somewhere else on this machine, and where."""
        hosts = {volume["name"]: Path(volume["hostPath"]["path"]) for volume in spec.volumes if "hostPath" in volume}
        places = [
            (mount.path, hosts.get(mount.volume, self._volume(mount.volume)) / mount.sub_path) for mount in spec.mounts
        ]
        return [*places, (spec.termination_path, self.termination)]

    def write(self, spec: WorkerSpec, files: Iterable[VolumeFile]) -> None:
        """Write the volumes' files; emptyDirs become empty folders."""
        for volume in spec.volumes:
            if "hostPath" not in volume:
                self._volume(volume["name"]).mkdir(mode=0o700, exist_ok=True)
        for file in files:
            path = self._volume(file.volume) / file.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The mode is given at creation: a secret is at no moment readable by others.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(file.data)

    def message(self, *, from_log: bool) -> str:
        """Return the termination message; the end of the log where it is empty and ``from_log``."""
        text = _tail(self.termination, MESSAGE_BYTES)
        return text if text or not from_log else _tail(self.log, LOG_MESSAGE_BYTES)

    def record(self, pid: int) -> None:
        """Remember the pod's process for the next kubelet, should this one be killed."""
        self._process.write_text(json.dumps({"pid": pid, "started": _start_of(pid)}))

    def end_orphan(self) -> None:
        """Kill the process of a kubelet that died, if it still is that process."""
        if not self._process.exists():
            return
        record = json.loads(self._process.read_text())
        if record["started"] is not None and record["started"] == _start_of(record["pid"]):
            os.killpg(record["pid"], signal.SIGKILL)

    def _volume(self, name: str) -> Path:
        return self.path / "volumes" / name


class StateFolder:
    """The folder of one kubelet. It is locked while in use: two kubelets never share one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pods = root / "pods"
        self.pool = root / "pool"
        self._lock: int | None = None

    def open(self) -> None:
        """Lock the folder and remove what a killed kubelet left in it. Harmless a second time.

        Raises:
            OSError: the folder cannot be written, or another kubelet uses it.
        """
        if self._lock is not None:
            return
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root / "kubelet.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise OSError(f"{self.root} is in use by another accelchain; stop it, or use another folder") from error
        self._lock = lock
        for path in self.pods.iterdir() if self.pods.exists() else ():
            stale = PodFolder(path)
            stale.end_orphan()
            stale.remove()
        shutil.rmtree(self.pool, ignore_errors=True)
        for folder in (self.pods, self.pool):
            folder.mkdir(mode=0o700, exist_ok=True)

    def close(self) -> None:
        """Remove the pool's files, and the lock with its file."""
        if self._lock is None:
            return
        shutil.rmtree(self.pool)
        with contextlib.suppress(OSError):  # not empty: pods whose folders could not be removed stay for the user
            self.pods.rmdir()
        (self.root / "kubelet.lock").unlink()
        os.close(self._lock)
        self._lock = None

    def pod(self, pod: JsonObject) -> PodFolder:
        """Return the folder of a pod, which need not exist."""
        meta = pod["metadata"]
        return PodFolder(self.pods / f"{meta['namespace']}_{meta['name']}_{meta['uid']}")


def _tail(path: Path, size: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
        return stream.read(size).decode(errors="replace")


def _start_of(pid: int) -> int | None:
    """Return when a process started (ticks since boot): with the pid it names one process for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    # The name in parentheses may hold anything; field 22 counted from 1 is the 20th after it.
    return int(stat.rpartition(")")[2].split()[19])
