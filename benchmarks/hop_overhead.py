# SPDX-License-Identifier: Apache-2.0
"""What the engine costs a hop: a chain of five small OpenCL functions against a loop written by hand.

Both launch the same kernels on the same device with four frames in flight, in turns within one process. Prints one
line of JSON: microseconds that the engine adds to a hop with kernels that do nothing, and its frames a second at
1920x1080x3 as a share of the loop's. Medians of the turns.

On PoCL's ``basic`` device, which runs a kernel within the launch, the empty kernels show what the engine itself costs.
On ``pthread`` every microsecond between two launches also lets PoCL's threads fall asleep, which adds the waking of
them to the next launch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from hop_functions import SOURCE

from accelchain_runtime.devices.pool import DevicePool
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.run import Run
from accelchain_runtime.engine.status import Status
from accelchain_runtime.registry import FunctionFolder

FUNCTIONS = 5
IN_FLIGHT = 4


def by_hand(device: Any, cache: Path, size: tuple[int, int], work: bool, frames: int) -> float:
    """Return seconds of the hand-written loop, without its setup."""
    height, width = size
    program = device.build(SOURCE, (), cache)
    suffix = "" if work else "_none"
    row, items, queue = np.int32(width * 3), ((height,) if work else (1,)), device.queue
    names = ["fill", *["add"] * (FUNCTIONS - 2), "look"]
    kernels = [device.kernel(program, name + suffix) for name in names]
    kernels[0].set_arg(1, row)
    for kernel in kernels[1:]:
        kernel.set_arg(2, row)
    sums = device.allocate(4 * height)
    kernels[-1].set_arg(1, sums)
    slots = [[device.allocate(height * width * 3) for _ in range(FUNCTIONS - 1)] for _ in range(IN_FLIGHT)]
    tails: deque[Any] = deque()
    start = time.perf_counter()
    for number in range(frames):
        if len(tails) == IN_FLIGHT:
            tails.popleft().wait()
        buffers = slots[number % IN_FLIGHT]
        kernels[0].set_arg(0, buffers[0])
        device.launch(queue, kernels[0], items)
        for index in range(1, FUNCTIONS - 1):
            kernels[index].set_arg(0, buffers[index - 1])
            kernels[index].set_arg(1, buffers[index])
            device.launch(queue, kernels[index], items)
        kernels[-1].set_arg(0, buffers[-1])
        tails.append(device.launch(queue, kernels[-1], items))
        device.flush(queue)
    for tail in tails:
        tail.wait()
    seconds = time.perf_counter() - start
    for buffer in [sums, *(buffer for ring in slots for buffer in ring)]:
        device.release(buffer)
    return seconds


def by_engine(
    pool: DevicePool, cache: Path, size: tuple[int, int], work: bool, frames: int, device: str = "cpu0"
) -> float:
    """Return seconds of the same chain as a plan, without its setup."""
    parameters = {"height": size[0], "width": size[1], "work": work}
    types = ["source", *["step"] * (FUNCTIONS - 2), "sink"]
    functions: list[dict[str, Any]] = [
        {
            "name": f"f{index}",
            "type": f"hop-{kind}",
            "implementation": "opencl",
            "device": device,
            "parameters": parameters | ({"frames": frames} if kind == "source" else {}),
        }
        for index, kind in enumerate(types)
    ]
    connections = [
        {
            "from": {"function": f"f{index}", "port": "frames"},
            "to": {"function": f"f{index + 1}", "port": "frames"},
            "slots": IN_FLIGHT,
        }
        for index in range(FUNCTIONS - 1)
    ]
    plan = Plan.model_validate(
        {
            "flow": {"name": "hops"},
            "devices": [{"name": device, "api": "opencl"}],
            "functions": functions,
            "connections": connections,
        }
    )
    status = Timed(time.monotonic())
    Run(plan, registry(), pool, status, cache=cache).execute()
    assert status.phase == "Succeeded", status.document()["message"]
    return status.last_frame - status.began


class Timed(Status):
    """Takes the time of the frames alone."""

    began = last_frame = 0.0

    def running(self, assembly: Any) -> None:
        super().running(assembly)
        finish = assembly.nodes[-1].function.finish

        def finished() -> Any:
            self.last_frame = time.perf_counter()
            return finish()

        assembly.nodes[0].function.finish = finished
        self.began = time.perf_counter()


def registry() -> list[FunctionFolder]:
    """Return the three functions of hop_functions.py."""
    port = {"name": "frames", "type": "frames", "dtype": "uint8", "shape": ["height", "width", 3]}
    types = [("height", "integer"), ("width", "integer"), ("work", "boolean"), ("frames", "integer")]
    found = []
    for kind, inputs, outputs in (("Source", [], [port]), ("Step", [port], [port]), ("Sink", [port], [])):
        spec = {
            "inputs": inputs,
            "outputs": outputs,
            "parameters": [{"name": name, "type": of} for name, of in types],
            "implementations": [{"name": "opencl", "api": "opencl", "entrypoint": f"hop_functions:{kind}"}],
        }
        manifest = {"metadata": {"name": f"hop-{kind.lower()}"}, "spec": spec}
        found.append(FunctionFolder(Path(__file__).parent, manifest))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frames", type=int, default=2000, help="frames a turn with empty kernels; a tenth with work")
    options = parser.parse_args()
    os.environ.setdefault("POCL_DEVICES", "basic pthread")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        pool = DevicePool(cache)
        result: dict[str, Any] = {"functions": FUNCTIONS, "inFlight": IN_FLIGHT}
        for device in pool.open_all():
            model = pool.opencl().listings[device.name].model.partition("-")[0]
            for name, size, work, frames in (
                ("empty", (64, 64), False, options.frames),
                ("1080p", (1080, 1920), True, max(options.frames // 10, 1)),
            ):
                hand, engine = [], []
                for turn in range(options.turns + 1):
                    seconds = by_hand(device, cache, size, work, frames)
                    with_engine = by_engine(pool, cache, size, work, frames, device.name)
                    if turn:  # the first one compiles and touches memory
                        hand.append(seconds / frames)
                        engine.append(with_engine / frames)
                result[f"{name} {model}"] = summary(hand, engine)
    print(json.dumps(result))


def summary(hand: list[float], engine: list[float]) -> dict[str, float]:
    """Return medians over the turns, given seconds a frame."""
    pairs = list(zip(hand, engine, strict=True))
    return {
        "handMicroseconds": round(statistics.median(hand) * 1e6, 1),
        "engineMicroseconds": round(statistics.median(engine) * 1e6, 1),
        "extraMicrosecondsPerHop": round(statistics.median(b - a for a, b in pairs) * 1e6 / FUNCTIONS, 2),
        "framesPerSecondRatio": round(statistics.median(a / b for a, b in pairs), 3),
    }


if __name__ == "__main__":
    main()
