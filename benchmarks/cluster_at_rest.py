# SPDX-License-Identifier: Apache-2.0
"""Writes to a real API while flows run and nothing happens, for cluster.py.

The audit log counts them. Leases are left out by their kind. What is progress, the log does not say: a watch does, as
an event that changed nothing but a flow's figures; both begin and end in a moment in which nobody writes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from realkube.cluster import Cluster
from realkube.team import VOLUME

from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import DATA_FLOW

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
PROGRESS = ("progress", "edges", "warnings")
"""Fields of a DataFlow's status that are written every ten seconds while it runs."""
SETTLE_SECONDS = 15.0
"""After the last flow began: the first figures of all are written."""
QUIET_SECONDS = 0.3
SECONDS_A_FRAME = 5


def slow_clip(path: Path, seconds: float) -> Path:
    """Write a video with a picture every five seconds: in mode Stream it lasts that long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, SECONDS_A_FRAME))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
        for _ in range(round(seconds / SECONDS_A_FRAME)):
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def slow_flow(name: str, source: str = "file:///data/slow.mp4", sink: str = "") -> dict[str, Any]:
    """A flow of mode Stream that copies the slow clip; its files are a team's unless told otherwise."""
    functions = [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": source}},
        {"name": "copy", "type": "copy"},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": sink or f"file:///data/{name}.mp4"}},
    ]
    edges = [("decode.frames", "copy.frames"), ("copy.frames", "encode.frames")]
    chain = {"functions": functions, "connections": [{"from": one, "to": other} for one, other in edges]}
    volumes = {} if sink else {"volumes": [VOLUME]}
    return {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "DataFlow",
        "metadata": {"name": name},
        "spec": {"chain": chain, "mode": "Stream", **volumes},
    }


async def at_rest(cluster: Cluster, client: HttpClient, namespace: str, seconds: float) -> dict[str, Any]:
    """Count for so many seconds."""
    await asyncio.sleep(SETTLE_SECONDS)
    events: list[tuple[str, list[str]]] = []
    objects, version = await client.list(DATA_FLOW, namespace)
    watching = asyncio.create_task(_watch(client, namespace, objects, version, events))
    try:
        began = await _quiet(cluster)
        seen, start = len(events), time.monotonic()
        await asyncio.sleep(seconds)
        ended = await _quiet(cluster)
        lasted = time.monotonic() - start
        told = events[seen:]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    requests = list(cluster.audit())[began:ended]
    writes = [request for request in requests if request.verb in WRITES]
    lasting = [request for request in writes if request.resource != "leases"]
    progress = [name for name, changed in told if changed and set(changed) <= set(PROGRESS)]
    return {
        "seconds": round(lasted, 1),
        "writes": len(lasting) - len(progress),
        "progress_writes": len(progress),
        "lease_writes": len(writes) - len(lasting),
        "who": dict(Counter(f"{r.user}: {r.verb} {r.resource} {r.subresource}".strip() for r in writes).most_common()),
        "other_changes": [
            f"{name}: {', '.join(changed)}" for name, changed in told if not set(changed) <= set(PROGRESS)
        ],
    }


async def _quiet(cluster: Cluster) -> int:
    """Wait for a moment in which nobody writes, and return how long the audit log is then."""
    while True:
        requests = list(cluster.audit())
        await asyncio.sleep(QUIET_SECONDS)
        later = list(cluster.audit())
        if not any(request.verb in WRITES for request in later[len(requests) :]):
            return len(later)


async def _watch(
    client: HttpClient,
    namespace: str,
    objects: list[dict[str, Any]],
    version: str,
    events: list[tuple[str, list[str]]],
) -> None:
    """Note of every event which fields of the status it changed; other fields by their names."""
    known = {obj["metadata"]["name"]: obj for obj in objects}
    async for event in client.watch(DATA_FLOW, namespace, resource_version=version):
        if event.type != "BOOKMARK":
            name = event.object["metadata"]["name"]
            events.append((name, _changed(known.get(name, {}), event.object)))
            known[name] = event.object


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, after = old.get("status", {}), new.get("status", {})
    fields = [field for field in {**before, **after} if before.get(field) != after.get(field)]
    return fields + (["spec"] if old.get("spec") != new.get("spec") else [])
