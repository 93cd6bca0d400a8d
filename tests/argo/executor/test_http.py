# SPDX-License-Identifier: Apache-2.0
"""Whatever a client sends: bounded, answered where it may be told, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from accelchain.argo.executor.http_server import METHOD, HttpServer, Limits
from accelchain.argo.executor.requests import RequestError, parse
from accelchain.argo.executor.token import Token, TokenError

TOKEN = "secret-of-this-pod"
HEAD = f"POST {METHOD} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
LIMITS = Limits(body=10_000, drained=50_000_000, head_seconds=0.3, body_seconds=0.3, idle_seconds=0.6, connections=8)


class Door:
    """A server whose method says how large the body was."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port = port
        self.bodies = bodies
        self.url = f"http://127.0.0.1:{port}"

    async def ask(self, method: str = "POST", path: str = METHOD, token: str | None = TOKEN, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers={**headers, **more.pop("headers", {})}, **more) as answer,
        ):
            return answer.status, await answer.text()

    async def raw(self, *pieces: str | bytes) -> bytes:
        """Send pieces and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece if isinstance(piece, bytes) else piece.encode())
                await writer.drain()
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    bodies: list[bytes] = []

    async def execute(body: bytes) -> dict[str, Any]:
        bodies.append(body)
        return {"node": {"phase": "Succeeded", "message": f"{len(body)} bytes"}}

    async with HttpServer(execute, Token(TOKEN), LIMITS).listening("127.0.0.1", 0) as port:
        yield Door(port, bodies)


async def test_who_has_the_token_is_answered(door: Door) -> None:
    code, text = await door.ask(data=b"{}")
    assert (code, json.loads(text)["node"]["message"]) == (200, "2 bytes")
    assert (await door.ask("GET", "/healthz", None))[0] == 200


@pytest.mark.parametrize(
    ("token", "headers", "code"),
    [
        (None, {}, 401),
        (None, {"Authorization": f"Basic {TOKEN}"}, 401),
        (None, {"Authorization": "Bearer"}, 401),
        ("", {}, 401),
        (TOKEN[:-1], {}, 403),
        (TOKEN + "x", {}, 403),
        ("\u00e9", {}, 403),
    ],
)
async def test_nobody_else_is(door: Door, token: str | None, headers: dict[str, str], code: int) -> None:
    assert (await door.ask(token=token, headers=headers, data=b"{}"))[0] == code
    assert not door.bodies


async def test_paths_and_verbs_that_are_not_argos_do_not_reach_the_method(door: Door) -> None:
    assert (await door.ask(path="/api/v1/workflow.preOperate", data=b"{}"))[0] == 404
    assert (await door.ask("GET"))[0] == 405
    assert (await door.ask("DELETE", "/healthz"))[0] == 405
    assert not door.bodies


async def test_a_body_of_10_mb_fails_its_node_and_says_why(door: Door) -> None:
    code, text = await door.ask(data=b"x" * 10_000_000)
    node = json.loads(text)["node"]
    assert (code, node["phase"]) == (200, "Failed")
    assert "10000 are allowed" in node["message"]
    assert not door.bodies


async def test_a_body_without_end_is_cut_off(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0.001)

    try:
        code, text = await door.ask(data=endless())
        assert (code, json.loads(text)["node"]["phase"]) in ((200, "Failed"), (200, "Error"))
    except aiohttp.ClientError:
        pass  # it was still writing when the server closed
    assert not door.bodies
    assert (await door.ask(data=b"{}"))[0] == 200


async def test_a_body_that_trickles_fails_its_node(door: Door) -> None:
    answer = await door.raw(HEAD + "Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["node"]["phase"] == "Error"


async def test_a_head_that_trickles_is_cut_off(door: Door) -> None:
    """Slow-loris: a byte now and then keeps no connection open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)

    async def read() -> bytes:
        try:
            return await reader.read()
        except ConnectionResetError:  # the cut met a byte on its way
            return b""

    ended = asyncio.create_task(read())
    for byte in HEAD * 100:
        if ended.done() or writer.is_closing():
            break
        writer.write(byte.encode())
        await asyncio.sleep(0.02)
    assert await asyncio.wait_for(ended, 5) == b""
    writer.close()


