# SPDX-License-Identifier: Apache-2.0
"""Seconds until the demo's first frame is at the sinks: ``accelchain run``, and a flow on a running ``up``.

``run`` counts from the start of its process, ``up`` from the request that creates the file's first resource. Caches
are warm. Prints one JSON document: medians, minima, and where the time of ``run`` goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from demo_chain import CLIP, output_of, resources, run_command
from one_flow import Moments, remove, send
from running_up import running_up

from accelchain_operators.kube.http_client import HttpClient

GOALS = {"run_seconds": 3.0, "up_seconds": 1.0}
DEADLINE = 60.0
WARM_SECONDS = 4.0
"""Between two flows on ``up``: the pool has a warm worker again."""


def by_run(folder: Path) -> dict[str, float]:
    """Run the command line once; return the moments of its start in seconds."""
    child = Path(__file__).with_name("first_frame.py")
    arguments = run_command(CLIP, folder, "--quiet", "--no-report")
    arguments = arguments[arguments.index("run") :]
    # stdout has the results' paths too; the last line is the document
    return output_of([sys.executable, str(child), str(time.monotonic()), *arguments], DEADLINE, last_line=True)


async def by_up(kubeconfig: Path, folder: Path, turns: int) -> list[dict[str, float]]:
    """Send the demo's file ``turns`` times, one after the other."""
    client = HttpClient.from_kubeconfig(kubeconfig, None)
    objects = resources(CLIP, folder)
    try:
        runs = []
        for _ in range(turns):
            await asyncio.sleep(WARM_SECONDS)
            runs.append(_named(await send(client, objects, DEADLINE)))
            await remove(client, objects[-1]["metadata"]["name"], DEADLINE)
        return runs
    finally:
        await client.close()


def _named(moments: Moments) -> dict[str, float]:
    return {
        "worker has its task": moments.task,
        "status tells of the worker": moments.worker_known,
        "first frame": moments.first_frame,
        "succeeded": moments.end,
    }


def measure(turns: int) -> dict[str, Any]:
    """Measure both; the first turn of each fills caches and does not count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [by_run(folder) for _ in range(turns + 1)][1:]
        with running_up() as up:
            flows = asyncio.run(by_up(up.kubeconfig, folder, turns + 1))[1:]
    return {
        "turns": turns,
        "run_seconds": _median(runs, "first frame"),
        "run_seconds_min": round(min(run["first frame"] for run in runs), 3),
        "up_seconds": _median(flows, "first frame"),
        "up_seconds_min": round(min(run["first frame"] for run in flows), 3),
        "goals": GOALS,
        "run, moments": {moment: _median(runs, moment) for moment in runs[0]},
        "up, moments": {moment: _median(flows, moment) for moment in flows[0]},
    }


def _median(runs: list[dict[str, float]], name: str) -> float:
    return round(statistics.median(run[name] for run in runs), 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    print(json.dumps(measure(parser.parse_args().turns), indent=2))


if __name__ == "__main__":
    main()
