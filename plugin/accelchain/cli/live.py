# SPDX-License-Identifier: Apache-2.0
"""``accelchain live``: a running flow's figures and video in a browser, wherever it runs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from accelchain.cli.connect import Target, cluster_command
from accelchain.cli.errors import RunFailed
from accelchain.cli.live_proxy import LiveProxy
from accelchain.cli.terminal import out, tell
from accelchain.cli.watching import list_and_watch
from accelchain_operators.kube.client import KubeClient
from accelchain_operators.kube.kinds import DATA_FLOW

_OVER = ("Succeeded", "Failed", "Refused", "Planned")


@click.command()
@click.argument("name")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on this machine; a free one where absent.")
@cluster_command
async def live(name: str, port: int, target: Target) -> None:
    """Print an address for a browser on this machine: figures and live video of a running DataFlow, until it ends."""
    async with target.connected() as client:
        flow = await client.get(DATA_FLOW, name, target.namespace)
        async with LiveProxy(client, target.connection, target.namespace, name, port) as proxy:
            following = asyncio.create_task(_follow(client, target.namespace, flow["metadata"]["uid"], name, proxy))
            ready = asyncio.create_task(proxy.ready.wait())
            try:
                await asyncio.wait((following, ready), return_when=asyncio.FIRST_COMPLETED)
                if proxy.ready.is_set():
                    out(proxy.url)
                    tell("open it in a browser; Ctrl-C ends it")
                phase = await following
            finally:
                for task in (following, ready):
                    task.cancel()
                await asyncio.gather(following, ready, return_exceptions=True)
    if not proxy.ready.is_set():
        raise RunFailed(f"DataFlow {name} is over ({phase}); only a running one can be watched.")
    tell(f"{name} has ended: {phase}")


async def _follow(client: KubeClient, namespace: str, uid: str, name: str, proxy: LiveProxy) -> str:
    """Tell the proxy of the flow's worker until the flow is over; return how it ended."""
    waits = True
    async with aclosing(
        list_and_watch(client, DATA_FLOW, namespace, field_selector=f"metadata.name={name}", patience=60.0)
    ) as events:
        async for event in events:
            if event.object["metadata"]["uid"] != uid:
                continue
            status = event.object.get("status") or {}
            if event.type == "DELETED":
                return "deleted"
            if status.get("phase") in _OVER:
                return str(status["phase"])
            worker = next((w for w in status.get("workers", ()) if w.get("address")), None)
            proxy.worker(worker)
            if worker is None and waits:
                waits = False
                tell(f"{name} has no worker yet; waiting …")
    raise AssertionError("a watch does not end by itself")
