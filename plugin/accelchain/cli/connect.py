# SPDX-License-Identifier: Apache-2.0
"""Finds the Kubernetes API that a command talks to."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click

from accelchain.cli.errors import Refused, RunFailed
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import ConfigError
from accelchain_operators.kube.http_client import HttpClient

F = TypeVar("F", bound=Callable[..., Any])


def state_folder() -> Path:
    """Return the folder that ``accelchain up`` keeps its kubeconfig in."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "accelchain"


def cluster_options(command: F) -> F:
    """Give a command the options that choose a cluster and a namespace."""
    for option in (
        click.option("-n", "--namespace", default="default", show_default=True, help="Namespace to work in."),
        click.option("--context", help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster to talk to."),
    ):
        command = option(command)
    return command


def kubeconfig_of(kubeconfig: str | None, context: str | None) -> Path:
    """Return the kubeconfig to use: the one named, the user's for a context, else that of a running ``accelchain up``.

    Raises:
        Refused: there is none.
    """
    if kubeconfig or context:
        path = Path(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config").expanduser()
        if not path.is_file():
            raise Refused(f"{path}: there is no such kubeconfig; name one with --kubeconfig.")
        return path
    path = state_folder() / "kubeconfig"
    if not path.is_file():
        raise Refused("no cluster: start one with accelchain up, or name one with --kubeconfig or --context.")
    return path


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None) -> AsyncIterator[KubeClient]:
    """Yield a client for the cluster that the options choose."""
    path = kubeconfig_of(kubeconfig, context)
    try:
        client = HttpClient.from_kubeconfig(path, context)
    except ConfigError as error:
        raise Refused(str(error)) from None
    try:
        yield client
    finally:
        await client.close()


def run_async(command: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Make a click command of a coroutine function; API errors become one sentence."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            return await command(*args, **kwargs)

        try:
            return asyncio.run(main())
        except ApiError as error:
            if error.code in (400, 404, 422):
                raise Refused(error.message) from None
            raise RunFailed(f"the cluster answered: {error.message}") from None
        except aiohttp.ClientConnectionError as error:
            raise RunFailed(f"no connection to the cluster ({error}); is accelchain up running?") from None

    return wrapper
