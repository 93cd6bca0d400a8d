# SPDX-License-Identifier: Apache-2.0
"""A pod's port on this machine's loopback, through the API and with the user's own rights.

A WebSocket to ``pods/portforward`` (protocol ``v4.channel.k8s.io``, which kubelets of every version speak) carries one
TCP connection. Each message begins with its channel: 0 carries data, 1 a text that says why there is none. Each channel
begins with the port, 2 bytes.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

import aiohttp

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.http_client import segment
from accelchain_operators.kube.user_session import forbidden, open_session, unreachable

logger = logging.getLogger(__name__)

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
CHUNK = 65536
HEARTBEAT = 20.0
"""Seconds between two pings: a server that vanished is noticed."""
OPEN_DEADLINE = 10.0


class PortForward:
    """Listens on loopback while it is entered; every connection to ``address`` ends at the pod's port.

    Args:
        connection: The API, and who we are.
        pod: Name of the pod.
        namespace: The pod's namespace.
        port: TCP port within the pod.
    """

    def __init__(self, connection: Connection, pod: str, namespace: str, port: int) -> None:
        self._connection = connection
        self._path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}/portforward"
        self._what = f"pods/portforward in namespace {namespace}"
        self._port = port
        self._spare: aiohttp.ClientWebSocketResponse | None = None
        self._session: aiohttp.ClientSession | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""
        """``127.0.0.1:port``."""

    async def __aenter__(self) -> PortForward:
        """Begin to listen.

        Raises:
            ApiError: 403, 404 or no answer: nothing will come through.
        """
        self._session = open_session(self._connection)
        try:
            self._spare = await self._open()  # so that what is wrong shows now
            self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        except BaseException:
            await self._close()
            raise
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut all connections."""
        await self._close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spare is not None:
            await self._spare.close()
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        assert self._session is not None, "it is entered first"
        try:
            async with asyncio.timeout(OPEN_DEADLINE):
                socket = await self._session.ws_connect(
                    self._path,
                    params={"ports": str(self._port)},
                    headers=self._connection.headers(),
                    protocols=(PROTOCOL,),
                    heartbeat=HEARTBEAT,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 403:
                raise forbidden("get and create", self._what) from None
            raise ApiError(error.status, "", f"{self._what}: the API answers {error.status}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self._connection, error) from None
        if socket.protocol != PROTOCOL:
            await socket.close()
            raise ApiError(400, "BadRequest", f"{self._what}: the API does not speak {PROTOCOL}")
        return socket

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine function: asyncio of Python 3.11 logs those that are cancelled as errors.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            socket, self._spare = self._spare, None
            if socket is None or socket.closed:
                socket = await self._open()
            try:
                await _carry(socket, reader, writer)
            finally:
                await socket.close()
        except (ApiError, ConfigError, aiohttp.ClientError, OSError) as error:
            logger.info("%s: %s", self._what, error)  # whoever connected sees the end of the connection
        finally:
            writer.close()


async def _carry(
    socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry bytes both ways until either side ends."""
    ways = (asyncio.create_task(_up(reader, socket)), asyncio.create_task(_down(socket, writer)))
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _up(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(CHUNK):
        await socket.send_bytes(bytes([DATA]) + data)


async def _down(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    heads = {DATA: 2, ERROR: 2}
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        skipped = min(heads.get(channel, 0), len(data))
        data = data[skipped:]
        if channel in heads:
            heads[channel] -= skipped
        if channel == DATA and data:
            writer.write(data)
            await writer.drain()
        elif channel == ERROR and data:
            raise ConnectionError(data.decode("utf-8", "replace"))
