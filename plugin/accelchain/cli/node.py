# SPDX-License-Identifier: Apache-2.0
"""``accelchain node``: the node agent as a container runs it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import click

from accelchain.cli.container import container_options, find_connection, home_namespace, run_until_signalled
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.serve import Address
from accelchain_operators.node.life import Place, run_node


@click.command()
@click.option(
    "--node-name",
    envvar="NODE_NAME",
    default=lambda: socket.gethostname().lower(),
    show_default="NODE_NAME, else this host's name",
    help="The node whose devices are published.",
)
@container_options
def node(
    node_name: str,
    health: Address | None,
    metrics: Address | None,
    log_format: str,
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Publish this node's devices and its heartbeat, until SIGTERM; what was published stays."""
    connection = find_connection(kubeconfig, context)
    place = Place(node_name, home_namespace(connection), health, metrics)

    def work(stop: threading.Event) -> None:
        run_node(lambda: HttpClient(connection=connection), stop, place)

    return run_until_signalled("node", log_format, work)
