# SPDX-License-Identifier: Apache-2.0
"""Port-forward over a WebSocket: bytes both ways, faults told, and a right of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import service_account

PROTOCOL = "v4.channel.k8s.io"
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server in the pod that sends back what it gets, and closes at the end of its input."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if data.endswith(b"bye"):
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def kube() -> AsyncIterator[LocalKube]:
    kube = LocalKube()
    pod = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
    for name, phase in (("p", "Running"), ("ended", "Succeeded")):
        status = {"phase": phase, "podIP": "127.0.0.1"}
        meta = {"name": name, "namespace": "default"}
        kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod, "status": status})
    await kube.start()
    yield kube
    await kube.stop()


@pytest.fixture
async def forward(kube: LocalKube) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session:

        def connect(port: int | str, pod: str = "p", token: str = "", protocol: str = PROTOCOL) -> Any:
            url = f"{kube.url}/api/v1/namespaces/default/pods/{pod}/portforward?ports={port}"
            headers = {"Authorization": f"Bearer {token or kube.token}"}
            context = ssl.create_default_context(cadata=kube.ca)
            return session.ws_connect(url, headers=headers, protocols=(protocol,), ssl=context)

        yield connect


async def test_bytes_go_both_ways_until_the_pod_closes(forward, echo):
    async with asyncio.timeout(10), forward(echo) as socket:
        assert socket.protocol == PROTOCOL
        port = echo.to_bytes(2, "little")
        assert [await socket.receive_bytes(), await socket.receive_bytes()] == [b"\0" + port, b"\1" + port]
        await socket.send_bytes(b"\0" + b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += (await socket.receive_bytes())[1:]
        await socket.send_bytes(b"\0bye")
        assert await socket.receive_bytes() == b"\0bye"
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_closed_port_is_told_on_the_channel_for_errors(forward, unused_tcp_port):
    async with asyncio.timeout(10), forward(unused_tcp_port) as socket:
        await socket.receive_bytes(), await socket.receive_bytes()
        message = await socket.receive_bytes()
        assert message[0] == 1 and b"error forwarding port" in message


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"port": 80, "pod": "none"}, 404),
        ({"port": 80, "pod": "ended"}, 500),
        ({"port": "x"}, 400),
        ({"port": 80, "protocol": "SPDY/3.1+portforward.k8s.io"}, 400),
    ],
)
async def test_what_can_not_be_forwarded_is_refused_before_the_upgrade(forward, call, code):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await forward(**call)
    assert caught.value.status == code


@pytest.mark.parametrize("verbs", [["get"], ["create"]])
async def test_to_read_pods_is_not_enough(kube, forward, echo, verbs):
    rules = [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": verbs}]
    meta = {"name": "r", "namespace": "default"}
    kube.put({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    role = {"apiGroup": RBAC, "kind": "Role", "name": "r"}
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": [subject]}
    kube.put({**binding, "roleRef": role})
    token = kube.users.add(service_account("default", "robot"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await forward(echo, token=token)
    assert caught.value.status == 403
