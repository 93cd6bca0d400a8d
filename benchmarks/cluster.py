# SPDX-License-Identifier: Apache-2.0
"""The figures of a real cluster: it starts one on this machine, installs the chart, and measures.

Needs what tests/realkube needs (root, Go) and the images (``make images``). Prints one JSON document, and on stderr
the table for docs/benchmarks.md. ``--short`` does everything once, and rests for half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/realkube"))  # not first: its run.py is another one

from cluster_at_rest import at_rest, slow_clip, slow_flow  # noqa: E402
from cluster_interrupt import in_cluster, on_laptop  # noqa: E402
from demo_chain import CLIP, output_of, repeat, run_command  # noqa: E402
from realkube.cluster import Cluster  # noqa: E402
from realkube.plane import PLANE_ADDRESS  # noqa: E402
from realkube.pods import resident_bytes, send  # noqa: E402
from realkube.release import CONTROLLERS, NAMESPACE, Release, archives, helm_python  # noqa: E402
from realkube.team import Team, demo  # noqa: E402
from run import Row, table, where  # noqa: E402

from accelchain_operators.kube.http_client import HttpClient  # noqa: E402
from accelchain_operators.kube.kinds import DATA_FLOW, LEASE  # noqa: E402

GOALS: dict[str, Any] = {
    "install_seconds": 30.0,
    "frames_per_second_ratio": 0.95,
    "first_frame_seconds": 3.0,
    "take_over_seconds": {"SIGKILL": 17.0, "SIGTERM": 2.0},
    "writes_at_rest": 0,
    "operator_mb": 120.0,
    "node_agent_mb": 80.0,
    "interrupt_seconds": {"laptop": 2.0, "cluster": 5.0},
}
DEADLINE = 180.0
NOTICE_SECONDS = 5.0
"""Until the kubelet has told that a container ended and began anew."""
FLOWS = 20
TEAM = "bench"


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    turns: int = 3
    clips: int = 4
    """So often the demo's clip is in the one that frames/s are measured with."""
    rest_seconds: float = 300.0


SHORT = Extent(turns=1, clips=2, rest_seconds=30.0)


@dataclass(frozen=True)
class Bench:
    """An installation that is measured, and a namespace in it."""

    cluster: Cluster
    release: Release
    team: Team
    extent: Extent
    folder: Path


def frames_per_second(bench: Bench) -> dict[str, Any]:
    """The demo as a DataFlow in the cluster and by ``accelchain run`` beside it, in turns; the worker's own figure."""
    clip = repeat(CLIP, bench.extent.clips, bench.team.folder / "people.mp4")
    rates: dict[str, list[float]] = {"cluster": [], "laptop": []}
    for turn in range(bench.extent.turns + 1):  # the first one fills caches
        name = f"frames-{turn}"
        bench.team.apply(*demo(name))
        # One watch: asking again and again with kubectl would take half a core from what is measured.
        bench.team.kubectl(
            "wait", f"dataflow/{name}", "--for=condition=Succeeded", f"--timeout={DEADLINE:g}s", timeout=DEADLINE + 10
        )
        status = bench.team.status(name)
        ended = output_of(run_command(clip, bench.folder, "--quiet", "--no-report", "--json"), DEADLINE)
        for side, found in (("cluster", status), ("laptop", ended["status"])):
            if found["phase"] != "Succeeded":
                raise SystemExit(f"the demo failed, {side}: {found['conditions']}")
            rates[side].append(found["progress"]["framesPerSecond"])
    rates = {side: found[1:] for side, found in rates.items()}
    return {
        **rates,
        "frames": 100 * bench.extent.clips,
        "ratio": round(statistics.median(rates["cluster"]) / statistics.median(rates["laptop"]), 3),
        "ratio_best": round(max(rates["cluster"]) / max(rates["laptop"]), 3),
    }


