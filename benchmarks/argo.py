# SPDX-License-Identifier: Apache-2.0
"""The figures of workflows with Argo's own controller: ``make bench-argo``.

It starts a cluster on this machine with the chart and Argo, and measures; needs what tests/realkube needs, the images
(``make images``), and the environment variables of tests/realkube/realkube/argo.py. Prints one JSON document, and on
stderr the table for docs/benchmarks.md. ``--part b`` measures a part alone and may be given several times:

a  our part of a step: task in the WorkflowTaskSet -> DataFlow; DataFlow's end -> result in the WorkflowTaskSet
b  a chain of four functions as one step against four steps, DEFAULT_REQUEUE_TIME 10 s and 1 s
c  four functions as one step against four ordinary pods that hand over 100 frames of 1920x1080 by way of S3
d  pods of a chain of four functions
e  500 steps in one workflow
f  writes of a Workflow while one step runs
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/realkube"))  # not first: its run.py is another one

import numpy as np  # noqa: E402
from argo_watch import Watched  # noqa: E402
from argo_workflows import (  # noqa: E402
    PLAIN_FUNCTIONS,
    WORKER,
    clip,
    four_pods,
    four_steps,
    many_steps,
    one_step,
    one_step_on_s3,
)
from realkube.argo_store import PLACE, Store  # noqa: E402
from realkube.argo_team import ArgoTeam, copying, phase, step, summary, workflow  # noqa: E402
from realkube.cluster import Cluster  # noqa: E402
from realkube.layers import derive  # noqa: E402
from realkube.release import Release, archives, helm_python  # noqa: E402
from run import Row, table, where  # noqa: E402

from accelchain_runtime.engine.function import FrameInfo, SourceInfo, TensorSpec  # noqa: E402
from accelchain_runtime.functions.frames_file import FramesReader, FramesWriter, Header  # noqa: E402
from realkube.argo import Argo, binaries  # noqa: E402

GOALS: dict[str, float] = {
    "ours_p50_ms": 100.0,
    "ours_p95_ms": 300.0,
    "against_steps": 3.0,
    "against_pods": 10.0,
    "hand_over": 200.0,
    "pods_operator": 1,
    "pods_plugin": 2,
    "task_set_bytes": 1_000_000,
    "writes_in_ten_minutes": 10,
}
WRITES = frozenset({"create", "update", "patch", "delete"})
FUNCTIONS = (ROOT / "tests/realkube/functions", ROOT / "benchmarks/argo_functions")
"""Folders of functions that the worker's image has besides."""
FULL_HD = (1080, 1920, 3)
FRAMES = 100
_DURATION = re.compile(r"duration=(?P<value>[\d.]+)(?P<unit>ms|s|µs)")


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    turns: int = 3
    steps: int = 40
    """Of part a."""
    nodes: int = 500
    """Of part e."""
    seconds: float = 600.0
    """Of part f."""


SHORT = Extent(turns=1, steps=8, nodes=30, seconds=60.0)


@dataclass(frozen=True)
class Bench:
    """What is measured."""

    cluster: Cluster
    argo: Argo
    release: Release
    store: Store
    team: ArgoTeam
    agents: ArgoTeam
    """A namespace with the executor plugin."""
    extent: Extent
    folder: Path

    def serve(self, *, agents: bool, requeue: str = "1s") -> None:
        """Have steps served by agents with the plugin, or by the task-set operator without agents."""
        self.release.upgrade(argo__taskset__enabled=str(not agents).lower())
        self.argo.start(agents=agents, requeue=requeue)

    def run(self, team: ArgoTeam, made: dict[str, Any], seconds: float = 300.0) -> tuple[str, float]:
        """Run a workflow to its good end; return its name, and the seconds from kubectl's begin to it."""
        began = time.monotonic()
        name = team.submit(made)
        ended = team.until_ended(name, seconds)
        took = time.monotonic() - began
        if phase(ended) != "Succeeded":
            raise SystemExit(f"{name} failed: {summary(ended)}")
        return name, took


