# SPDX-License-Identifier: Apache-2.0
"""What benchmarks of the whole chain share: the demo's DataFlow, its plan as the operators write it, a longer clip."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import yaml

from accelchain.api import ComputeResource, DataFlow, FunctionChain, FunctionType
from accelchain.chain.resolve import resolve_flow
from accelchain_operators.node.agent import look
from accelchain_operators.reconcile.plan_document import AttemptTerms, build_plan
from accelchain_operators.reconcile.worker_options import LaptopOptions
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_runtime.registry import find

FLOW = Path(__file__).parents[1] / "pipelines/person-detection/dataflow.yaml"
CLIP = FLOW.with_name("people.mp4")
NODE = "bench"


def command(*arguments: str) -> list[str]:
    """``accelchain ARGUMENTS`` in this interpreter."""
    return [sys.executable, "-P", "-m", "accelchain.cli.main", *arguments]


def outputs(folder: Path) -> dict[str, str]:
    """The demo's outputs, in a folder."""
    return {"annotated": str(folder / "annotated.mp4"), "detections": str(folder / "detections.jsonl")}


def run_command(clip: Path, folder: Path, *arguments: str) -> list[str]:
    """``accelchain run`` of the demo, from one clip into one folder."""
    pairs = [f"--output={name}={path}" for name, path in outputs(folder).items()]
    return command("run", str(FLOW), f"--input=video={clip}", *pairs, *arguments)


def repeat(clip: Path, times: int, target: Path) -> Path:
    """Write a clip ``times`` times in a row, without encoding it again."""
    with av.open(str(target), "w") as written:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(clip)) as read:
                source = read.streams.video[0]
                stream = stream or written.add_stream_from_template(source)
                assert source.time_base is not None and source.average_rate is not None
                frame = int(1 / (source.average_rate * Fraction(source.time_base)))
                end = offset
                for packet in read.demux(source):
                    if packet.dts is None:  # the end
                        continue
                    packet.stream = stream
                    packet.dts += offset
                    packet.pts += offset
                    end = max(end, packet.pts + frame)
                    written.mux(packet)
                offset = end
    return target


def resources(clip: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the demo's FunctionChain and DataFlow as objects of namespace default."""
    chain, flow = yaml.safe_load_all(FLOW.read_text(encoding="utf-8"))
    assert (chain["kind"], flow["kind"]) == ("FunctionChain", "DataFlow")
    flow["spec"]["inputs"] = {"video": {"uri": clip.as_uri()}}
    flow["spec"]["outputs"] = {name: {"uri": Path(path).as_uri()} for name, path in outputs(folder).items()}
    for obj in (chain, flow):
        obj["metadata"]["namespace"] = "default"
    return chain, flow


def write_plan(clip: Path, folder: Path) -> Path:
    """Validate and place the demo's flow on this machine, and write its plan, all by the operators' own functions."""
    chain_object, flow_object = resources(clip, folder)
    flow, chain = DataFlow.parse(flow_object), FunctionChain.parse(chain_object)
    resolved = resolve_flow(
        flow,
        chains={chain.metadata.name: chain},
        types=[FunctionType.parse(found.manifest) for found in find()],
        connection_types={},
        strategies={},
    )
    resource = ComputeResource.parse(asyncio.run(look(NODE)))
    (decision,) = place([Request("default/demo", resolved)], Inventory.of([resource], []))
    if not decision.placement:
        raise SystemExit(f"this machine can't run the demo: {decision.message}")
    plan = build_plan(flow, resolved, decision.placement, [resource], LaptopOptions(), AttemptTerms())
    plan["tokenSha256"] = ""  # the status server is open on loopback
    plan["fenced"] = False  # nobody is there to grant publication
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    return file


def output_of(argv: list[str], deadline: float, *, last_line: bool = False) -> dict[str, Any]:
    """Run a program that prints one JSON document (as its last line); its last words are shown if it fails."""
    result = subprocess.run(argv, capture_output=True, text=True, timeout=deadline, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1] if last_line else result.stdout)
    return document
