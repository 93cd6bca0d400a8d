# SPDX-License-Identifier: Apache-2.0
"""A remote object as a file that can be read and seeked, over connections that may break.

One request streams from the reading position on, so the system's socket buffer reads ahead. A seek far away begins
another request, a short way forward is skipped. A connection that breaks or stalls is replaced, and goes on at the
same byte of the same version of the object.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .failures import Refused, Unavailable

_SKIP_BYTES = 512 << 10
"""So far ahead is cheaper to read over than to ask for anew."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Stream(Protocol):
    """The body of one answer."""

    def read1(self, amt: int, /) -> bytes:
        """Return what there is, at least one byte, at most ``amt``; b"" at the end of the body.

        Raises:
            Unavailable: the connection broke or stalled.
        """

    def close(self) -> None:
        """Give the connection up."""


@dataclass(frozen=True, slots=True)
class Part:
    """An answer: bytes of an object from ``start`` on."""

    stream: Stream
    start: int
    """0 where the server can't begin elsewhere."""
    size: int | None
    """Of the whole object; None if unknown."""
    version: str
    """Differs when the object differs; "" if the server tells nothing."""
    seekable: bool


class Fetch(Protocol):
    """Begins to read an object."""

    def __call__(self, start: int, seconds: float) -> Part:
        """Ask for the bytes from ``start`` on, which may take ``seconds``; and so may each ``read1`` of the stream.

        Raises:
            Refused, Unavailable: it can't be read.
        """


class ObjectFile(io.RawIOBase):
    """A readable file over ``Fetch``. Used by one thread."""

    def __init__(
        self,
        fetch: Fetch,
        name: str,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the object.

        Args:
            fetch: how.
            name: for messages, and for whoever looks at a file's ending.
            seconds: without a byte, after which it is given up. A connection that stalls is replaced once before.
            clock: seconds, monotonic.
            pause: waits so many seconds.

        Raises:
            Refused, Unavailable: it can't be opened.
        """
        self.name = name
        self.failure: Unavailable | Refused | None = None
        """Why ``read`` returned nothing before the end. It does not raise it: FFmpeg would print it and go on."""
        self._fetch = fetch
        self._seconds = seconds
        self._clock = clock
        self._pause = pause
        self._position = 0
        part = fetch(0, seconds)
        self.size = part.size
        self._version = part.version
        self._seekable = part.seekable
        self._part: Part | None = part
        self._at = 0  # where the stream is

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether the server gives parts of the object, and tells its size."""
        return self._seekable and self.size is not None

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is asked of the server before the next read.

        Raises:
            OSError: it is before the beginning, or the object can't be seeked.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base is None or base + offset < 0 or not self.seekable():
            raise io.UnsupportedOperation(f"{self.name}: can't go to {offset} from {whence}")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes; b"" at the end, or with ``failure`` set."""
        if size < 0:
            raise io.UnsupportedOperation("give a size")
        if self.failure is not None or (self.size is not None and self._position >= self.size):
            return b""
        try:
            data = self._read(size)
        except (Refused, Unavailable) as error:
            self.failure = error
            return b""
        self._position += len(data)
        return data

    def close(self) -> None:
        """Give the connection up."""
        self._drop()
        super().close()

    def _read(self, size: int) -> bytes:
        begun, wait, failure, attempts = self._clock(), _FIRST_PAUSE, "", 0
        while True:
            if attempts > 1 and self._clock() - begun >= self._seconds:
                raise Unavailable(f"{self.name}: reading broke off at byte {self._position}{self._of()}: {failure}")
            try:
                data = self._stream(self._seconds / 2).read1(size)
                if data or self.size is None:
                    self._at += len(data)
                    return data
                failure = "the connection ended early."
            except Unavailable as error:
                failure = str(error)
            attempts += 1
            self._drop()
            self._pause(min(wait, max(self._seconds - (self._clock() - begun), 0)))
            wait = min(wait * 2, _LONGEST_PAUSE)

    def _stream(self, seconds: float) -> Stream:
        """A stream at the position: the one that is open, or a new one."""
        if self._part is not None and not 0 <= self._position - self._at <= _SKIP_BYTES:
            self._drop()
        if self._part is None:
            part = self._fetch(self._position, seconds)
            if (part.version, part.size) != (self._version, self.size):
                part.stream.close()
                raise Refused(f"{self.name}: it was replaced by another one while it was read.")
            self._part, self._at = part, part.start
        while self._at < self._position:
            skipped = self._part.stream.read1(min(self._position - self._at, _SKIP_BYTES))
            if not skipped:
                raise Unavailable("the connection ended early.")
            self._at += len(skipped)
        return self._part.stream

    def _drop(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.stream.close()

    def _of(self) -> str:
        return f" of {self.size}" if self.size is not None else ""
