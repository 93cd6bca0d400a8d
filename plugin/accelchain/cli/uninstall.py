# SPDX-License-Identifier: Apache-2.0
"""``accelchain uninstall``: the last step of ``helm uninstall``, run by the chart's post-delete hook."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import click

from accelchain.cli.api_errors import explain
from accelchain.cli.container import find_connection, home_namespace
from accelchain.cli.errors import RunFailed
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.leftovers import remove


@click.command()
@click.option("--release", required=True, help="Name of the release that was uninstalled.")
@click.option("-n", "--namespace", help="Where operators and agents were; POD_NAMESPACE, else the context's.")
@click.option("--timeout", type=click.IntRange(1), default=60, show_default=True, help="Seconds.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig; in a pod its own rights.")
@click.option("--context", help="Context of the kubeconfig.")
def uninstall(release: str, namespace: str | None, timeout: int, kubeconfig: Path | None, context: str | None) -> None:
    """Remove what an uninstalled release leaves in its cluster.

    These are the FunctionTypes that it installed, the node agents' ComputeResources, and the Leases. What users made
    stays: DataFlows, FunctionChains, types of their own. So do the CRDs. Operators and agents must have ended: they
    would make theirs anew.
    """
    connection = find_connection(kubeconfig, context)
    try:
        asyncio.run(_remove(connection, release, namespace or home_namespace(connection), timeout))
    except ApiError as error:
        raise explain(error, connection) from None
    except TimeoutError:
        raise RunFailed(f"not everything was removed within {timeout} s; say it again.") from None


async def _remove(connection: Connection, release: str, namespace: str, timeout: float) -> None:
    client = HttpClient(connection=connection)
    count = 0
    try:
        async with asyncio.timeout(timeout), aclosing(remove(client, release, namespace)) as removals:
            async for removal in removals:
                count += 1
                held = f", and waits for finalizers of others: {', '.join(removal.held_by)}" if removal.held_by else ""
                click.echo(f"{removal.what} deleted{held}")
    finally:
        await client.close()
    click.echo(f"{count} objects of release {release} deleted; DataFlows and what else users made stay.")
