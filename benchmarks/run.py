# SPDX-License-Identifier: Apache-2.0
"""All benchmarks, one after the other: ``make bench``. Prints a table of figures, goals and verdicts.

Each benchmark is a program of its own that prints one JSON document. All documents go into one file; ``--keep`` puts
the table into docs/benchmarks.md as well, with commit, machine and date. Exit 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/benchmarks.json"
PAGE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DEADLINE = 900.0
"""Seconds for one benchmark."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None: there is none."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def cells(self) -> tuple[str, str, str, str]:
        """Return what, goal, figure and verdict as text."""
        if self.least is not None and self.most is not None:
            goal = f"{_text(self.least)} … {_text(self.most)}"
        elif self.least is not None:
            goal = f"≥ {_text(self.least)}"
        else:
            goal = f"≤ {_text(self.most)}" if self.most is not None else ""
        verdict = {True: "reached", False: "**missed**", None: "for information"}[self.reached]
        return (
            self.what,
            f"{goal} {self.unit}".strip() if goal else "",
            f"{_text(self.value)} {self.unit}".strip(),
            verdict,
        )


def accuracy(document: Document) -> Iterator[Row]:
    """Boxes, and the two implementations against each other."""
    boxes = document["boxes"]
    for threshold, goal in document["goals"].items():
        what = f"boxes on 100 frames of vtest.avi, threshold {threshold}, goal {goal} ± 2 %"
        yield Row(what, boxes[f"opencl {threshold}"], "", goal * 0.98, goal * 1.02)
    for threshold in document["goals"]:
        ours, theirs = boxes[f"opencl {threshold}"], boxes[f"onnxruntime {threshold}"]
        what = f"boxes, OpenCL against onnxruntime, threshold {threshold}: difference"
        yield Row(what, abs(ours - theirs) / theirs * 100, "%", most=1.0)
    yield Row(
        "raw outputs, OpenCL against onnxruntime: largest difference", document["raw_output_error"], "", most=1e-3
    )


def whole_chain(document: Document) -> Iterator[Row]:
    """The demo in a worker against the hand-written loop."""
    goals, worker, loop = document["goals"], document["worker"], document["loop"]
    fps, cpu = goals["frames_per_second_ratio"], goals["cpu_ratio"]
    yield Row(
        "whole chain, frames/s against the hand-written loop, medians", document["frames_per_second_ratio"], "", fps
    )
    yield Row("the same, best runs", document["frames_per_second_ratio_best"], "", fps)
    yield Row("whole chain, CPU time a frame against that loop, medians", document["cpu_ratio"], "", most=cpu)
    yield Row("the same, least", document["cpu_ratio_best"], "", most=cpu)
    yield Row("whole chain in the worker, median", worker["median_fps"], "frames/s")
    yield Row("hand-written loop, median", loop["median_fps"], "frames/s")
    yield Row("whole `accelchain run`, the control plane beside the chain", document["accelchain_run_fps"], "frames/s")
    yield Row("memory of the worker at its most, while it runs", document["worker"]["peak_mib"], "MiB")


def detector(document: Document) -> Iterator[Row]:
    """Our network against onnxruntime."""
    for cores, figures in document.items():
        if cores.startswith("cores"):
            what = f"detect-person in OpenCL against onnxruntime, {cores}, minima"
            yield Row(what, figures["ratio_min"], "", most=figures["goal_ratio_min"])


def filter_resize(document: Document) -> Iterator[Row]:
    """Our kernel against OpenCV."""
    for case, figures in document["figures"].items():
        what = f"filter-resize against OpenCV, {case}, minima"
        yield Row(what, figures["ratio_min"], "", most=document["goal_ratio_min"])


def start_up(document: Document) -> Iterator[Row]:
    """Until the first frame."""
    goals = document["goals"]
    yield Row("`accelchain run` until the first frame, median", document["run_seconds"], "s", most=goals["run_seconds"])
    yield Row("on a running `up`, from apply, median", document["up_seconds"], "s", most=goals["up_seconds"])


