# SPDX-License-Identifier: Apache-2.0
"""The figures of Kubeflow Pipelines: ``make bench-kfp``. (A file kfp.py in this folder would stand before KFP itself.)

Prints one JSON document, and on stderr the table for docs/benchmarks.md. ``--part b`` measures a part alone and may be
given several times:

a  pods by the formula of KFP's backend 2.17, before and after fusing: two cameras, and a nested chain with a report
b  a chain of three functions on the demo clip in kfp.local, against the same functions as separate steps
c  the pass on every IR of upstream's
d  import of accelchain.kfp beyond that of kfp
e  a launcher's container, from its start to its DataFlow, in an emulated cluster

Files of upstream's are looked for in shared/data, here or beside the repository; ``--data`` names another folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/kfp/backend"))

from google.protobuf import json_format  # noqa: E402
from kfp.pipeline_spec import pipeline_spec_pb2 as pb  # noqa: E402
from kfp_backend import sandbox, static  # noqa: E402
from kfp_backend.backend import Backend  # noqa: E402
from kfp_backend.cluster import FLOWS, Cluster  # noqa: E402
from kfp_backend.marking import TWO_CAMERAS_MARKS, TWO_CAMERAS_TYPES, address, function_type, with_marks  # noqa: E402
from kfp_backend.store import serve  # noqa: E402
from kfp_pipelines import clip, handing, parts, seconds, texts, three_functions  # noqa: E402
from run import Row, table, where  # noqa: E402
from running_up import running_up  # noqa: E402

from accelchain.cli.installed import function_types  # noqa: E402
from accelchain.kfp import core  # noqa: E402
from accelchain_runtime.engine.function import FrameInfo, SourceInfo, TensorSpec  # noqa: E402
from accelchain_runtime.functions.frames_file import FramesReader, FramesWriter, Header  # noqa: E402

GOALS = {
    "two_cameras_after": 20,
    "nested_after": 5,
    "hand_over": 200.0,
    "pass_ms": 50.0,
    "import_ms": 100.0,
    "launcher_seconds": 1.5,
}
CLIP = ROOT / "pipelines/person-detection/people.mp4"
IMAGE = "localhost/launcher:1"
FULL_HD = (1080, 1920, 3)
Document = dict[str, Any]


def pods(data: Path, turns: int) -> Document:
    """Part a. Worker pods: one a chain that runs."""
    del turns
    path = data / "two-cameras.kfp.yaml"
    found: Document = {}
    if path.exists():
        before = core.read(path.read_text(), path.name)
        marked = core.Pipeline(before.spec, with_marks(before.platforms, TWO_CAMERAS_MARKS), before.header)
        found["two_cameras"] = _before_and_after(marked, list(TWO_CAMERAS_TYPES), workers=2)
    found["nested"] = _before_and_after(*_nested(), workers=1)
    return found


def _before_and_after(pipeline: core.Pipeline, types: list[Any], workers: int) -> Document:
    fused = core.fuse(pipeline, types, image=IMAGE)
    before, after = static.pods(_normal(pipeline.spec)), static.pods(_normal(fused.pipeline.spec))
    return {"before": before, "after": after, "workers": workers}


def _normal(spec: Document) -> Document:
    found: Document = json_format.MessageToDict(json_format.ParseDict(spec, pb.PipelineSpec()))
    return found


def _nested() -> tuple[core.Pipeline, list[Any]]:
    """Return a nested pipeline of two functions, and a task that reports."""
    frames = {"artifacts": {"frames": {"artifactType": {"schemaTitle": "system.Artifact"}}}}
    uri = {"parameters": {"uri": {"parameterType": "STRING"}}}

    def task(name: str, kind: str, own: str, source: Document) -> Document:
        return {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}, "inputs": {kind: {own: source}}}

    def of(name: str) -> Document:
        return {"taskOutputArtifact": {"producerTask": name, "outputArtifactKey": "frames"}}

    given = {"componentInputParameter": "uri"}
    selector = {"producerSubtask": "change", "outputArtifactKey": "frames"}
    inner = {
        "tasks": {
            "read": task("read", "parameters", "uri", given),
            "change": task("change", "artifacts", "frames", of("read")),
        },
        "outputs": {"artifacts": {"frames": {"artifactSelectors": [selector]}}},
    }
    outer = {
        "both": task("both", "parameters", "uri", given),
        "report": task("report", "artifacts", "frames", of("both")),
    }
    spec = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "nested"},
        "root": {"dag": {"tasks": outer}, "inputDefinitions": uri},
        "components": {
            "comp-both": {"dag": inner, "inputDefinitions": uri, "outputDefinitions": frames},
            "comp-read": {"executorLabel": "exec-read", "inputDefinitions": uri, "outputDefinitions": frames},
            "comp-change": {"executorLabel": "exec-change", "inputDefinitions": frames, "outputDefinitions": frames},
            "comp-report": {"executorLabel": "exec-report", "inputDefinitions": frames},
        },
        "deploymentSpec": {
            "executors": {f"exec-{name}": {"container": {"image": name}} for name in ("read", "change", "report")}
        },
    }
    types = [
        *function_types(()),
        function_type("read", outputs=["frames"], parameters=[address("uri", "input")]),
        function_type("change", inputs=["frames"], outputs=["frames"]),
    ]
    marks = {f"exec-{name}": {"function": name} for name in ("read", "change")}
    return core.Pipeline(spec, with_marks(None, marks)), types


def chains(data: Path, turns: int) -> Document:
    """Part b. The first run of each fills caches and does not count; runs of one frame tell what starting takes."""
    del data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, fused = texts(three_functions, folder)
        count = 100
        steps, chain = _side_by_side(folder, plain, fused, turns, video=str(CLIP), frames=count)
        start_steps, start_chain = _side_by_side(folder, plain, fused, turns, video=str(CLIP), frames=1)
        files = 2 * count * _file_seconds(folder / "frames", (576, 768, 3))
        video = clip(folder / "full-hd.mp4", FULL_HD[1], FULL_HD[0], 50)
        edges = _edge_seconds(folder, texts(handing, folder)[1], video)
        edge, begin = edges["same-buffer"], edges["decode"]
        by_file = min(_file_seconds(folder / "frames", FULL_HD) for _ in range(turns))
    return {
        "frames": count,
        "steps": parts(steps, start_steps, files),
        "fused": parts(chain, start_chain, count * (begin + edge)),
        "ratio": round(steps / chain, 2),
        "hand_over_file_microseconds": round(by_file * 1e6, 1),
        "hand_over_edge_microseconds": round(edge * 1e6, 2),
        "hand_over_ratio": round(by_file / edge, 1),
        "hand_over_from_decoder_microseconds": round(begin * 1e6, 2),
        "hand_over_from_decoder_ratio": round(by_file / begin, 1),
    }


def _side_by_side(folder: Path, plain: str, fused: str, turns: int, **arguments: Any) -> tuple[float, float]:
    """Return the medians of both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns + 1):
        for text, found in zip((plain, fused), taken, strict=True):
            with tempfile.TemporaryDirectory(dir=folder) as root:
                found.append(seconds(text, Path(root), **arguments))
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])


