# SPDX-License-Identifier: Apache-2.0
"""Live video and the cutting of the last document, in this process."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.status import Status, cut
from accelchain_runtime.server import StatusServer, parse_address


class Pictures:
    """A live source with two pictures."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._left = [b"one", b"two"]

    def subscribe(self) -> Pictures:
        return self

    def next(self, timeout: float) -> bytes | None:
        return self._left.pop(0) if self._left else None

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def status() -> Status:
    return Status(time.monotonic())


@pytest.fixture
def server(status: Status) -> Iterator[StatusServer]:
    server = StatusServer(("127.0.0.1", 0), status, "")
    yield server
    server.stop()


def test_live_pictures_are_parts_until_the_run_ends(status: Status, server: StatusServer) -> None:
    pictures = Pictures()
    status.offer_live("encode", pictures)
    assert status.document()["live"] == ["/live/encode.mjpeg"]
    with urllib.request.urlopen(f"{server.url}/live/encode.mjpeg", timeout=10) as response:
        assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        expected = b"".join(
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\n" + picture + b"\r\n"
            for picture in (b"one", b"two")
        )
        assert response.read(len(expected)) == expected
        status.succeed({})
        assert response.read() == b""
    assert pictures.closed.wait(10)


def test_a_view_that_nobody_offers_is_not_found(server: StatusServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{server.url}/live/other.mjpeg", timeout=10)
    assert error.value.code == 404


def test_without_a_token_only_loopback_is_open(status: Status) -> None:
    server = StatusServer(("0.0.0.0", 0), status, "")
    try:
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/status", timeout=10)
        assert error.value.code == 401
    finally:
        server.stop()


@pytest.mark.parametrize("text", ["", "localhost:1", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("10.1.2.3:9090") == ("10.1.2.3", 9090)
    assert parse_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("message", ["short", "x" * 9000, "ü" * 9000, '"\\' * 5000])
def test_the_last_document_is_cut_to_size_and_stays_json(status: Status, message: str) -> None:
    status.fail("FunctionFailed", message)
    status.begin(3, 120)
    document = status.document() | {
        "devices": [{"name": f"gpu{n}", "id": "x" * 100, "model": "y" * 40} for n in range(60)],
        "functions": [{"name": f"function-{n}"} for n in range(200)],
        "edges": [{"from": f"edge-{n}"} for n in range(200)],
    }
    data = cut(document)
    assert len(data) <= 4096
    kept = json.loads(data)
    assert kept["reason"] == "FunctionFailed"
    assert message.startswith(kept["message"])
    assert (kept["attempt"], kept["position"]) == (3, 120)
    assert "functions" not in kept
