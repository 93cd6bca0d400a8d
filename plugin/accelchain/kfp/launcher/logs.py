# SPDX-License-Identifier: Apache-2.0
"""The logs of a flow's workers, in the task's own: each line with the name of its pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from accelchain.cli.watching import list_and_watch, owned_by
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import POD
from accelchain_operators.reconcile.names import FLOW_LABEL, label_value

JsonObject = dict[str, Any]

_TRIES = 3
_LAST_LINES = 3.0
"""Seconds that the rest of a log may take when the flow has ended."""


@asynccontextmanager
async def followed(client: KubeClient, flow: JsonObject, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Print the workers' logs meanwhile, and what is left of them at the end; nothing of it is worth failing for."""
    task = asyncio.create_task(_follow(client, flow, say))
    try:
        yield
        await asyncio.sleep(0)
        await asyncio.wait([task], timeout=0.2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(client: KubeClient, flow: JsonObject, say: Callable[[str], None]) -> None:
    meta = flow["metadata"]
    readers: dict[str, asyncio.Task[None]] = {}
    try:
        async for event in list_and_watch(
            client, POD, meta["namespace"], label_selector=f"{FLOW_LABEL}={label_value(meta['name'])}", patience=60.0
        ):
            pod = event.object
            name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
            if name not in readers and phase not in (None, "", "Pending") and owned_by(pod, meta["uid"]):
                readers[name] = asyncio.create_task(_read(client, name, meta["namespace"], say))
    except ApiError as error:
        say(f"workers' logs are not shown: {error.message}")
    finally:
        if readers:
            await asyncio.wait(readers.values(), timeout=_LAST_LINES)
        for reader in readers.values():
            reader.cancel()
        await asyncio.gather(*readers.values(), return_exceptions=True)


async def _read(client: KubeClient, pod: str, namespace: str, say: Callable[[str], None]) -> None:
    printed = 0
    for _ in range(_TRIES):
        try:
            number = 0
            async for line in client.logs(pod, namespace, container="worker", follow=True):
                number += 1
                if number > printed:  # a stream that was cut is read anew from its begin
                    printed = number
                    say(f"[{pod}] {line}")
            return
        except ApiError:
            await asyncio.sleep(0.5)
