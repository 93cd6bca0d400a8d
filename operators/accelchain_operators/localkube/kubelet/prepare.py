# SPDX-License-Identifier: Apache-2.0
"""Kernels are compiled once a machine, in a process that ends: no worker keeps a compiler in memory.

A stamp in the cache says that it was done for this code, these drivers and these devices. A stamp that is wrong costs
time, never a result: a worker compiles whatever it misses.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from accelchain_operators.node.command import CommandError, run_command

DEADLINE_SECONDS = 300.0
DISTRIBUTIONS = ("accelchain", "pyopencl", "pocl-binary-distribution", "pycuda", "numpy")
DEVICE_PREFIXES = ("POCL_", "OCL_", "PYOPENCL_", "CUDA_", "ACCELCHAIN_")
DRIVER_FOLDERS = (Path("/etc/OpenCL/vendors"),)
RUNTIME = "accelchain_runtime"

log = logging.getLogger(__name__)


class Preparation:
    """The one-time compilation for this machine."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Look for the stamp.

        Args:
            command: program that compiles everything and ends; empty: there is nothing to prepare.
            environment: the workers' environment.
        """
        self._command = command
        self._environment = environment
        self._stamp = _cache(environment) / "machines" / fingerprint(environment)

    @property
    def done(self) -> bool:
        """Whether it was done before."""
        return not self._command or self._stamp.exists()

    async def run(self) -> None:
        """Compile and leave the stamp. A failure is told and harmless: workers then compile for themselves."""
        if self.done:
            return
        log.info("compiling kernels for this machine, once")
        try:
            await run_command(self._command, self._environment, DEADLINE_SECONDS)
        except CommandError as error:
            log.warning("kernels could not be compiled ahead, workers will do it: %s", error)
            return
        self._stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stamp.touch()


def fingerprint(environment: Mapping[str, str]) -> str:
    """Return a digest of everything that compiled kernels depend on."""
    known = {
        "machine": platform.machine(),
        "processor": _processor(),
        "distributions": dict(_versions()),
        "variables": {name: value for name, value in sorted(environment.items()) if name.startswith(DEVICE_PREFIXES)},
        "files": sorted(_files(environment)),
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


def _cache(environment: Mapping[str, str]) -> Path:
    if folder := environment.get("ACCELCHAIN_CACHE"):
        return Path(folder)
    if folder := environment.get("XDG_CACHE_HOME"):
        return Path(folder) / "accelchain"
    return Path(environment.get("HOME", str(Path.home()))) / ".cache" / "accelchain"


def _versions() -> Iterator[tuple[str, str]]:
    for name in DISTRIBUTIONS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, ""


def _files(environment: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
    """Yield path, size and time of change of the runtime's files, the user's functions and the driver list."""
    # find_spec looks a package up without importing it: operators and runtime stay apart.
    spec = importlib.util.find_spec(RUNTIME)
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    roots += [Path(place) for place in environment.get("ACCELCHAIN_FUNCTIONS", "").split(os.pathsep) if place]
    for root in (*roots, *DRIVER_FOLDERS):
        for folder, names, files in os.walk(root):
            names[:] = [name for name in names if name != "__pycache__"]
            for file in files:
                path = Path(folder, file)
                stat = path.stat()
                yield str(path), stat.st_size, stat.st_mtime_ns


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
