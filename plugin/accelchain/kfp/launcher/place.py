# SPDX-License-Identifier: Apache-2.0
"""Where a launcher's flow runs: in the cluster of its pod, in one that is named, or on this machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelchain.cli.state import kubeconfig_path, state_folder, up_runs
from accelchain.kfp.launcher.addresses import STORE_CONFIG
from accelchain.kfp.launcher.answers import explained, patient
from accelchain.kfp.launcher.errors import LaunchError
from accelchain.kfp.launcher.identity import Identity, of_files, of_pod
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import CONFIG_MAP, POD

JsonObject = dict[str, Any]
T = TypeVar("T")

_SERVICE = "KUBERNETES_SERVICE_HOST"
_POD = "KFP_POD_NAME"


@dataclass(frozen=True, slots=True)
class Place:
    """An API, and who we are there."""

    client: KubeClient
    namespace: str
    identity: Identity
    local: bool
    """Workers see this machine's files as we do."""
    passing: bool
    """The cluster ends with this process, and all that is in it."""
    cluster: Any = None

    async def while_whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that needs the cluster."""
        if self.cluster is None:
            return await work
        done: T = await self.cluster.while_whole(work)
        return done


@asynccontextmanager
async def place(
    output_file: str, kubeconfig: str | None, context: str | None, namespace: str | None, say: Callable[[str], None]
) -> AsyncIterator[Place]:
    """Yield where the flow is to run.

    Args:
        output_file: KFP's, which names the task where there is no pod.
        kubeconfig: of a cluster that is named; None: none is.
        context: of the kubeconfig.
        namespace: for the flow; the pod's own, or the context's, where None.
        say: told what is waited for.

    Raises:
        LaunchError: there is a cluster and it can't be used.
    """
    if kubeconfig or context:
        paths = [Path(kubeconfig)] if kubeconfig else [Path.home() / ".kube" / "config"]
        async with _connected(lambda: Connection.from_kubeconfig(paths, context)) as (client, connection):
            yield Place(client, namespace or connection.namespace, of_files(output_file), False, False)
    elif os.environ.get(_SERVICE):
        async with _connected(Connection.in_cluster) as (client, connection):
            own = namespace or connection.namespace
            yield Place(client, own, await _identity(client, own, output_file, say), False, False)
    elif up_runs(state_folder()) and kubeconfig_path(state_folder()).is_file():
        path = kubeconfig_path(state_folder())
        async with _connected(lambda: Connection.from_kubeconfig(path)) as (client, _):
            yield Place(client, namespace or "default", of_files(output_file), True, False)
    else:
        from accelchain.cli.local import LocalCluster  # the embedded API, kopf: a real cluster needs none of it

        async with LocalCluster(namespace=namespace or "default") as cluster:
            yield Place(cluster.client, namespace or "default", of_files(output_file), True, True, cluster)


async def store_config(here: Place, say: Callable[[str], None]) -> JsonObject | None:
    """Return the data of the ConfigMap that names the object store; None where there is none, or it may not be read.

    Raises:
        ApiError: the API does not answer.
    """
    try:
        found = await patient(lambda: here.client.get(CONFIG_MAP, STORE_CONFIG, here.namespace), say)
    except ApiError as error:
        if error.code not in (403, 404):
            raise
        return None
    return found.get("data") or {}


@asynccontextmanager
async def _connected(open_: Any) -> AsyncIterator[tuple[HttpClient, Connection]]:
    try:
        connection: Connection = open_()
        connection.ssl_context()
    except ConfigError as error:
        raise LaunchError(f"the cluster can't be used: {str(error).rstrip('.')}.") from None
    client = HttpClient(connection=connection)
    try:
        yield client, connection
    finally:
        await client.close()


async def _identity(client: KubeClient, namespace: str, output_file: str, say: Callable[[str], None]) -> Identity:
    """Return who we are by our own pod."""
    name = os.environ.get(_POD) or os.environ.get("HOSTNAME", "")
    try:
        return of_pod(await patient(lambda: client.get(POD, name, namespace), say))
    except ApiError as error:
        if error.code == 404:
            return of_files(output_file)
        raise explained(error, namespace) from None
