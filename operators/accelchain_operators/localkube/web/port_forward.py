# SPDX-License-Identifier: Apache-2.0
"""``GET .../pods/NAME/portforward``: TCP to a pod's port over a WebSocket (subprotocol ``v4.channel.k8s.io``).

Each port of the query has two channels, one for data (2·i) and one for errors (2·i + 1); the first byte of a message
names its channel, and the first message on each channel holds the port (two bytes, little endian).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiohttp import WSMsgType, web

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import StatusError, bad_request
from accelchain_operators.localkube.objects import lookup
from accelchain_operators.localkube.users import User
from accelchain_operators.localkube.web import authorization
from accelchain_operators.localkube.web.request_info import RequestInfo
from accelchain_operators.localkube.web.resource_handlers import find_endpoint

PROTOCOL = "v4.channel.k8s.io"
CONNECT_SECONDS = 5.0
_PIECE = 64 * 1024
_LARGEST = 4 * 1024 * 1024
"""Bytes of a message that we take."""


async def serve_port_forward(
    cluster: Cluster, request: web.Request, info: RequestInfo, user: User, stopping: asyncio.Event
) -> web.StreamResponse:
    """Forward until one side closes or the server stops. Raises StatusError before the upgrade."""
    # As Kubernetes does since 1.35: to open a stream into a pod is more than to read about it.
    authorization.check(cluster, user, replace(info, verb="create"))
    pod = cluster.get(find_endpoint(cluster, info), info.namespace, info.name)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required: this server forwards ports over WebSockets")
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if PROTOCOL not in [part.strip() for part in offered.split(",")]:
        raise bad_request(f"unable to upgrade: this server speaks {PROTOCOL}, not {offered or 'no protocol'}")
    ports = _ports(request)
    address = lookup(pod, "status", "podIP")
    if not address or lookup(pod, "status", "phase") != "Running":
        raise StatusError(500, "InternalError", f"unable to forward port because pod is not running: {info.name}")
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=_LARGEST)
    await socket.prepare(request)
    forward = _Forward(socket, address, ports)
    stop = asyncio.ensure_future(stopping.wait())
    work = asyncio.ensure_future(forward.run())
    try:
        await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        work.cancel()
        await asyncio.gather(stop, work, return_exceptions=True)
        await socket.close()
    return socket


def _ports(request: web.Request) -> list[int]:
    texts = [part for value in request.query.getall("ports", []) for part in value.split(",")]
    if not texts:
        raise bad_request('query parameter "ports" is required')
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise bad_request(f"ports must be numbers from 1 to 65535, not {','.join(texts)!r}")
    return [int(text) for text in texts]


class _Forward:
    def __init__(self, socket: web.WebSocketResponse, address: str, ports: list[int]) -> None:
        self._socket = socket
        self._address = address
        self._ports = ports
        self._writers: dict[int, asyncio.StreamWriter] = {}

    async def run(self) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._send(channel, port.to_bytes(2, "little"))
        try:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._from_pod(i, port)) for i, port in enumerate(self._ports)]
                await self._to_pod()
                for reader in readers:
                    reader.cancel()
        except* ConnectionError:
            pass  # either side has left, which is how a forward ends
        finally:
            for writer in self._writers.values():
                writer.close()

    async def _send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(bytes([channel]) + data)

    async def _from_pod(self, index: int, port: int) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, self._writers[index] = await asyncio.open_connection(self._address, port)
        except (OSError, TimeoutError) as error:
            why = f"error forwarding port {port} to pod: {error or 'no answer in time'}"
            await self._send(2 * index + 1, why.encode())
            await self._socket.close()
            return
        while data := await reader.read(_PIECE):
            await self._send(2 * index, data)
        await self._socket.close()

    async def _to_pod(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            index, is_error = divmod(message.data[0], 2)
            while not is_error and index < len(self._ports) and index not in self._writers:
                await asyncio.sleep(0.005)  # the connection is being made; its failure closes the socket
                if self._socket.closed:
                    return
            writer = self._writers.get(index)
            if writer is not None and not is_error:
                writer.write(message.data[1:])
                await writer.drain()
