# SPDX-License-Identifier: Apache-2.0
"""A web server that serves one video and leads astray: ``web.py PORT VIDEO LOG``, on all addresses.

``/to?URL`` redirects there, ``/list.m3u8?URL`` is a playlist of it, ``PUT`` stores in memory what the same path then
gives; all else is the video. Every request is a line in the log: the address that it came to, method and path.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

stored: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    video: bytes
    log: Path

    def do_GET(self) -> None:
        """Answer."""
        self._note()
        url = urlsplit(self.path)
        target = unquote(url.query)
        if url.path == "/to":
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif url.path == "/list.m3u8":
            lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:4", "#EXTINF:4,", target, "#EXT-X-ENDLIST", ""]
            self._send("\n".join(lines).encode(), "application/vnd.apple.mpegurl")
        else:
            self._send(stored.get(url.path, self.video), "video/mp4")

    def do_PUT(self) -> None:
        """Store."""
        self._note()
        stored[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(b"", "text/plain")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _note(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.connection.getsockname()[0]} {self.command} {self.path}\n")

    def log_message(self, format: str, *args: object) -> None:
        """The log is this server's own."""


if __name__ == "__main__":
    Handler.video, Handler.log = Path(sys.argv[2]).read_bytes(), Path(sys.argv[3])
    Handler.log.touch()
    ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
