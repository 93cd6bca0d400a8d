# SPDX-License-Identifier: Apache-2.0
"""RTSP as bytes: messages and the media frames between them (RFC 2326, 10.12). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HEAD_BYTES = 64 << 10
_BODY_BYTES = 1 << 20
_BYE = 203
"""RTCP's packet type for "this stream has ended"."""


class ProtocolError(ValueError):
    """What came is no RTSP."""


@dataclass(slots=True)
class Message:
    """A request or an answer."""

    start: str
    """First line: ``DESCRIBE rtsp://… RTSP/1.0`` or ``RTSP/1.0 200 OK``."""
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def status(self) -> int | None:
        """An answer's code; None of a request."""
        first, _, rest = self.start.partition(" ")
        code = rest[:3]
        return int(code) if first.startswith("RTSP/") and code.isascii() and code.isdigit() else None

    def get(self, name: str) -> str:
        """A header's first value, "" where there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All of a header's values."""
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def set(self, name: str, value: str) -> None:
        """Replace a header."""
        self.headers = [(each, old) for each, old in self.headers if each.lower() != name.lower()]
        self.headers.append((name, value))

    def encode(self) -> bytes:
        """The message as bytes."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Splitter:
    """Takes a stream of bytes apart."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Message | bytes]:
        """Messages and media frames (with their 4 bytes of head) that are whole with ``data``.

        Raises:
            ProtocolError: it is no RTSP, or larger than any message of it.
        """
        self._bytes += data
        while self._bytes:
            item = self._frame() if self._bytes[0] == 0x24 else self._message()
            if item is None:
                return
            yield item

    def _frame(self) -> bytes | None:
        if len(self._bytes) < 4:
            return None
        end = 4 + int.from_bytes(self._bytes[2:4], "big")
        return self._take(end) if len(self._bytes) >= end else None

    def _message(self) -> Message | None:
        while self._bytes[:2] == b"\r\n":  # between two messages, from some cameras
            self._take(2)
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0 or end > _HEAD_BYTES:
            if len(self._bytes) > _HEAD_BYTES:
                raise ProtocolError("a message of RTSP has no end")
            return None
        start, *lines = self._bytes[:end].decode("utf-8", "surrogateescape").split("\r\n")
        if "RTSP/" not in start:
            raise ProtocolError("an answer is no RTSP")
        headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        message = Message(start, headers)
        length = message.get("Content-Length") or "0"
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= _BODY_BYTES):
            raise ProtocolError("a message of RTSP is too long")
        if len(self._bytes) < end + 4 + int(length):
            return None
        self._take(end + 4)
        message.body = self._take(int(length))
        return message

    def _take(self, count: int) -> bytes:
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        return taken


def says_bye(frame: bytes) -> bool:
    """Whether a media frame is RTCP that ends the stream."""
    if not frame[1] % 2:  # even channels carry pictures
        return False
    at = 4
    while at + 4 <= len(frame):
        if frame[at + 1] == _BYE:
            return True
        at += 4 * (int.from_bytes(frame[at + 2 : at + 4], "big") + 1)
    return False
