# SPDX-License-Identifier: Apache-2.0
"""The way to a worker's status and live video: directly on a laptop, by port-forward in a cluster."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import SECRET
from accelchain_operators.kube.port_forward import PortForward

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Door:
    """Where a worker's status is read from this machine."""

    base: str
    """``http://127.0.0.1:port``."""
    token: str
    passing: bool
    """The address is a forwarded port, there for as long as the door is open."""


@asynccontextmanager
async def opened(
    client: KubeClient, connection: Connection | None, namespace: str, worker: JsonObject
) -> AsyncIterator[Door]:
    """Open the way to a worker.

    Args:
        client: the API that holds the worker's Secret.
        connection: what a port is forwarded through; None: workers are on this machine.
        namespace: of the flow.
        worker: an item of the DataFlow's ``status.workers``.

    Raises:
        ApiError: 403 where the user may not read the Secret or forward a port; 404 where the worker is gone.
    """
    secret = await client.get(SECRET, worker["secret"], namespace)
    try:
        token = base64.b64decode(secret["data"]["token"], validate=True).decode("ascii")
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
        raise ApiError(500, "", f"the Secret {worker['secret']} holds no token") from None
    host, _, port = str(worker["address"]).rpartition(":")
    if connection is None or _is_here(host):
        yield Door(f"http://{worker['address']}", token, passing=False)
        return
    async with PortForward(connection, worker["pod"], namespace, int(port)) as forward:
        yield Door(f"http://{forward.address}", token, passing=True)


def _is_here(host: str) -> bool:
    """Tell whether a pod's address is a loopback one: no cluster gives such, only localkube does."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