async def ours(bench: Bench) -> dict[str, Any]:
    """Part a."""
    bench.serve(agents=False)
    async with Watched(bench.cluster.kubeconfig, bench.team.namespace) as watched:
        for turn in range(bench.extent.steps):
            await asyncio.to_thread(bench.run, bench.team, one_step("small.mp4", f"a{turn}.mp4"))
    found: dict[str, Any] = {"steps": bench.extent.steps}
    for name, values in watched.latencies().items():
        found[name] = {"p50": round(statistics.median(values), 1), "p95": round(_percentile(values, 0.95), 1)}
    return found


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


async def against_steps(bench: Bench) -> dict[str, Any]:
    """Part b."""
    found: dict[str, Any] = {}
    for requeue in ("10s", "1s"):
        bench.serve(agents=False, requeue=requeue)
        one = [bench.run(bench.team, one_step("small.mp4", f"b{n}.mp4"))[1] for n in range(bench.extent.turns)]
        four = [bench.run(bench.team, four_steps("small.mp4", f"c{n}.mp4"))[1] for n in range(bench.extent.turns)]
        ratio = round(statistics.median(four) / statistics.median(one), 2)
        found[requeue] = {"one_step_seconds": _rounded(one), "four_steps_seconds": _rounded(four), "ratio": ratio}
    return found


async def against_pods(bench: Bench) -> dict[str, Any]:
    """Part c."""
    bench.serve(agents=False)
    one, four, edges, artifacts = [], [], [], []
    for turn in range(bench.extent.turns):
        name, took = bench.run(bench.team, one_step_on_s3(FRAMES, f"bench/one-{turn}.json"))
        one.append(took)
        (flow,) = bench.team.flows(name)
        edges += [edge["microseconds"] for edge in flow["status"]["edges"]]
        name, took = bench.run(bench.team, four_pods(FRAMES, f"bench/four-{turn}.json"), 600)
        four.append(took)
        made = [bench.store.get(f"bench/{way}-{turn}.json", bench.folder / way).read_bytes() for way in ("one", "four")]
        if made[0] != made[1]:
            raise SystemExit("one step and four pods did not make the same")
        artifacts += _artifact_seconds(bench.team, name)
        bench.team.kubectl("delete", "workflow", name, timeout=70)
    disk = _file_seconds(bench.folder / "frames")
    by_pods = (statistics.median(artifacts) + disk) / FRAMES * 1e6
    by_edge = statistics.median(edges)
    return {
        "one_step_seconds": _rounded(one),
        "four_pods_seconds": _rounded(four),
        "ratio": round(statistics.median(four) / statistics.median(one), 2),
        "hand_over_edge_microseconds": round(by_edge, 1),
        "hand_over_pods_microseconds": round(by_pods, 1),
        "hand_over_ratio": round(by_pods / by_edge, 1),
        "upload_and_download_seconds": _rounded(artifacts),
        "write_and_read_seconds": round(disk, 2),
    }


def _artifact_seconds(team: ArgoTeam, name: str) -> list[float]:
    """Return what upload and download of the frames took between each two pods, as Argo's executor logs it."""
    label = f"workflows.argoproj.io/workflow={name}"
    pods = json.loads(team.kubectl("get", "pods", "-l", label, "-o", "json").stdout)["items"]
    loads, saves = {}, {}
    for pod in pods:
        function = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].rpartition(".")[2]
        for container, kept in (("init", loads), ("wait", saves)):
            text = team.kubectl("logs", pod["metadata"]["name"], "-c", container).stdout
            for line in text.splitlines():
                is_told = "frames" in line and ("Load artifact" in line or "Save artifact" in line)
                if is_told and (match := _DURATION.search(line)):
                    kept[function] = float(match["value"]) * {"s": 1.0, "ms": 1e-3, "µs": 1e-6}[match["unit"]]
    return [saves[one] + loads[other] for one, other in itertools.pairwise(PLAIN_FUNCTIONS)]


