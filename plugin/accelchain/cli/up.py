# SPDX-License-Identifier: Apache-2.0
"""``accelchain up``: a cluster on this machine that stays until it is told to go."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from pathlib import Path

import click

from accelchain.cli.connect import run_async, state_folder
from accelchain.cli.errors import Refused


@click.command()
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Workers that are kept warm.")
@run_async
async def up(functions: tuple[str, ...], workers: int) -> int:
    """Start the embedded Kubernetes API, the operators, a kubelet and the node agent; stop with Ctrl-C.

    The first line on stdout is the path of a kubeconfig; kubectl and every Kubernetes client work with it.
    """
    from accelchain.cli.local import LocalCluster  # kopf and the API: help and refusals don't need them

    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    with _only_one(folder / "up.lock"):
        kubeconfig, facts = folder / "kubeconfig", folder / "up.json"
        try:
            async with LocalCluster(functions, folder, pool_size=workers, refill_seconds=1.0) as cluster:
                cluster.api.write_kubeconfig(kubeconfig)
                facts.write_text(json.dumps({"pid": os.getpid(), "url": cluster.api.url}))
                click.echo(str(kubeconfig))
                click.echo(f"accelchain is up: export KUBECONFIG={kubeconfig}; stop with Ctrl-C", err=True)
                await stopped.wait()
                click.echo("stopping …", err=True)
        finally:
            for path in (kubeconfig, facts):
                path.unlink(missing_ok=True)
    return 0


@contextlib.contextmanager
def _only_one(path: Path):  # type: ignore[no-untyped-def]
    """Hold the lock file.

    Raises:
        Refused: another ``up`` holds it.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"accelchain up runs already (see {path.parent / 'up.json'}); stop it first.") from None
        yield
