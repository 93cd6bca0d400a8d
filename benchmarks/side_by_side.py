# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of single functions share: a device, functions set up on it, two calls timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelchain_runtime.devices.opencl import OpenCL, OpenCLDevice
from accelchain_runtime.devices.pool import cache_folder
from accelchain_runtime.engine.function import SetupContext, TensorSpec
from accelchain_runtime.registry import find

BLOCKS = 16
CALLS = 12
WARM_UP = 3
"""Calls at the start of each block that don't count."""
REST = 0.2
"""Seconds between blocks: onnxruntime's threads spin for a while after a run, and would take the other's cores."""


def cpu() -> OpenCLDevice:
    """The CPU as an OpenCL device."""
    return OpenCL(cache_folder()).open(["cpu0"])["cpu0"]


def set_up(function: Any, name: str, device: Any, frames: tuple[int, ...], **parameters: Any) -> Any:
    """Set a function up as the engine would, with the user's own cache."""
    folder = next(f.folder for f in find() if f.name == name)
    function.setup(
        SetupContext(
            name=name,
            parameters=parameters,
            inputs={"frames": TensorSpec(frames)},
            device=device,
            folder=folder,
            cache=cache_folder(),
        )
    )
    return function


def compare(ours: Callable[[], object], theirs: Callable[[], object]) -> Mapping[str, float]:
    """Time two calls in alternating blocks; milliseconds, and the ratios of ours to theirs."""
    calls = (ours, theirs)
    times: tuple[list[float], list[float]] = ([], [])
    for block in range(2 * BLOCKS):
        time.sleep(REST)
        times[block % 2].extend([_milliseconds(calls[block % 2]) for _ in range(CALLS)][WARM_UP:])
    (our_least, our_middle), (their_least, their_middle) = ((min(t), statistics.median(t)) for t in times)
    figures = {
        "ours_min_ms": our_least,
        "ours_median_ms": our_middle,
        "theirs_min_ms": their_least,
        "theirs_median_ms": their_middle,
        "ratio_min": our_least / their_least,
        "ratio_median": our_middle / their_middle,
    }
    return {name: round(value, 3) for name, value in figures.items()}


def resident_mib(field: str = "VmRSS") -> float:
    """Resident memory of this process in MiB: now (VmRSS) or at most (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.split(f"{field}:")[1].split()[0]) / 1024, 1)


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3
