# SPDX-License-Identifier: Apache-2.0
"""The workflows that argo.py measures: a chain of four functions as one step, as four steps and as four pods."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
from realkube.argo_team import dag, step, task, workflow
from realkube.team import VOLUME

Flow = dict[str, Any]

FUNCTIONS = ("decode", "first", "second", "encode")
"""Two copy functions between a source and a sink."""
PLAIN_FUNCTIONS = ("paint", "first", "second", "tally")
"""The same with ends that cost as little (benchmarks/argo_functions)."""
PLAIN_TYPES = {"paint": "paint", "first": "copy", "second": "copy", "tally": "tally"}
TYPES = {"decode": "decode-video", "first": "copy", "second": "copy", "encode": "encode-video"}
WORKER = "localhost/own-worker:1"
STEP = ["python", "-m", "accelchain_runtime.step"]
QUALITY = 10


def clip(path: Path, width: int, height: int, frames: int) -> Path:
    """Write a video of plain pictures, which costs next to nothing to decode and encode."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.full((height, width, 3), index * 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def flow(*names: str, source: str = "", sink: str = "", **spec: Any) -> Flow:
    """Return the spec of a flow of some of the four functions; without addresses they come from artifacts.

    A source and a sink are added where they are missing: a DataFlow has them at its ends.
    """
    inner = [name for name in names if name not in ("decode", "encode")]
    chosen = ["decode", *inner, "encode"]
    functions: list[Flow] = [{"name": name, "type": TYPES[name]} for name in chosen]
    functions[0]["parameters"] = {"uri": "$(inputs.video.uri)"}
    functions[-1]["parameters"] = {"uri": "$(outputs.film.uri)", "quality": QUALITY}
    edges = [{"from": f"{one}.frames", "to": f"{other}.frames"} for one, other in itertools.pairwise(chosen)]
    chain = {"inputs": [{"name": "video"}], "outputs": [{"name": "film"}], "functions": functions, "connections": edges}
    made: Flow = {"chain": chain, "volumes": [VOLUME], **spec}
    if source:
        made["inputs"] = {"video": {"uri": f"file:///data/{source}"}}
    if sink:
        made["outputs"] = {"film": {"uri": f"file:///data/{sink}"}}
    return made


def one_step(source: str, sink: str) -> Flow:
    """Return the whole chain as one step, files on the team's volume."""
    return workflow("fused", dag("main", task("chain")), step("chain", flow(*FUNCTIONS, source=source, sink=sink)))


def four_steps(source: str, sink: str) -> Flow:
    """Return a step a function; each hands a film to the next one."""
    tasks, templates, before = [], [], source
    for index, name in enumerate(FUNCTIONS):
        after = sink if index == len(FUNCTIONS) - 1 else f"{name}-{sink}"
        templates.append(step(name, flow(name, source=before, sink=after)))
        tasks.append(task(name, [FUNCTIONS[index - 1]] if index else []))
        before = after
    return workflow("four", dag("main", *tasks), *templates)


def _s3(name: str, key: str, path: str) -> Flow:
    return {"name": name, "path": path, "s3": {"key": key}, "archive": {"none": {}}}


def one_step_on_s3(frames: int, sink: str) -> Flow:
    """Return a chain of four functions that cost next to nothing as one step; its result is an object."""
    functions: list[Flow] = [{"name": name, "type": PLAIN_TYPES[name]} for name in PLAIN_FUNCTIONS]
    functions[0]["parameters"] = {"frames": frames}
    functions[-1]["parameters"] = {"uri": "$(outputs.sums.uri)"}
    pairs = itertools.pairwise(PLAIN_FUNCTIONS)
    edges = [{"from": f"{one}.frames", "to": f"{other}.frames"} for one, other in pairs]
    ours = step("chain", {"chain": {"outputs": [{"name": "sums"}], "functions": functions, "connections": edges}})
    ours["outputs"] = {"artifacts": [_s3("sums", sink, "/out")]}
    return workflow("fused", dag("main", task("chain")), ours)


def four_pods(frames: int, sink: str) -> Flow:
    """Return a pod a function, each the same function in the same image; frames go by Argo's artifacts.

    The pods stay when the workflow has ended: their logs tell what the artifacts cost.
    """
    sums, frames_in, frames_out = "/tmp/sums.json", "/tmp/in.frames", "/tmp/out.frames"
    given = ["--input", f"frames={frames_in}"]
    made = ["--output", f"frames={frames_out}"]
    commands = {
        "paint": ["paint", "--frames", str(frames), *made],
        "first": ["copy", *given, *made],
        "second": ["copy", *given, *made],
        "tally": ["tally", "--uri", sums, *given],
    }
    templates, tasks = [], []
    for index, name in enumerate(PLAIN_FUNCTIONS):
        fetched = {"name": "frames", "path": frames_in}
        handed = {"name": "frames", "path": frames_out, "archive": {"none": {}}}
        templates.append(
            {
                "name": name,
                "container": {
                    "image": WORKER,
                    "command": STEP,
                    "args": commands[name],
                    "env": [{"name": "ACCELCHAIN_CACHE", "value": "/tmp/cache"}],
                    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                },
                "inputs": {"artifacts": [fetched] if index else []},
                "outputs": {"artifacts": [_s3("sums", sink, sums) if name == "tally" else handed]},
            }
        )
        before = PLAIN_FUNCTIONS[index - 1]
        origin = {"name": "frames", "from": f"{{{{tasks.{before}.outputs.artifacts.frames}}}}"}
        tasks.append(task(name, [before], arguments={"artifacts": [origin]}) if index else task(name))
    return workflow("pods", dag("main", *tasks), *templates, podGC={"strategy": ""})


def many_steps(count: int, source: str) -> Flow:
    """Return a loop of so many steps, each a DataFlow of its own."""
    ours = step("copy", flow("first", source=source, sink="{{inputs.parameters.film}}.mp4"), {"frames": "frames"})
    ours["inputs"] = {"parameters": [{"name": "film"}]}
    each = task("copies", template="copy", withSequence={"count": str(count)}, parameters={"film": "f{{item}}"})
    return workflow("many", dag("main", each), ours)
