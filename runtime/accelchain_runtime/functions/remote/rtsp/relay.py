# SPDX-License-Identifier: Apache-2.0
"""The relay between FFmpeg and a camera.

FFmpeg would resolve the camera's name itself, follow its redirects, take its media from wherever it says, and print
what it is told, password included. So it gets an address on the loopback device, and the relay does the rest on the one
connection that was checked: it logs in, checks certificates (``rtsps``), refuses redirects, and knows why it ended.
"""

from __future__ import annotations

import secrets
import select
import socket
import ssl
import threading
import time

from ..failures import Refused, Unavailable
from .login import Login
from .messages import Message, ProtocolError, Splitter, says_bye

_READ_BYTES = 64 << 10
_TRY_LATER = (408, 453)
_SAYINGS = {
    401: "the credentials are missing or wrong",
    403: "access is forbidden",
    404: "there is nothing at this address",
    461: "it does not send media over TCP",
}


class Relay:
    """Carries one RTSP session. Runs in a thread of its own from ``start`` to ``close``."""

    def __init__(self, camera: socket.socket, server: str, shown: str, login: Login, seconds: float) -> None:
        """Listen for FFmpeg.

        Args:
            camera: connected; closed by this object.
            server: what the camera is called in requests: ``rtsp://host:port``.
            shown: its address for messages.
            login: the user's credentials.
            seconds: that the camera may be silent.
        """
        self.failure: Refused | Unavailable | None = None
        self._camera = camera
        self._server = server
        self._shown = shown
        self._login = login
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self._player: socket.socket | None = None
        # Others on this machine could connect here as well: they don't know this.
        self.local = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/{secrets.token_urlsafe(24)}"
        self._pending: dict[int, tuple[str, Message, bool]] = {}  # by our number: FFmpeg's number, request, retried
        self._number = 0
        self._playing_since: float | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name=f"relay of {shown}", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """End the session."""
        self._over = True
        for connection in (self._listener, self._player, self._camera):
            if connection is not None:
                _shut(connection)
        self._thread.join(1.0)
        self._close_all()

    def _run(self) -> None:
        try:
            self._serve()
        except (Refused, Unavailable) as error:
            self._fail(error)
        except ProtocolError as error:
            self._fail(Unavailable(f"{self._shown}: {error}."))
        except (OSError, ValueError) as error:  # ValueError: a socket that ``close`` closed meanwhile
            self._fail(Unavailable(f"{self._shown}: the connection broke ({type(error).__name__})."))
        finally:
            self._close_all()

    def _fail(self, error: Refused | Unavailable) -> None:
        if not self._over and self.failure is None:
            self.failure = error

    def _close_all(self) -> None:
        for connection in (self._listener, self._player, self._camera):
            if connection is not None:
                connection.close()

    def _serve(self) -> None:
        player, splitter = self._accept()
        answers = Splitter()
        while True:
            pending = isinstance(self._camera, ssl.SSLSocket) and self._camera.pending() > 0
            ready = [self._camera] if pending else select.select([player, self._camera], [], [], self._seconds)[0]
            silent_since = self._playing_since
            if not ready or (silent_since is not None and time.monotonic() - silent_since > self._seconds):
                raise Unavailable(f"{self._shown}: no data for {self._seconds:g} s.")
            if player in ready:
                data = player.recv(_READ_BYTES)
                if not data:
                    self._over = True
                    return
                for item in splitter.feed(data):
                    self._ask(item)
            if self._camera in ready:
                data = self._camera.recv(_READ_BYTES)
                if not data:
                    raise Unavailable(f"{self._shown}: the camera closed the connection.")
                forward = b"".join(self._answer(item) for item in answers.feed(data))
                if forward:
                    player.sendall(forward)
                if self._over:
                    return

    def _accept(self) -> tuple[socket.socket, Splitter]:
        """Wait for FFmpeg: whoever knows the address."""
        deadline = time.monotonic() + self._seconds
        while True:
            self._listener.settimeout(max(deadline - time.monotonic(), 0.01))
            player, _ = self._listener.accept()
            player.settimeout(self._seconds)
            splitter = Splitter()
            try:
                first = list(splitter.feed(player.recv(_READ_BYTES)))
            except (OSError, ProtocolError):
                first = []
            if not first or not isinstance(first[0], Message) or self.local not in first[0].start:
                player.close()
                continue
            self._listener.close()
            player.settimeout(None)  # a chain that is slow may keep the camera waiting
            self._player = player
            for item in first:
                self._ask(item)
            return player, splitter

    # -- from FFmpeg to the camera -----------------------------------------------------------------------------------

    def _ask(self, item: Message | bytes) -> None:
        if isinstance(item, bytes):
            self._camera.sendall(item)
            return
        item.start = item.start.replace(self.local, self._server, 1)
        self._send(item, item.get("CSeq"), retried=False)

    def _send(self, request: Message, number: str, *, retried: bool) -> None:
        self._number += 1
        method, uri = [*request.start.split(" "), ""][:2]
        request.set("CSeq", str(self._number))
        if (header := self._login.header(method, uri)) is not None:
            request.set("Authorization", header)
        self._pending[self._number] = (number, request, retried)
        self._camera.sendall(request.encode())

    # -- from the camera to FFmpeg -----------------------------------------------------------------------------------

    def _answer(self, item: Message | bytes) -> bytes:
        if isinstance(item, bytes):
            if self._playing_since is not None:
                self._playing_since = time.monotonic()
            if says_bye(item):
                self._over = True
            return item
        if item.status is None:
            return self._asked(item)
        number = item.get("CSeq")
        found = self._pending.pop(int(number), None) if number.isascii() and number.isdigit() else None
        if found is None:
            return b""
        asked, request, retried = found
        method = request.start.partition(" ")[0]
        if item.status == 401 and not retried and self._login.take(item.all("WWW-Authenticate")):
            self._send(request, asked, retried=True)
            return b""
        self._check(item, item.status, method)
        if method == "PLAY" and item.status == 200:
            self._playing_since = time.monotonic()
        item.set("CSeq", asked)
        return item.encode()

    def _check(self, answer: Message, status: int, method: str) -> None:
        if 300 <= status < 400:
            raise Refused(f"{self._shown}: the camera redirects to another address: give that one.")
        if self._playing_since is not None and status != 401:
            return  # of what keeps the session alive; cameras know this and that of it
        if method == "SETUP" and status == 200 and "TCP" not in answer.get("Transport").upper():
            raise Refused(f"{self._shown}: {_SAYINGS[461]}.")
        if status >= 500 or status in _TRY_LATER:
            raise Unavailable(f"{self._shown}: the camera answered {status}.")
        if status >= 400:
            saying = _SAYINGS.get(status)
            raise Refused(f"{self._shown}: the camera answered {status}{f': {saying}' if saying else ''}.")

    def _asked(self, request: Message) -> bytes:
        """The camera asks for something: to go elsewhere, or for what FFmpeg does not know."""
        if request.start.startswith("REDIRECT"):
            raise Refused(f"{self._shown}: the camera redirects to another address: give that one.")
        answer = Message("RTSP/1.0 501 Not Implemented", [("CSeq", request.get("CSeq"))])
        self._camera.sendall(answer.encode())
        return b""


def _shut(connection: socket.socket) -> None:
    """Wake a thread that waits on a connection."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it isn't connected any more, or never was
