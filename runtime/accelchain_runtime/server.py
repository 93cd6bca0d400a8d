# SPDX-License-Identifier: Apache-2.0
"""The worker's status server: ``/status``, ``/stream``, ``/live/<function>.mjpeg``, ``/healthz``; ``POST /publish``.

The standard library's server in threads of its own: it starts in milliseconds and adds little memory to a worker.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import select
import socket
import socketserver
import struct
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from accelchain_runtime.engine.fence import Fence, GrantRefused, boot_time
from accelchain_runtime.engine.function import InputError, LiveSource
from accelchain_runtime.engine.status import ENDS, Status

log = logging.getLogger("status")

_CONNECTIONS = 64
_IDLE_SECONDS = 10.0
"""A client that sends no request, or reads nothing, for this long is dropped."""
_STREAM_SECONDS = 1.0
"""A stream's interval where the client names none."""
_SHORTEST_SECONDS = 0.1
"""No stream is sent documents more often than that."""
_BODY_BYTES = 4096
_LAST_DATA_RECEIVED = 52
"""Where in the kernel's ``struct tcp_info`` the milliseconds since the last data came lie (four bytes)."""
_LAST_SECONDS = 0.5
"""How long streams may take to send the last document when the worker ends."""


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``IP:PORT`` or ``[IPv6]:PORT``.

    Raises:
        InputError: it is something else.
    """
    host, separator, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
        if not separator or not 0 <= number <= 65535:
            raise ValueError
    except ValueError as error:
        raise InputError(f"The status address is {text!r}; give IP:PORT.") from error
    return str(address), number


class StatusServer(socketserver.ThreadingTCPServer):
    """Serves one run's status."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], status: Status, token_sha256: str, fence: Fence | None = None) -> None:
        """Bind and serve.

        Args:
            address: IP and port; port 0 takes a free one.
            status: what is served.
            token_sha256: hex digest of the token that opens the server; empty: it is open, on loopback only.
            fence: takes the grants of ``POST /publish``; None: nothing is ever granted.

        Raises:
            OSError: the address can't be bound.
        """
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.status = status
        self.fence = fence if fence is not None else Fence()
        self.ended = threading.Event()
        self._digest = token_sha256.lower()
        self._open = not token_sha256 and ipaddress.ip_address(address[0]).is_loopback
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._streams = 0
        self._streams_changed = threading.Condition()
        super().__init__(address, _Handler)
        if not self._digest and not self._open:
            log.warning("the plan has no token, and %s is no loopback address: status is refused", address[0])
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="status", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the server listens."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def allows(self, token: str) -> bool:
        """Whether the token opens the server; takes the same time for every wrong token."""
        return self._open or (
            bool(self._digest) and hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), self._digest)
        )

    def stop(self) -> None:
        """Let streams send the last document, and close."""
        self.ended.set()
        with self._streams_changed:
            self._streams_changed.wait_for(lambda: self._streams == 0, _LAST_SECONDS)
        self.shutdown()
        self.server_close()

    def streaming(self, change: int) -> None:
        """A stream began (1) or ended (-1)."""
        with self._streams_changed:
            self._streams += change
            self._streams_changed.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, unless there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error; anything else is logged and ends that connection only."""
        log.debug("connection of %s ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: StatusServer
    protocol_version = "HTTP/1.1"
    server_version = "accelchain"
    sys_version = ""
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        if url.path == "/healthz":
            self._send(HTTPStatus.OK, b"ok\n", "text/plain")
        elif not self.server.allows(self._token(url.query)):
            self._refuse(HTTPStatus.UNAUTHORIZED, "give the worker's token: Authorization: Bearer TOKEN, or ?token=")
        elif url.path == "/status":
            self._send(HTTPStatus.OK, _line(self.server.status.document()), "application/json")
        elif url.path == "/stream":
            self._stream(url.query)
        elif (live := self._live(url.path)) is not None:
            self._show(live)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there are /status, /stream, /live/<function>.mjpeg and /healthz")

    def do_POST(self) -> None:
        """Take a grant to publish."""
        url = urlsplit(self.path)
        self.close_connection = True  # whatever of the body is not read must not be taken for the next request
        if not self.server.allows(self._token(url.query)):
            self._refuse(HTTPStatus.UNAUTHORIZED, "give the worker's token: Authorization: Bearer TOKEN, or ?token=")
        elif url.path != "/publish":
            self._refuse(HTTPStatus.NOT_FOUND, "the only address to post to is /publish")
        elif (attempt := self._attempt()) is None:
            self._refuse(HTTPStatus.BAD_REQUEST, 'send {"attempt": n} as JSON, with its Content-Length')
        elif _hung_up(self.connection):
            log.warning("a grant to publish is not taken: whoever sent it did not wait for the answer")
        else:
            try:
                self.server.fence.grant(attempt, _received(self.connection))
            except GrantRefused as refusal:
                self._refuse(HTTPStatus.CONFLICT, str(refusal))
            else:
                self._send(HTTPStatus.OK, _line({"attempt": attempt}), "application/json")

    def _attempt(self) -> int | None:
        """Return the attempt that the request's body names; None if there is none."""
        try:
            length = int(self.headers.get("Content-Length", ""))
            if not 0 < length <= _BODY_BYTES:
                return None
            attempt = json.loads(self.rfile.read(length))["attempt"]
        except (ValueError, KeyError, TypeError):
            return None
        return attempt if type(attempt) is int else None

    def _token(self, query: str) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return parse_qs(query).get("token", [""])[0]

    def _live(self, path: str) -> LiveSource | None:
        if not (path.startswith("/live/") and path.endswith(".mjpeg")):
            return None
        return self.server.status.live(path.removeprefix("/live/").removesuffix(".mjpeg"))

    def _stream(self, query: str) -> None:
        """Send a document at once, on every change of phase and once an interval, until the run has ended."""
        status, server = self.server.status, self.server
        interval = _interval(query)
        self._begin_endless("application/x-ndjson")
        server.streaming(1)
        try:
            version = status.wait(-1, 0.0)
            while True:
                document = status.document()
                self.wfile.write(_line(document))
                if document["phase"] in ENDS:
                    return
                version = status.wait(version, interval)
        finally:
            server.streaming(-1)

    def _show(self, live: LiveSource) -> None:
        """Send live pictures until the client goes or the run ends."""
        self._begin_endless("multipart/x-mixed-replace; boundary=frame")
        subscription = live.subscribe()
        try:
            last = time.monotonic()
            while not self.server.ended.is_set() and self.server.status.phase not in ENDS:
                picture = subscription.next(_STREAM_SECONDS)
                if picture is not None:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
                    last = time.monotonic()
                elif time.monotonic() - last > _IDLE_SECONDS:
                    self.wfile.write(b"\r\n")  # finds out whether the viewer is still there
                    last = time.monotonic()
        finally:
            subscription.close()

    def _begin_endless(self, content_type: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _refuse(self, code: HTTPStatus, text: str) -> None:
        self._send(code, _line({"error": text}), "application/json")

    def _send(self, code: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if code == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: they would hold the token of ``?token=``."""


def _hung_up(connection: socket.socket) -> bool:
    """Whether the client has closed its end, or sends what it should not."""
    return bool(select.select([connection], [], [], 0)[0])


def _received(connection: socket.socket) -> float:
    """Return when the last bytes of the request came (``boot_time``): the kernel takes them in for a frozen process."""
    now = boot_time()  # read first: who is frozen between these lines finds the request older than it is, not younger
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (milliseconds,) = struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)
    return now - float(milliseconds / 1000)


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _interval(query: str) -> float:
    """Return how many seconds a stream waits for news: ``?interval=`` within bounds; a second where it is none."""
    try:
        return min(max(float(parse_qs(query).get("interval", [""])[0]), _SHORTEST_SECONDS), _IDLE_SECONDS)
    except ValueError:
        return _STREAM_SECONDS