def _file_seconds(file: Path) -> float:
    """Return what it takes to write and to read the frames of one hand-over on this machine's disk."""
    picture = np.zeros(FULL_HD, np.uint8)
    spec, source = TensorSpec(FULL_HD, np.uint8), SourceInfo((FULL_HD[0], FULL_HD[1]), 25.0)
    began = time.monotonic()
    with file.open("wb") as target:
        writer = FramesWriter(target, Header("frames", spec, source))
        for number in range(FRAMES):
            writer.write(FrameInfo(number, 0.0, FULL_HD[:2]), picture)
        writer.end()
    with file.open("rb") as origin:
        reader = FramesReader(origin, str(file))
        for number in range(FRAMES):
            reader.read(FrameInfo(number, 0.0, FULL_HD[:2]), picture)
    took = time.monotonic() - began
    file.unlink()
    return took


async def pods(bench: Bench) -> dict[str, Any]:
    """Part d."""
    found = {}
    for way, team in (("operator", bench.team), ("plugin", bench.agents)):
        bench.serve(agents=way == "plugin")
        async with Watched(bench.cluster.kubeconfig, team.namespace) as watched:
            await asyncio.to_thread(bench.run, team, one_step("small.mp4", "d.mp4"))
        found[way] = len(watched.pods)
    return found


async def many(bench: Bench) -> dict[str, Any]:
    """Part e."""
    bench.serve(agents=False)
    count = bench.extent.nodes
    async with Watched(bench.cluster.kubeconfig, bench.team.namespace) as watched:
        made = many_steps(count, "small.mp4")
        _, took = await asyncio.to_thread(bench.run, bench.team, made, 60.0 + 15.0 * count)
    return {
        "nodes": count,
        "seconds": round(took, 1),
        "served": len(watched.ended),
        "made_twice": sum(number > 1 for number in watched.flows.values()),
        "task_set_bytes": watched.task_set_bytes,
    }


async def writes(bench: Bench) -> dict[str, Any]:
    """Part f: all writes of the Workflow from its creation on, and those while its step simply runs."""
    found = {}
    for way, team in (("operator", bench.team), ("plugin", bench.agents)):
        bench.serve(agents=way == "plugin")
        spec = copying("f.mp4", dawdle={"seconds": bench.extent.seconds / 50})
        before = _workflow_writes(bench.cluster, team.namespace)
        name = team.submit(workflow("writes", step("main", spec)))
        team.until_running(name)
        settled = _workflow_writes(bench.cluster, team.namespace)
        await asyncio.sleep(bench.extent.seconds)
        after = _workflow_writes(bench.cluster, team.namespace)
        found[way] = {"seconds": bench.extent.seconds, "writes": after - before, "while_it_runs": after - settled}
        team.change(name, shutdown="Terminate")
    return found


def _workflow_writes(cluster: Cluster, namespace: str) -> int:
    return sum(
        one.verb in WRITES and one.resource == "workflows" and one.namespace == namespace for one in cluster.audit()
    )


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 2) for value in values]


PARTS: dict[str, Callable[[Bench], Awaitable[dict[str, Any]]]] = {
    "a": ours,
    "b": against_steps,
    "c": against_pods,
    "d": pods,
    "e": many,
    "f": writes,
}