def _file_seconds(file: Path, shape: tuple[int, int, int], frames: int = 50) -> float:
    """Return what a frame takes to be written to a file and to be read from it, as steps do."""
    import numpy as np

    picture = np.zeros(shape, np.uint8)
    spec, source = TensorSpec(shape, np.uint8), SourceInfo((shape[0], shape[1]), 25.0)
    began = time.monotonic()
    with file.open("wb") as target:
        writer = FramesWriter(target, Header("frames", spec, source))
        for number in range(frames):
            writer.write(FrameInfo(number, 0.0, shape[:2]), picture)
        writer.end()
    with file.open("rb") as origin:
        reader = FramesReader(origin, str(file))
        for number in range(frames):
            reader.read(FrameInfo(number, 0.0, shape[:2]), picture)
    took = time.monotonic() - began
    file.unlink()
    return took / frames


def _edge_seconds(folder: Path, fused: str, video: Path) -> dict[str, float]:
    """Return what a frame takes on edges of a fused chain: the worker's own figures, read from its DataFlow.

    ``same-buffer`` is that between two functions of one device; ``decode`` that from the decoder's thread to a device,
    most of which is the waking of the worker's loop.
    """
    with running_up() as up:
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = str(up.kubeconfig.parents[1])
        try:
            seconds(fused, folder / "edges", video=str(video), frames=50)
            flows = json.loads(_kubectl(up.kubeconfig, "get", "dataflows", "-A", "-o", "json"))["items"]
        finally:
            os.environ.pop("XDG_STATE_HOME")
            if before is not None:
                os.environ["XDG_STATE_HOME"] = before
    (flow,) = flows
    found = {edge["mechanism"]: edge["microseconds"] * 1e-6 for edge in flow["status"]["edges"]}
    first = next(edge for edge in flow["status"]["edges"] if edge["from"].startswith("decode"))
    return {**found, "decode": first["microseconds"] * 1e-6}


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "kubectl"), *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def passes(data: Path, turns: int) -> Document:
    """Part c: reading included."""
    types = function_types(())
    taken: dict[str, float] = {}
    changed = []
    for path in sorted((data / "kfp-ir").glob("*.yaml")):
        text = path.read_text()
        found = []
        for _ in range(max(3, turns)):
            began = time.perf_counter()
            fused = core.fuse(core.read(text, path.name), types, image=IMAGE)
            found.append((time.perf_counter() - began) * 1e3)
        taken[path.stem] = min(found)
        if fused.changed:
            changed.append(path.stem)
    slowest = max(taken, key=taken.__getitem__)
    return {
        "files": len(taken),
        "changed": changed,
        "slowest": slowest,
        "slowest_ms": round(taken[slowest], 1),
        "median_ms": round(statistics.median(taken.values()), 1),
    }


