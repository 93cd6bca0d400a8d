# SPDX-License-Identifier: Apache-2.0
"""``accelchain argo plugin``: the executor plugin as its container in Argo's agent pod runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accelchain.argo.executor.defaults import HOST, PORT, TOKEN_FILE
from accelchain.cli.errors import SUCCEEDED, Refused, RunFailed

if TYPE_CHECKING:
    from accelchain_operators.kube.connection import Connection


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where Argo's agent calls."
)
@click.option("--address", default=HOST, show_default=True, metavar="HOST", help="The agent is in the same pod.")
@click.option(
    "--token-file",
    # click's own check would hide what we say of a file that is not for this user
    type=click.Path(path_type=Path, readable=False),
    default=TOKEN_FILE,
    show_default=True,
    help="The token that callers must show; Argo's agent pod has it.",
)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig; in a pod its own rights.")
@click.option("--context", help="Context of the kubeconfig.")
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="JSON, one object a line, or text for people; on stdout.",
)
def plugin(
    port: int, address: str, token_file: Path, kubeconfig: Path | None, context: str | None, log_format: Any
) -> int:
    """Serve Argo's agent: the steps whose template says plugin.accelchain become DataFlows. Until SIGTERM."""
    # Within the command: its help needs no HTTP.
    from accelchain.argo.executor.run import Options, run
    from accelchain.argo.executor.token import Token, TokenError
    from accelchain_operators.kube.logs import log_to

    try:
        token = Token.read(token_file)
    except TokenError as error:
        raise Refused(f"{error}.") from None
    connection = _connection(kubeconfig, context)
    with log_to(sys.stdout, format=log_format):
        try:
            asyncio.run(run(Options(address, port), token, connection))
        except OSError as error:
            raise RunFailed(f"{address} port {port}: {error.strerror or error}; choose another --port.") from None
    return SUCCEEDED


def _connection(kubeconfig: Path | None, context: str | None) -> Connection:
    """Return the API of the pod's cluster, or of the kubeconfig that is named.

    Raises:
        Refused: there is none.
    """
    from accelchain_operators.kube.connection import ConfigError, Connection

    if kubeconfig is not None or context is not None or os.environ.get("KUBECONFIG"):
        # Not in a pod: there it would cost a third of the start.
        from accelchain.cli.container import find_connection

        return find_connection(kubeconfig, context)
    try:
        return Connection.in_cluster()
    except ConfigError as error:
        raise Refused(f"{error}; name a kubeconfig with --kubeconfig.") from None
