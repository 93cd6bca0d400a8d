# SPDX-License-Identifier: Apache-2.0
"""Sends a DataFlow to a Kubernetes API and follows it to its end, as any client could."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from accelchain_operators.kube.client import KubeClient
from accelchain_operators.kube.kinds import BY_KIND, DATA_FLOW, POD, SECRET

NAMESPACE = "default"
MANAGER = "accelchain-cli"
POLL_SECONDS = 0.02


@dataclass
class Moments:
    """Seconds since the first request was sent."""

    worker_known: float = 0.0
    """The DataFlow's status told where its worker is."""
    task: float = 0.0
    """The worker had its task."""
    first_frame: float = 0.0
    """Every sink had done a frame."""
    end: float = 0.0


async def send(client: KubeClient, objects: Sequence[dict[str, Any]], deadline: float) -> Moments:
    """Apply the objects, the DataFlow last, and wait until it has succeeded. Raises SystemExit if it does not."""
    began = time.monotonic()
    for obj in objects:
        await client.apply(BY_KIND[obj["apiVersion"], obj["kind"]], obj, field_manager=MANAGER)
    return await follow(client, objects[-1]["metadata"]["name"], NAMESPACE, began, deadline)


async def follow(client: KubeClient, name: str, namespace: str, began: float, deadline: float) -> Moments:
    """Wait until a DataFlow has succeeded; moments count from ``began``. Raises SystemExit if it does not."""
    moments = Moments()
    async with asyncio.timeout(deadline):
        figures = asyncio.create_task(_first_frame(client, name, namespace, moments, began))
        try:
            await _until_succeeded(client, name, namespace)
            moments.end = time.monotonic() - began
            await figures
        finally:
            figures.cancel()
    return moments


async def remove(client: KubeClient, name: str, deadline: float) -> None:
    """Delete a DataFlow and wait until its worker's pod is gone too."""
    await client.delete(DATA_FLOW, name, NAMESPACE, propagation="Background")
    async with asyncio.timeout(deadline):
        while (await client.list(POD, NAMESPACE))[0]:
            await asyncio.sleep(POLL_SECONDS)


async def _until_succeeded(client: KubeClient, name: str, namespace: str) -> None:
    while True:
        status = (await client.get(DATA_FLOW, name, namespace)).get("status", {})
        for condition in status.get("conditions", ()):
            if condition["type"] in ("Succeeded", "Failed") and condition["status"] == "True":
                if condition["type"] == "Failed":
                    raise SystemExit(f"the flow failed: {condition['message']}")
                return
        await asyncio.sleep(POLL_SECONDS)


async def _first_frame(client: KubeClient, name: str, namespace: str, moments: Moments, began: float) -> None:
    """Read the worker's status stream until it tells of a frame."""
    while not (workers := (await client.get(DATA_FLOW, name, namespace)).get("status", {}).get("workers")):
        await asyncio.sleep(POLL_SECONDS)
    moments.worker_known = time.monotonic() - began
    secret = await client.get(SECRET, workers[0]["secret"], namespace)
    headers = {"Authorization": f"Bearer {base64.b64decode(secret['data']['token']).decode()}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while not moments.first_frame:
            try:
                async with session.get(f"http://{workers[0]['address']}/stream") as stream:
                    async for line in stream.content:
                        document = json.loads(line)
                        if document["firstFrameSeconds"] is not None:
                            moments.task = time.monotonic() - began - document["seconds"]
                            moments.first_frame = moments.task + document["firstFrameSeconds"]
                            return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(POLL_SECONDS)  # the worker does not listen yet