def imports(data: Path, turns: int) -> Document:
    """Part d: in processes of their own, which have imported kfp already."""
    del data
    names = "from accelchain.kfp import accelerated, chain, compile, offload"
    taken: dict[str, list[float]] = {"import accelchain.kfp": [], names: []}
    for _ in range(2 * turns):
        for statement, found in taken.items():
            program = f"import kfp, time\nbegan = time.perf_counter()\n{statement}\nprint(time.perf_counter() - began)"
            done = subprocess.run(
                [sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60, capture_output=True, text=True
            )
            found.append(float(done.stdout) * 1e3)
    plain, whole = taken.values()
    return {
        "beyond_ms": round(statistics.median(plain), 1),
        "beyond_least_ms": round(min(plain), 1),
        "all_names_beyond_ms": round(statistics.median(whole), 1),
        "all_names_beyond_least_ms": round(min(whole), 1),
    }


def launcher(data: Path, turns: int) -> Document:
    """Part e."""
    del data
    if not sandbox.is_possible():
        raise SystemExit(
            "part e needs mount namespaces: run it as root, or where users may have namespaces of their own."
        )
    taken = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, fused = texts(three_functions, folder)
        (folder / "store").mkdir()
        with Cluster(folder / "cluster") as cluster, serve(folder / "store", "mlpipeline") as store:
            cluster.configure_store(store)
            root = "s3://mlpipeline/v2"
            backend = Backend(folder / "pods", root, store=store, cluster=cluster, shared=(folder,))
            for _ in range(turns + 1):
                before = {flow["metadata"]["uid"] for flow in cluster.objects(FLOWS)}
                run = backend.start(fused, video=f"file://{CLIP}", frames=1)
                while {flow["metadata"]["uid"] for flow in cluster.objects(FLOWS)} <= before:
                    time.sleep(0.002)
                    if run.failures:
                        raise SystemExit("\n".join(run.failures))
                taken.append(time.monotonic() - run.pods[0].started)
                run.wait()
    return {"seconds": round(statistics.median(taken[1:]), 3), "least": round(min(taken), 3)}


PARTS: dict[str, Callable[[Path, int], Document]] = {"a": pods, "b": chains, "c": passes, "d": imports, "e": launcher}


def rows(document: Document) -> Iterator[Row]:
    """Yield the table's lines."""
    for name, found in document.get("a", {}).items():
        what = f"pods, {name.replace('_', ' ')}: {found['before']} before, after"
        yield Row(what, found["after"], "", most=GOALS[f"{name}_after"])
        yield Row("the same, worker pods besides", found["workers"], "")
    if "b" in document:
        found = document["b"]
        yield Row("three functions, separate steps against fused, end to end", found["ratio"], "x")
        for way in ("steps", "fused"):
            for part, value in found[way].items():
                yield Row(f"the same, {way}: {part.replace('_', ' ')}", value, "s")
        what = "hand-over of a frame of 1920x1080, file against edge of one device"
        yield Row(what, found["hand_over_ratio"], "x", GOALS["hand_over"])
        yield Row("the same, from the decoder to a device", found["hand_over_from_decoder_ratio"], "x")
    if "c" in document:
        found = document["c"]
        yield Row(f"the pass on {found['files']} IR files, slowest", found["slowest_ms"], "ms", most=GOALS["pass_ms"])
        yield Row("the same, files changed", len(found["changed"]), "", most=0)
    if "d" in document:
        found = document["d"]["beyond_ms"]
        yield Row("import of accelchain.kfp beyond kfp", found, "ms", most=GOALS["import_ms"])
        yield Row("the same, all names used", document["d"]["all_names_beyond_ms"], "ms")
    if "e" in document:
        what = "launcher, start of the container to DataFlow created"
        yield Row(what, document["e"]["seconds"], "s", most=GOALS["launcher_seconds"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="all where absent")
    parser.add_argument("--turns", type=int, default=5)
    folders = (ROOT / "shared/data", ROOT.parent / "shared/data")
    there = next((folder for folder in folders if folder.exists()), folders[0])
    parser.add_argument("--data", type=Path, default=there, help="folder with kfp-ir/ and two-cameras.kfp.yaml")
    arguments = parser.parse_args()
    facts = where()
    document: Document = {}
    for part in arguments.part or list(PARTS):
        print(f"{part} …", file=sys.stderr, flush=True)
        document[part] = PARTS[part](arguments.data, arguments.turns)
    found = list(rows(document))
    text = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    print(f"{text}\n\n{table(found)}", file=sys.stderr)
    print(json.dumps({"where": facts, **document, "goals": GOALS}, indent=2))
    sys.exit(1 if any(row.reached is False for row in found) else 0)


if __name__ == "__main__":
    main()
