# SPDX-License-Identifier: Apache-2.0
"""detect-person: our OpenCL kernels against onnxruntime, side by side on as many cores; prints one JSON document.

Ours is the whole function: network, box decoding, suppression. Theirs is the bare network, with its defaults (threads
that spin). Each number of cores has a process of its own, because PoCL and onnxruntime fix their threads once. A
further process runs nothing but ours with a warm cache, and tells its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import compare, cpu, resident_mib, set_up

from accelchain_runtime.functions import detect_person
from accelchain_runtime.functions.detect_person.model import INPUT_SIZE
from accelchain_runtime.functions.detect_person.opencl import DetectPerson
from accelchain_runtime.functions.detect_person.ports import DETECTIONS, PICTURE
from accelchain_runtime.functions.detect_person.weights import MODEL

GOALS = {1: 1.1, 2: 1.3}
"""Cores -> the ratio of minima to reach."""
DEADLINE = 300.0
"""Seconds for one process."""


def measure(cores: int) -> dict[str, Any]:
    """Both networks on the same picture with ``cores`` threads each."""
    import onnxruntime

    device, picture = cpu(), np.random.default_rng(0).integers(0, 256, PICTURE.shape, dtype=np.uint8)
    if device.compute_units != cores:
        raise SystemExit(f"the OpenCL device has {device.compute_units} compute units, not {cores}")
    ours = set_up(DetectPerson(), "detect-person", device, PICTURE.shape)
    frame, detections = device.upload(picture), device.allocate(DETECTIONS.nbytes)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(
        str(Path(detect_person.__file__).parent / MODEL), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: (picture.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)}
    size = (INPUT_SIZE, INPUT_SIZE)
    figures = compare(
        lambda: ours.run(device.queue, frame, detections, size, ()).wait(), lambda: session.run(None, feed)
    )
    error = 0.0
    for buffer, wanted in zip(ours.raw_outputs, session.run(None, feed), strict=True):
        got = np.empty(wanted.shape, wanted.dtype)
        device.read(device.queue, buffer, got).wait()
        error = max(error, float(np.abs(got - wanted).max()))
    return {**figures, "goal_ratio_min": GOALS[cores], "raw_output_error": error}


def memory() -> dict[str, Any]:
    """Resident memory of a process that runs nothing but ours."""
    device = cpu()
    before = resident_mib()
    ours = set_up(DetectPerson(), "detect-person", device, PICTURE.shape)
    frame, detections = device.upload(np.zeros(PICTURE.shape, np.uint8)), device.allocate(DETECTIONS.nbytes)
    for _ in range(20):
        ours.run(device.queue, frame, detections, (INPUT_SIZE, INPUT_SIZE), ()).wait()
    return {"device_open_mib": before, "resident_mib": resident_mib(), "peak_mib": resident_mib("VmHWM")}


def child(*arguments: str, **environment: str) -> dict[str, Any]:
    """Run this file in a process of its own and return what it prints."""
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, timeout=DEADLINE, check=True, text=True
    )
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, choices=GOALS, help="measure in this process, with so many cores")
    parser.add_argument("--memory", action="store_true", help="measure memory in this process")
    arguments = parser.parse_args()
    if arguments.cores:
        figures = measure(arguments.cores)
    elif arguments.memory:
        figures = memory()
    else:
        figures = {f"cores {cores}": child("--cores", str(cores), POCL_MAX_PTHREAD_COUNT=str(cores)) for cores in GOALS}
        figures["memory, warm cache"] = child("--memory")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
