# SPDX-License-Identifier: Apache-2.0
"""Control groups: one tree a cluster with a branch for the control plane and one a node.

Works with cgroup v1 (a tree in every hierarchy) and with a machine that has only v2. Processes sit in leaves only:
``<cluster>/plane``, ``<cluster>/<node>/system`` and what the kubelet makes under ``<cluster>/<node>``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from realkube.errors import ClusterError, RefusedError

_MOUNTS = Path("/proc/self/mountinfo")
_V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


@dataclass(frozen=True)
class Tree:
    """The control groups of one cluster."""

    name: str
    hierarchies: tuple[Path, ...]
    version: int

    @classmethod
    def of(cls, name: str) -> Tree:
        """Return the tree of a cluster; RefusedError where the machine has no control groups."""
        mounts = [line.split(" - ") for line in _MOUNTS.read_text().splitlines()]
        found = {
            kind: tuple(Path(left.split()[4]) for left, right in mounts if right.split()[0] == kind)
            for kind in ("cgroup", "cgroup2")
        }
        if found["cgroup"]:
            return cls(name, found["cgroup"] + found["cgroup2"], 1)  # runc uses a v2 one without controllers, too
        if found["cgroup2"]:
            return cls(name, found["cgroup2"][:1], 2)
        raise RefusedError("realkube needs control groups, and none are mounted here.")

    def create(self, *branches: str) -> None:
        """Make branches ("n1/system") with all that leads to them; RefusedError where the machine does not let us."""
        try:
            for hierarchy in self.hierarchies:
                for branch in branches:
                    folder = hierarchy
                    for part in (self.name, *branch.split("/")):
                        self._prepare(folder)
                        folder /= part
                        folder.mkdir(exist_ok=True)
                        self._inherit(folder)
        except OSError as error:
            raise RefusedError(
                f"realkube needs control groups of its own, and this machine refuses: {error}."
            ) from error

    def procs(self, branch: str) -> list[str]:
        """Return the files that a process writes "0" to, to join a branch."""
        return [str(hierarchy / self.name / branch / "cgroup.procs") for hierarchy in self.hierarchies]

    def freeze(self, node: str, frozen: bool, seconds: float = 20.0) -> None:
        """Stop or go on with everything of a node; returns when all of it has stopped."""
        folder = self._freezer() / self.name / node
        deadline = time.monotonic() + seconds
        self._write_freeze(folder, frozen)
        while self._is_frozen(folder) != frozen:
            if time.monotonic() > deadline:
                raise ClusterError(f"{node} could not be {'frozen' if frozen else 'thawed'} within {seconds:.0f} s.")
            time.sleep(0.02)

    def kill(self, branch: str = "", seconds: float = 20.0) -> None:
        """End every process of a branch, frozen ones too; returns when none is left."""
        for folder in self._folders(self._freezer(), branch):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile by the kubelet
                self._write_freeze(folder, False)
        deadline = time.monotonic() + seconds
        while pids := set(self._pids(branch)):
            if time.monotonic() > deadline:
                raise ClusterError(f"processes of {self.name} do not end: {sorted(pids)}.")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def remove(self, seconds: float = 10.0) -> None:
        """Remove the whole tree, whose processes have ended."""
        deadline = time.monotonic() + seconds
        while folders := [folder for top in self.hierarchies for folder in self._folders(top)]:
            for folder in folders:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    # An ended process is still charged for a moment.
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
            time.sleep(0.05)

    def memory(self) -> int:
        """Return the bytes of resident memory of all processes (shared pages count in each)."""
        total = 0
        for pid in set(self._pids("")):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return total * os.sysconf("SC_PAGE_SIZE")

    def _folders(self, hierarchy: Path, branch: str = "") -> list[Path]:
        """Return the folders of a branch in one hierarchy, the deepest first."""
        walk = os.walk(hierarchy / self.name / branch, topdown=False)
        return [Path(folder) for folder, _, _ in walk]

    def _pids(self, branch: str) -> Iterator[int]:
        for hierarchy in self.hierarchies:
            for folder in self._folders(hierarchy, branch):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile by the kubelet
                    yield from map(int, (folder / "cgroup.procs").read_text().split())

    def _prepare(self, parent: Path) -> None:
        """Let the children of a v2 group have controllers."""
        if self.version == 2:
            have = (parent / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{name}" for name in _V2_CONTROLLERS if name in have)
            (parent / "cgroup.subtree_control").write_text(wanted)

    def _inherit(self, folder: Path) -> None:
        """Give a v1 cpuset its parent's processors and memory: it starts with none, and nothing could join it."""
        for name in ("cpuset.cpus", "cpuset.mems"):
            if self.version == 1 and (folder / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((folder.parent / name).read_text())

    def _freezer(self) -> Path:
        if self.version == 2:
            return self.hierarchies[0]
        for hierarchy in self.hierarchies:
            if "freezer" in hierarchy.name.split(","):
                return hierarchy
        raise RefusedError("realkube needs the freezer control group, and this machine has none.")

    def _write_freeze(self, folder: Path, frozen: bool) -> None:
        if self.version == 2:
            (folder / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

    def _is_frozen(self, folder: Path) -> bool:
        if self.version == 2:
            return "frozen 1" in (folder / "cgroup.events").read_text()
        return (folder / "freezer.state").read_text().strip() == "FROZEN"
