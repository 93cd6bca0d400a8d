# SPDX-License-Identifier: Apache-2.0
"""Live video for browsers: MJPEG over HTTP, a picture after the other in one answer that ends with the flow."""

from __future__ import annotations

import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.addresses import Address

from .live import LiveView

_BOUNDARY = "frame"
_MAX_VIEWERS = 32
_SEND_SECONDS = 10.0
"""A viewer that takes nothing for so long is dropped."""
_POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class BrowserServer:
    """Serves a live view at one address from ``start`` to ``stop``, each viewer in a thread of its own."""

    def __init__(self, address: Address, view: LiveView) -> None:
        """Bind the address.

        Args:
            address: ``http://ADDRESS:PORT/path`` of this machine; port 0 takes any free one.
            view: what is shown.

        Raises:
            InputError: the address has no port, is not of this machine, or is in use.
        """
        if address.port is None:
            raise InputError(
                f"{address.shown}: give a port to serve at, as in http://127.0.0.1:8090/live.", parameter="uri"
            )
        try:
            family, *_, endpoint = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
            server_class = type("_Server", (_Server,), {"address_family": family})
            self._server: _Server = server_class(endpoint[:2], view, address.route)
        except OSError as error:
            raise InputError(
                f"{address.shown}: can't serve at this address: {error.strerror or error}.", parameter="uri"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="live-video", daemon=True)

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; viewers that are still there are cut off. Callable in any state."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_SEND_SECONDS)
        self._server.server_close()
        self._server.disconnect()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, endpoint: tuple[Any, ...], view: LiveView, route: str) -> None:
        self.view = view
        self.route = route
        self._viewers: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(endpoint, _Handler)

    def enter(self, viewer: socket.socket) -> bool:
        with self._lock:
            if len(self._viewers) >= _MAX_VIEWERS:
                return False
            self._viewers.add(viewer)
            return True

    def leave(self, viewer: socket.socket) -> None:
        with self._lock:
            self._viewers.discard(viewer)

    def disconnect(self) -> None:
        with self._lock:
            for viewer in self._viewers:
                try:
                    viewer.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has gone by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("viewer %s: connection ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # the connection's end is the answer's: browsers show every picture at once
    timeout = _SEND_SECONDS
    server: _Server

    def do_GET(self) -> None:
        if self.path.split("?")[0] != self.server.route:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not self.server.enter(self.connection):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "Too many viewers")
        else:
            try:
                self._stream()
            except OSError as error:
                _log.debug("viewer %s left: %s", self.client_address, error)
            finally:
                self.server.leave(self.connection)

    def _stream(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        subscription = self.server.view.subscribe()
        try:
            while not subscription.ended:
                jpeg = subscription.next(_POLL_SECONDS)
                if jpeg is not None:
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
            self.wfile.write(f"--{_BOUNDARY}--\r\n".encode())
        finally:
            subscription.close()

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("viewer %s: " + format, self.client_address, *args)