def first_frame(bench: Bench) -> dict[str, Any]:
    """From the start of ``kubectl apply`` until every sink has done a frame of the demo."""
    shutil.copy(CLIP, bench.team.folder / "people.mp4")
    inside = bench.cluster.root / "inside.kubeconfig"
    outer = bench.cluster.kubeconfig.read_text()
    server = next(line.split()[-1] for line in outer.splitlines() if line.strip().startswith("server:"))
    inside.write_text(outer.replace(server, f"https://{PLANE_ADDRESS}:6443"))
    program = Path(__file__).with_name("cluster_first_frame.py")
    moments = []
    for turn in range(bench.extent.turns + 1):
        file = bench.folder / "first.json"
        chain, flow = demo(f"first-{turn}")
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [chain, flow]}))
        command = [sys.executable, program, inside, bench.team.namespace, flow["metadata"]["name"], file]
        moments.append(json.loads(bench.cluster.inside([*map(str, command)], timeout=DEADLINE).stdout))
    found = {name: [turn[name] for turn in moments[1:]] for name in moments[0]}
    return {
        "seconds": round(statistics.median(found["first frame"]), 3),
        "seconds_min": round(min(found["first frame"]), 3),
        "moments": {name: round(statistics.median(seconds), 3) for name, seconds in found.items()},
    }


async def take_over(bench: Bench, client: HttpClient, number: signal.Signals) -> dict[str, Any]:
    """From the signal to the leading dataflow operator until another one leads, and until it accepts a new flow."""
    leads, accepts = [], []
    for turn in range(bench.extent.turns):
        await asyncio.sleep(NOTICE_SECONDS)
        await until(partial(_stands_by, bench), "two operators")
        name = f"over-{number.name.lower()}-{turn}"
        pod, holder = bench.release.leader("dataflow"), bench.release.lease("dataflow")["holderIdentity"]
        flow = demo(name, dryRun=True)[1]
        flow["metadata"]["namespace"] = bench.team.namespace
        began = time.monotonic()
        send(pod, number)
        await client.create(DATA_FLOW, flow)

        async def is_led(holder: str = holder) -> bool:
            lease = await client.get(LEASE, "accelchain-dataflow", NAMESPACE)
            return (lease["spec"].get("holderIdentity") or holder) != holder

        async def is_accepted(name: str = name) -> bool:
            return bool((await client.get(DATA_FLOW, name, bench.team.namespace)).get("status", {}).get("phase"))

        leads.append(await until(is_led, "another leader", began))
        accepts.append(await until(is_accepted, "the acceptance of a flow", began))
    return {"leads_seconds": leads, "accepts_seconds": accepts, "seconds": max(accepts)}


async def _stands_by(bench: Bench) -> bool:
    pods = bench.release.pods("dataflow")
    ready = [c for pod in pods for c in pod["status"]["conditions"] if (c["type"], c["status"]) == ("Ready", "True")]
    return len(pods) == len(ready) == 2 and bool(bench.release.lease("dataflow").get("holderIdentity"))


async def until(condition: Callable[[], Awaitable[bool]], what: str, began: float | None = None) -> float:
    """Wait for a condition; return the seconds since then, or since ``began``."""
    began = time.monotonic() if began is None else began
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.02)
    return round(time.monotonic() - began, 2)


def memory(release: Release) -> dict[str, float]:
    """Resident memory in MB (10^6 bytes) by component, the largest of its Pods."""
    found = {name: [resident_bytes(pod) for pod in release.pods(name)] for name in (*CONTROLLERS, "node")}
    return {name: round(max(sizes) / 1e6, 1) for name, sizes in found.items()}


async def with_flows(bench: Bench, client: HttpClient) -> dict[str, Any]:
    """Writes at rest and memory while flows of mode Stream run."""
    bench.release.upgrade(worker__resources__requests__cpu="10m")  # so that all find a place on two cores
    slow_clip(bench.team.folder / "slow.mp4", bench.extent.rest_seconds + DEADLINE)
    names = [f"rest-{index}" for index in range(FLOWS)]
    bench.team.apply(*(slow_flow(name) for name in names))
    for name in names:
        bench.team.until_phase(name, "Running", seconds=DEADLINE)
    found = await at_rest(bench.cluster, client, bench.team.namespace, bench.extent.rest_seconds)
    running = [bench.team.status(name)["phase"] for name in names].count("Running")
    document = {"flows": FLOWS, "still_running": running, **found, "memory_mb": memory(bench.release)}
    bench.team.kubectl("delete", "dataflow", "--all", timeout=DEADLINE)
    bench.team.until_nothing_is_left(DEADLINE)
    return document


