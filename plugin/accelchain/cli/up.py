# SPDX-License-Identifier: Apache-2.0
"""``accelchain up``: a cluster on this machine that stays until it is told to go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from accelchain.cli.connect import run_async
from accelchain.cli.diagnostics import log_lines
from accelchain.cli.state import held, kubeconfig_path, log_path, state_folder
from accelchain.cli.terminal import out, tell

if TYPE_CHECKING:
    from accelchain.cli.local import LocalCluster


@click.command()
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Workers that are kept warm.")
@click.option("-v", "--verbose", is_flag=True, help="Log to stderr; else to up.log beside the kubeconfig.")
@run_async
async def up(functions: tuple[str, ...], workers: int, verbose: bool) -> None:
    """Start the embedded Kubernetes API, the operators, a kubelet and the node agent; stop with Ctrl-C.

    The one line on stdout is the path of a kubeconfig; kubectl and every Kubernetes client work with it.
    """
    from accelchain.cli.local import LocalCluster  # kopf and the API: help and refusals don't need them

    folder = state_folder()
    kubeconfig = kubeconfig_path(folder)
    with held(folder) as state, log_lines(verbose=verbose, file=log_path(folder)):
        async with LocalCluster(functions, folder, pool_size=workers, refill_seconds=1.0) as cluster:
            cluster.api.write_kubeconfig(kubeconfig)
            state.tell(cluster.api.url)
            out(str(kubeconfig))
            tell(f"accelchain is up: export KUBECONFIG={kubeconfig}; stop with Ctrl-C")
            await _until_told(cluster)
            tell("stopping …")


async def _until_told(cluster: LocalCluster) -> None:
    """Return when a signal asks for the end: an ``up`` is meant to end so."""
    try:
        await cluster.until_broken()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