def api_writes(document: Document) -> Iterator[Row]:
    """Writes to the API."""
    goals = document["goals"]
    seconds = f"{document['rest_seconds']:.0f} s"
    yield Row(f"API writes at rest, {seconds}", document["writes_at_rest"], "", most=goals["writes_at_rest"])
    what = f"API writes at rest after a flow, {seconds}"
    yield Row(what, document["writes_at_rest_after_a_flow"], "", most=goals["writes_at_rest"])
    what = "API writes for a flow of five functions, creation to Succeeded"
    yield Row(what, document["writes_per_flow"], "", most=goals["writes_per_flow"])


def memory(document: Document) -> Iterator[Row]:
    """Memory at rest."""
    goals = document["goals"]
    yield Row("memory of an idle `up` (RSS)", document["up_mb"], "MB", most=goals["up_mb"])
    yield Row("the same, proportional (PSS)", document["up_pss_mb"], "MB")
    yield Row("memory of a warm worker (RSS)", document["warm_worker_mb"], "MB", most=goals["warm_worker_mb"])
    yield Row("the same, proportional (PSS)", document["warm_worker_pss_mb"], "MB")


def hop_overhead(document: Document) -> Iterator[Row]:
    """What the engine costs where kernels cost nothing or little."""
    for case, figures in document.items():
        if isinstance(figures, dict):
            ratio, extra = figures["framesPerSecondRatio"], figures["extraMicrosecondsPerHop"]
            yield Row(f"five kernels in a row, {case}: frames/s against a hand-written loop", ratio, "")
            yield Row(f"five kernels in a row, {case}: more time a hop", extra, "µs")


def scheduler(document: Document) -> Iterator[Row]:
    """Placement of batches of flows."""
    for case, figures in document["figures"].items():
        what = f"placement on {document['devices']} devices: {case}"
        yield Row(what, figures["seconds"], "s", most=document["goal_seconds"])


BENCHMARKS: Sequence[Callable[[Document], Iterator[Row]]] = (
    accuracy,
    whole_chain,
    detector,
    filter_resize,
    start_up,
    api_writes,
    memory,
    hop_overhead,
    scheduler,
)
"""Name of the program beside this file, and how to read its document."""


def run(name: str) -> Document:
    """Run one benchmark. Raises SystemExit if it fails."""
    print(f"{name} …", file=sys.stderr, flush=True)
    program = Path(__file__).with_name(f"{name}.py")
    result = subprocess.run(
        [sys.executable, str(program)], stdout=subprocess.PIPE, timeout=DEADLINE, check=False, text=True
    )
    if result.returncode:
        raise SystemExit(f"{name} ended with {result.returncode}")
    document: Document = json.loads(result.stdout)
    return document


def where() -> dict[str, str]:
    """Return what figures depend on: commit, machine, date, and how busy the machine was."""
    return {
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = ("what", "goal", "measured", "")
    lines = [head, ("---",) * 4, *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Run all, or those named."""
    names = [benchmark.__name__ for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"benchmarks to run, of: {', '.join(names)}")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where all documents go (default: %(default)s)")
    parser.add_argument(
        "--keep", action="store_true", help="put the table into docs/benchmarks.md; needs all benchmarks"
    )
    options = parser.parse_args()
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose of {', '.join(names)}")
    if options.keep and options.only:
        parser.error("--keep needs all benchmarks")
    facts = where()
    documents = {name: run(name) for name in names if not options.only or name in options.only}
    rows = [row for read in BENCHMARKS if read.__name__ in documents for row in read(documents[read.__name__])]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"where": facts, "benchmarks": documents}, indent=2) + "\n")
    text = "\n".join(f"- {name}: {fact}" for name, fact in facts.items()) + "\n\n" + table(rows)
    print(text)
    if options.keep:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    sys.exit(1 if any(row.reached is False for row in rows) else 0)


def _text(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e-3 else f"{round(value, 3):g}"


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" and changes" if git("status", "--porcelain") else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