async def interrupt(bench: Bench) -> dict[str, Any]:
    """From Ctrl-C of ``accelchain run`` until nothing of it is left."""
    clip = slow_clip(bench.team.folder / "slow.mp4", DEADLINE)
    laptop, cluster = [], []
    for turn in range(bench.extent.turns):
        laptop.append(on_laptop(clip, bench.folder))
        cluster.append(await in_cluster(bench.cluster, bench.team, f"interrupted-{turn}", bench.folder))
    return {"laptop_seconds": laptop, "cluster_seconds": cluster}


async def measure(extent: Extent) -> dict[str, Any]:
    """Measure everything, each in a state that the one before leaves clean."""
    with (
        tempfile.TemporaryDirectory() as name,
        Cluster.start(say=lambda text: print(text, file=sys.stderr, flush=True)) as cluster,
    ):
        for archive in archives().values():
            cluster.load(archive)
        release = Release(cluster, helm_python())
        release.install()
        bench = Bench(cluster, release, Team(cluster, TEAM), extent, Path(name))
        client = HttpClient.from_kubeconfig(cluster.kubeconfig)
        try:
            document: dict[str, Any] = {"install_seconds": round(release.seconds or 0.0, 1)}
            for what, work in (
                ("frames_per_second", lambda: frames_per_second(bench)),
                ("first_frame", lambda: first_frame(bench)),
                ("memory_at_rest_mb", lambda: memory(release)),
            ):
                document[what] = tell(what, work())
            bench.team.kubectl("delete", "dataflow", "--all", timeout=DEADLINE)
            for number in (signal.SIGTERM, signal.SIGKILL):
                document[f"take_over_{number.name}"] = tell(number.name, await take_over(bench, client, number))
            document["at_rest"] = tell("at rest", await with_flows(bench, client))
            document["interrupt"] = tell("interrupt", await interrupt(bench))
        finally:
            await client.close()
    return {**document, "goals": GOALS}


def tell(what: str, document: Any) -> Any:
    """Say at once what was measured: a run takes a quarter of an hour."""
    print(f"{what}: {json.dumps(document)}", file=sys.stderr, flush=True)
    return document


def rows(document: dict[str, Any]) -> Iterator[Row]:
    """The lines of the table."""
    frames, first, rest = document["frames_per_second"], document["first_frame"], document["at_rest"]
    yield Row("`helm install --wait`, images present", document["install_seconds"], "s", most=GOALS["install_seconds"])
    least = GOALS["frames_per_second_ratio"]
    yield Row("demo, frames/s in the cluster against `accelchain run`, medians", frames["ratio"], "", least)
    yield Row("the same, best runs", frames["ratio_best"], "", least)
    yield Row("demo in the cluster, median", statistics.median(frames["cluster"]), "frames/s")
    most = GOALS["first_frame_seconds"]
    yield Row("`kubectl apply` until the first frame, median", first["seconds"], "s", most=most)
    for name, goal in GOALS["take_over_seconds"].items():
        what = f"{name} of the leading operator until another one accepts a flow, worst"
        yield Row(what, document[f"take_over_{name}"]["seconds"], "s", most=goal)
    what = f"writes at rest, {rest['flows']} Stream flows, {rest['seconds']:.0f} s; Leases and progress apart"
    yield Row(what, rest["writes"], "", most=GOALS["writes_at_rest"])
    yield Row("the same, writes of progress", rest["progress_writes"], "")
    for when, found in (("at rest", document["memory_at_rest_mb"]), ("20 flows", rest["memory_mb"])):
        operators = max(found[name] for name in CONTROLLERS)
        yield Row(f"memory of the largest operator (RSS), {when}", operators, "MB", most=GOALS["operator_mb"])
        yield Row(f"memory of the node agent (RSS), {when}", found["node"], "MB", most=GOALS["node_agent_mb"])
    for where_, goal in GOALS["interrupt_seconds"].items():
        worst = max(document["interrupt"][f"{where_}_seconds"])
        yield Row(f"Ctrl-C of `accelchain run` until nothing is left, {where_}, worst", worst, "s", most=goal)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="everything once, and half a minute of rest")
    facts = where()
    document = asyncio.run(measure(SHORT if parser.parse_args().short else Extent()))
    found = list(rows(document))
    text = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    print(f"{text}\n\n{table(found)}", file=sys.stderr)
    print(json.dumps({"where": facts, **document}, indent=2))
    sys.exit(1 if any(row.reached is False for row in found) else 0)


if __name__ == "__main__":
    main()