async def measure(extent: Extent, parts: list[str], root: Path | None) -> dict[str, Any]:
    """Measure some parts, on a cluster of their own or on one that runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = Cluster.attach(root) if root else stack.enter_context(Cluster.start(say=_say))
        store = stack.enter_context(Store(cluster, folder))
        argo = Argo(cluster, binaries())
        argo.install()
        stack.callback(argo.stop)
        release = _release(cluster, folder)
        made = [
            ArgoTeam(cluster, f"bench-{way}-{int(time.time())}", plugin=way == "plugin") for way in ("op", "plugin")
        ]
        small = clip(folder / "small.mp4", 64, 48, 10)
        for team in made:
            stack.callback(team.end)
            shutil.copy(small, team.folder / "small.mp4")
            shutil.copy(clip(folder / "grey.mp4", 64, 48, FRAMES), team.folder / "grey.mp4")
        bench = Bench(cluster, argo, release, store, *made, extent, folder)
        document: dict[str, Any] = {}
        for part in parts:
            document[part] = await PARTS[part](bench)
            for team in made:  # the next part is to find no more than the first one did
                team.kubectl("delete", "workflows", "--all", timeout=300)
                team.until_nothing_is_left(300)
            _say(f"{part}: {json.dumps(document[part])}")
    return {**document, "goals": GOALS}


def _release(cluster: Cluster, folder: Path) -> Release:
    """Install the chart, with a worker image that has the benchmark's functions besides, which may reach the store."""
    found = archives()
    for archive in found.values():
        cluster.load(archive)
    files = {
        f"functions/{path.relative_to(each)}": path.read_text()
        for each in FUNCTIONS
        for path in (*each.glob("*/*.py"), *each.glob("*/*.yaml"))
    }
    image = derive(found["worker"], folder / "worker.tar", WORKER, files, {"ACCELCHAIN_FUNCTIONS": "/functions"})
    cluster.load(image)
    image.unlink()
    release = Release(cluster, helm_python())
    if not release.is_there():
        release.install()
    for each in FUNCTIONS:
        for manifest in each.glob("*/functiontype.yaml"):
            cluster.kubectl("apply", "-f", manifest)
    release.upgrade(image__worker=WORKER, worker__resources__requests__cpu="20m", worker__allow=f"['{PLACE.endpoint}']")
    return release


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rows(document: dict[str, Any]) -> Iterator[Row]:
    """The lines of the table, of the parts that were measured."""
    if "a" in document:
        for what, name in (
            ("task in the WorkflowTaskSet until the DataFlow is made", "create_ms"),
            ("DataFlow's end until the WorkflowTaskSet has the result", "report_ms"),
        ):
            for share in ("p50", "p95"):
                yield Row(f"{what}, {share}", document["a"][name][share], "ms", most=GOALS[f"ours_{share}_ms"])
    for requeue, found in document.get("b", {}).items():
        what = f"one step against four steps, DEFAULT_REQUEUE_TIME {requeue}"
        yield Row(what, found["ratio"], "x", GOALS["against_steps"])
    if "c" in document:
        yield Row("one step against four pods, artifacts on S3", document["c"]["ratio"], "x", GOALS["against_pods"])
        what = "hand-over of a frame of 1920x1080, against artifacts"
        yield Row(what, document["c"]["hand_over_ratio"], "x", GOALS["hand_over"])
    for way, count in document.get("d", {}).items():
        yield Row(f"pods of a chain of four functions, {way}", count, "", most=GOALS[f"pods_{way}"])
    if "e" in document:
        nodes = document["e"]["nodes"]
        yield Row(f"steps served of {nodes} in one workflow", document["e"]["served"], "", nodes)
        yield Row("the same, DataFlows made twice", document["e"]["made_twice"], "", most=0)
        yield Row("the same, WorkflowTaskSet", document["e"]["task_set_bytes"], "bytes", most=GOALS["task_set_bytes"])
    for way, found in document.get("f", {}).items():
        what = f"writes of a Workflow by one step in {found['seconds']:.0f} s, {way}"
        yield Row(what, found["writes"], "", most=GOALS["writes_in_ten_minutes"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="all where absent")
    parser.add_argument("--short", action="store_true", help="everything once, and less of it")
    parser.add_argument("--root", type=Path, help="folder of a running cluster (tests/realkube/run.py)")
    arguments = parser.parse_args()
    facts = where()
    extent = SHORT if arguments.short else Extent()
    document = asyncio.run(measure(extent, arguments.part or list(PARTS), arguments.root))
    found = list(rows(document))
    text = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    print(f"{text}\n\n{table(found)}", file=sys.stderr)
    print(json.dumps({"where": facts, **document}, indent=2))
    sys.exit(1 if any(row.reached is False for row in found) else 0)


if __name__ == "__main__":
    main()
