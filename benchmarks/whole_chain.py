# SPDX-License-Identifier: Apache-2.0
"""The demo chain in the worker against the loop written by hand: frames a second and CPU time.

Both sides alternate, each run in a process of its own, on the demo's clip several times in a row. The worker is the
program that the kubelet starts, with the plan that the operators write, and somebody reads its status stream. It counts
from the first frame to the last byte of the last file; set-up does not. ``accelchain run`` is measured too, for
information: there the control plane works beside the chain. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from demo_chain import CLIP, output_of, repeat, run_command, write_plan

GOALS = {"frames_per_second_ratio": 0.90, "cpu_ratio": 1.10}
"""At least, and at most."""
ADDRESS = "127.0.0.1:19091"
DEADLINE = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


def by_worker(plan: Path, folder: Path) -> dict[str, float]:
    """Run the plan in a worker process."""
    last = folder / "termination.json"
    argv = [sys.executable, "-P", "-m", "accelchain_runtime.worker", "--plan", str(plan)]
    argv += ["--status-address", ADDRESS, "--termination-log", str(last)]
    with (folder / "worker.log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        try:
            started = _cpu_at_running(process)
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        finally:
            timer.cancel()
    if process.returncode:
        raise SystemExit(f"the worker ended with {process.returncode}:\n{(folder / 'worker.log').read_text()[-2000:]}")
    document = json.loads(last.read_text())
    frames = document["frames"]
    return {
        "frames": frames,
        "seconds": frames / document["framesPerSecond"],
        "cpu_seconds": usage.ru_utime + usage.ru_stime - started,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def _cpu_at_running(process: subprocess.Popen[bytes]) -> float:
    """Read the status stream in a thread, as the operators do; return the CPU time spent when frames began to flow."""
    running = threading.Event()
    spent = [0.0]

    def read() -> None:
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{ADDRESS}/stream", timeout=10) as stream:
                    for line in stream:
                        if not running.is_set() and json.loads(line)["phase"] != "Starting":
                            spent[0] = _cpu_seconds(process.pid)
                            running.set()
                    return
            except OSError:
                time.sleep(0.02)  # not listening yet

    threading.Thread(target=read, daemon=True).start()
    running.wait(DEADLINE)
    return spent[0]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def by_hand(clip: Path) -> dict[str, float]:
    """Run the hand-written loop once, in a process of its own."""
    loop = Path(__file__).with_name("handwritten_loop.py")
    return output_of([sys.executable, str(loop), "--clip", str(clip), "--runs", "1"], DEADLINE)


def by_command_line(clip: Path, folder: Path) -> dict[str, float]:
    """Run ``accelchain run``; frames a second as the worker tells them."""
    status = output_of(run_command(clip, folder, "--json", "--no-report"), DEADLINE)["status"]
    return {"frames": status["progress"]["frames"], "frames_per_second": status["progress"]["framesPerSecond"]}


def measure(turns: int, repeats: int) -> dict[str, Any]:
    """Alternate ``turns`` times."""
    runs: dict[str, list[dict[str, float]]] = {"worker": [], "loop": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = repeat(CLIP, repeats, folder / "clip.mp4")
        plan = write_plan(clip, folder)
        by_worker(plan, folder)  # compiles kernels where nobody has
        for _ in range(turns):
            runs["worker"].append(by_worker(plan, folder))
            runs["loop"].append(by_hand(clip))
        whole = by_command_line(clip, folder)
    sides = {side: _summary(of_side) for side, of_side in runs.items()}
    worker, loop = sides["worker"], sides["loop"]
    return {
        "frames": runs["worker"][0]["frames"],
        "turns": turns,
        **sides,
        "frames_per_second_ratio": round(worker["median_fps"] / loop["median_fps"], 3),
        "frames_per_second_ratio_best": round(worker["best_fps"] / loop["best_fps"], 3),
        "cpu_ratio": round(worker["median_cpu_ms"] / loop["median_cpu_ms"], 3),
        "cpu_ratio_best": round(worker["least_cpu_ms"] / loop["least_cpu_ms"], 3),
        "accelchain_run_fps": round(whole["frames_per_second"], 1),
        "goals": GOALS,
    }


def _summary(runs: list[dict[str, float]]) -> dict[str, float]:
    rates = [run["frames"] / run["seconds"] for run in runs]
    cpu = [run["cpu_seconds"] / run["frames"] * 1e3 for run in runs]
    figures = {
        "median_fps": statistics.median(rates),
        "best_fps": max(rates),
        "median_cpu_ms": statistics.median(cpu),
        "least_cpu_ms": min(cpu),
    }
    if "peak_mib" in runs[0]:
        figures["peak_mib"] = max(run["peak_mib"] for run in runs)
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=4, help="times that the clip of 100 frames is in the long one")
    options = parser.parse_args()
    print(json.dumps(measure(options.turns, options.repeats), indent=2))


if __name__ == "__main__":
    main()
