# SPDX-License-Identifier: Apache-2.0
"""A pod's port on this machine: what comes through, who may, and what is left afterwards."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading

import aiohttp
import pytest

from accelchain.cli.workers import opened
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.port_forward import PortForward

TOO_MUCH = bytes(range(256)) * 20000


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, after a line of its own."""

    def handle(self) -> None:
        self.request.sendall(b"here\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture
def echo():
    """The port of a server at a pod's address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def put_pod(api) -> None:
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"},
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        }
    )


@pytest.fixture
def connection(api):
    put_pod(api)
    return Connection.from_kubeconfig(api.kubeconfig())


async def test_bytes_come_through_unharmed_on_several_connections(connection, echo):
    async def talk(address: str) -> bytes:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        assert await reader.readexactly(5) == b"here\n"
        writer.write(TOO_MUCH)
        back = await reader.readexactly(len(TOO_MUCH))
        writer.close()
        return back

    async with asyncio.timeout(30), PortForward(connection, "p", "default", echo) as forward:
        answers = await asyncio.gather(*(talk(forward.address) for _ in range(3)))
    assert all(answer == TOO_MUCH for answer in answers)
    with pytest.raises(OSError):
        socket.create_connection(tuple(forward.address.split(":")), 1)


async def test_a_port_where_nobody_listens_ends_the_connection(connection):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with asyncio.timeout(20), PortForward(connection, "p", "default", port) as forward:
        reader, writer = await asyncio.open_connection(*forward.address.split(":"))
        assert await reader.read() == b""
        writer.close()


async def test_open_connections_end_with_it(connection, echo):
    async with asyncio.timeout(20):
        async with PortForward(connection, "p", "default", echo) as forward:
            reader, writer = await asyncio.open_connection(*forward.address.split(":"))
            assert await reader.readexactly(5) == b"here\n"
        assert await reader.read() == b""
        writer.close()


async def test_a_pod_that_is_not_there_and_a_missing_right(api, connection, echo):
    with pytest.raises(ApiError) as gone:
        async with PortForward(connection, "q", "default", echo):
            pytest.fail("it was opened")
    assert gone.value.code == 404
    reader = Connection.from_kubeconfig(api.user("reader", ("", "pods/portforward", "get")))
    with pytest.raises(ApiError) as denied:
        async with PortForward(reader, "p", "default", echo):
            pytest.fail("it was opened")
    assert (denied.value.code, denied.value.message) == (
        403,
        "you may not get and create pods/portforward in namespace default",
    )
    both = Connection.from_kubeconfig(api.user("both", ("", "pods/portforward", "get create")))
    async with PortForward(both, "p", "default", echo) as forward:
        assert forward.address


class Worker(socketserver.StreamRequestHandler):
    """Answers one request with the token that it was given."""

    def handle(self) -> None:
        lines = iter(self.rfile.readline, b"\r\n")
        token = next(line for line in lines if line.lower().startswith(b"authorization:")).split()[-1]
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + token)


async def test_a_workers_door_in_a_cluster_leads_through_the_api(api, connection):
    """The worker's address is none of this machine: only the pod's name leads to it."""
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default"},
            "data": {"token": "c2VjcmV0"},
        }
    )
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Worker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        worker = {"pod": "p", "secret": "s", "address": f"10.244.1.7:{server.server_address[1]}"}
        client = HttpClient(connection=connection)
        async with (
            asyncio.timeout(20),
            opened(client, connection, "default", worker) as door,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {door.token}"}) as session,
            session.get(door.base) as answer,
        ):
            assert door.passing and await answer.text() == "secret"
        await client.close()
        server.shutdown()
