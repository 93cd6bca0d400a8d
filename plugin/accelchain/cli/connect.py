# SPDX-License-Identifier: Apache-2.0
"""Finds the Kubernetes API that a command talks to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click

from accelchain.api import API_VERSION
from accelchain.cli.api_errors import NOT_INSTALLED, explain
from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.interrupt import interruptible
from accelchain.cli.state import kubeconfig_path, state_folder, up_runs, up_url
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kubeconfig import user_kubeconfigs
from accelchain_operators.kube.user_session import discover

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, and the namespace to work in."""

    connection: Connection
    namespace: str
    """The one wanted, else the context's."""
    laptop: bool
    """It is the one of ``accelchain up`` on this machine: its workers see this machine's files."""

    @classmethod
    def find(cls, kubeconfig: str | None, context: str | None, namespace: str | None = None) -> Target:
        """Return the cluster that the options choose: the one of a running ``accelchain up`` where they name none.

        May run a login program: do it outside of an event loop, so that Ctrl-C ends it.

        Raises:
            Refused: there is no such kubeconfig or context, or it can't be used.
        """
        try:
            connection = Connection.from_kubeconfig(_kubeconfigs(kubeconfig, context), context)
            connection.ssl_context()
            connection.current_token()
        except ConfigError as error:
            raise Refused(_sentence(error)) from None
        return cls(connection, namespace or connection.namespace, up_url(state_folder()) == connection.server)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[HttpClient]:
        """Yield a client.

        Raises:
            Refused: accelchain is not installed there.
            ApiError: the API can't be reached, or does not let us in.
        """
        if not await discover(self.connection, API_VERSION):
            raise Refused(NOT_INSTALLED)
        client = HttpClient(connection=self.connection)
        try:
            yield client
        finally:
            await client.close()


def cluster_command(command: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Give a command the options that choose a cluster; the coroutine function gets it as ``target``."""

    @click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster to talk to.")
    @click.option("--context", help="Context of the kubeconfig.")
    @click.option("-n", "--namespace", help="Namespace to work in; the context's where absent.")
    @functools.wraps(command)
    def wrapper(*args: Any, kubeconfig: str | None, context: str | None, namespace: str | None, **options: Any) -> Any:
        target = Target.find(kubeconfig, context, namespace)
        return run_in(target, command(*args, target=target, **options))

    return wrapper


def run_in(target: Target | None, work: Coroutine[Any, Any, Any]) -> Any:
    """Await work that talks to a cluster: interruptible, and what goes wrong becomes one sentence.

    Raises:
        Refused: something must be put right before.
        RunFailed: the cluster does not work.
    """
    try:
        return asyncio.run(interruptible(work))
    except ApiError as error:
        raise explain(error, target.connection if target else None) from None
    except ConfigError as error:  # a token that was there vanished
        raise Refused(_sentence(error)) from None
    except aiohttp.ClientError as error:
        raise RunFailed(f"no connection to the cluster ({error}); is it running?") from None


def run_async(command: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Make a click command of a coroutine function that chooses its cluster by itself; see ``run_in``."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return run_in(None, command(*args, **kwargs))

    return wrapper


def _kubeconfigs(kubeconfig: str | None, context: str | None) -> list[Path]:
    if kubeconfig:
        return [Path(kubeconfig).expanduser()]
    if context:
        return user_kubeconfigs()
    folder = state_folder()
    path = kubeconfig_path(folder)
    if not path.is_file() or not up_runs(folder):
        raise Refused("no cluster: start one with accelchain up, or name one with --kubeconfig or --context.")
    return [path]


def _sentence(error: ConfigError) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."
