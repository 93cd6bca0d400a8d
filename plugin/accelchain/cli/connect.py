# SPDX-License-Identifier: Apache-2.0
"""Finds the Kubernetes API that a command talks to."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click

from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.interrupt import interruptible
from accelchain.cli.state import kubeconfig_path, state_folder, up_runs
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import ConfigError
from accelchain_operators.kube.http_client import HttpClient

F = TypeVar("F", bound=Callable[..., Any])
_REFUSALS = (400, 404, 409, 422)
"""Answers that blame what was asked for: the input is wrong."""


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
    folder = state_folder()
    path = kubeconfig_path(folder)
    if not path.is_file() or not up_runs(folder):
        raise Refused("no cluster: start one with accelchain up, or name one with --kubeconfig or --context.")
    return path


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None) -> AsyncIterator[KubeClient]:
    """Yield a client for the cluster that the options choose.

    Raises:
        Refused: there is no such kubeconfig, or it can't be used.
    """
    path = kubeconfig_of(kubeconfig, context)
    try:
        client = HttpClient.from_kubeconfig(path, context)
    except ConfigError as error:
        raise Refused(str(error)) from None
    try:
        yield client
    finally:
        await client.close()


def run_async(command: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Make a click command of a coroutine function: interruptible, and API errors become one sentence."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return asyncio.run(interruptible(command(*args, **kwargs)))
        except ApiError as error:
            if error.code in _REFUSALS:
                raise Refused(error.message) from None
            if error.code == 0:
                raise RunFailed(f"{error.message}; is the cluster running?") from None
            raise RunFailed(f"the cluster answered {error.code}: {error.message}") from None
        except aiohttp.ClientError as error:
            raise RunFailed(f"no connection to the cluster ({error}); is it running?") from None

    return wrapper