async def test_a_second_head_that_trickles_is_cut_off_too(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write((HEAD + "Content-Length: 2\r\n\r\n{}").encode())
    await writer.drain()
    writer.write(HEAD[:20].encode())
    answers = await asyncio.wait_for(reader.read(), 5)
    assert answers.count(b"HTTP/1.1") == 1
    writer.close()


async def test_connections_have_a_limit_and_others_go_on(door: Door) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(LIMITS.connections)]
    with pytest.raises(aiohttp.ClientError):
        await door.ask(data=b"{}")
    for reader, writer in opened:  # the clock of their heads ends them
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert (await door.ask(data=b"{}"))[0] == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 1000,
        b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(10_000)) + b"\r\n",
        HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD.encode() + b"Content-Length: -5\r\n\r\n",
        HEAD.encode() + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_garbage_is_refused_and_the_server_lives_on(door: Door, garbage: bytes) -> None:
    try:
        answer = await door.raw(garbage)
    except ConnectionError:
        answer = b""
    assert not answer or answer.split()[1] in (b"400", b"401", b"413", b"414", b"431", b"200")
    assert b'"Succeeded"' not in answer
    assert (await door.ask(data=b"{}"))[0] == 200


async def test_a_compressed_body_is_not_unpacked(door: Door) -> None:
    await door.ask(data=b"\x1f\x8b" + b"\0" * 50, headers={"Content-Encoding": "gzip"})
    assert door.bodies == [b"\x1f\x8b" + b"\0" * 50]


async def test_the_end_breaks_off_what_is_under_way_and_leaves_no_task() -> None:
    begun = asyncio.Event()

    async def never(_: bytes) -> dict[str, Any]:
        begun.set()
        await asyncio.sleep(3600)
        raise AssertionError

    before = asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    async with HttpServer(never, Token(TOKEN), LIMITS).listening("127.0.0.1", 0) as port:
        asked = asyncio.create_task(Door(port, []).ask(data=b"{}"))
        await begun.wait()
        started = loop.time()
    with pytest.raises(aiohttp.ClientError):
        await asked
    assert loop.time() - started < 2
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "too deep"),
        (b'{"a": NaN}', "NaN"),
        (b"[]", "template"),
        (b'{"template": {}}', "workflow"),
        (b'{"template": {}, "workflow": {}}', "workflow.metadata"),
        (b'{"template": [], "workflow": {"metadata": {}}}', "template"),
        (b'{"template": {}, "workflow": {"metadata": {"namespace": "a", "name": "b"}}}', "workflow.metadata.uid"),
        (
            b'{"template": {}, "workflow": {"metadata": {"namespace": "../kube-system", "name": "b", "uid": "c"}}}',
            "workflow.metadata.namespace",
        ),
        (
            b'{"template": {}, "workflow": {"metadata": {"namespace": "a", "name": "b", "uid": "c,d=e"}}}',
            "workflow.metadata.uid",
        ),
    ],
)
def test_requests_without_form_say_where(body: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        parse(body)


def test_a_token_that_cannot_be_read_names_the_user_and_the_group(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "token"
    with pytest.raises(TokenError, match="--token-file"):
        Token.read(path)
    path.write_text(" \n")
    with pytest.raises(TokenError, match="no token"):
        Token.read(path)
    path.write_text(TOKEN + "\n")
    assert Token.read(path).refusal(f"Bearer {TOKEN}") is None
    assert TOKEN not in repr(Token.read(path))

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(TokenError, match=r"uid 8737 and gid 0.*runAsUser: 8737"):
        Token.read(path)
