# SPDX-License-Identifier: Apache-2.0
"""A source that is a tar with one file in it, as workflow engines keep the files of their Pods.

It is unpacked into a file without a name, so that a killed worker leaves nothing behind. Nothing in the archive decides
where anything is written.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Protocol

from accelchain_runtime.functions.files import writing

from .failures import Refused, Unavailable

ENDINGS = (".tgz", ".tar.gz", ".tar")
MOST_BYTES = 64 << 30
"""Of the file: a small archive can hold any size."""
MOST_SECONDS = 3600.0
_GZIP = b"\x1f\x8b"
_BLOCK = 512
_CHUNK = 1 << 20
_MOST_ENTRIES = 1000
"""Folders and the like before and after the file."""
_EXTRA_BYTES = 64 << 10
"""Of an entry that tells more of the one after it: a long name, a large size."""
_EXTRA = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_LARGE_SIZE = re.compile(rb"(?:^|\n)\d+ size=(\d{1,19})\n")
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


class Readable(Protocol):
    """What an archive is read from, front to back."""

    def read(self, size: int, /) -> bytes | None:
        """Return at most ``size`` bytes; nothing at the end, or where it can't be read any further."""


def is_named_so(name: str) -> bool:
    """Tell whether a name ends like an archive's. Its content decides besides."""
    return name.lower().endswith(ENDINGS)


def unpacked(
    file: Readable,
    shown: str,
    failure: Callable[[], Exception | None],
    *,
    clock: Callable[[], float] = time.monotonic,
    most_bytes: int = MOST_BYTES,
) -> tuple[io.FileIO, str] | None:
    """Unpack an archive that holds one file.

    Args:
        file: the archive, at its beginning; it stays open.
        shown: its address, for messages.
        failure: why ``file`` ended before its end, if it did.
        clock: seconds, monotonic.
        most_bytes: that the file may have.

    Returns:
        The file at its beginning, and its name without folders. None: this is no archive.

    Raises:
        Refused: it holds no file, several, a link, or one that is too large; or it is damaged.
        Unavailable: it takes too long, or the connection broke.
        WriteError: there is no room for the file.
    """
    reader = _Reader(file, shown, failure, clock)
    try:
        block = reader.read(_BLOCK)
    except Refused:
        return None  # it only begins like gzip
    if _entry(block) is None:
        return None
    found: tuple[io.FileIO, str] | None = None
    try:
        large: int | None = None
        for _ in range(_MOST_ENTRIES):
            entry = _entry(block)
            if entry is None:
                break
            if entry.type in _EXTRA:
                large = _large_size(entry, reader)
            elif entry.isreg() and found is not None:
                raise reader.refused("the archive holds more than one file: give one with nothing else in it.")
            elif entry.isreg():
                size = entry.size if large is None else large
                if size > most_bytes:
                    raise reader.refused(f"the file in it has {size} bytes; no more than {most_bytes} are unpacked.")
                found = _copy(reader, size), PurePosixPath(entry.name).name
                large = None
            elif not entry.isdir():
                raise reader.refused(f"the archive holds {entry.name[:80]!r}, which is no plain file.")
            block = reader.read(_BLOCK)
        if block.strip(b"\0"):
            raise reader.refused(f"the archive is damaged, or has more than {_MOST_ENTRIES} entries.")
        if found is None:
            raise reader.refused("the archive holds no file.")
    except BaseException:
        if found is not None:
            found[0].close()
        raise
    return found


class _Reader:
    """The tar, decompressed where it was compressed."""

    def __init__(
        self, file: Readable, shown: str, failure: Callable[[], Exception | None], clock: Callable[[], float]
    ) -> None:
        self._shown = shown
        self._failure = failure
        self._clock = clock
        self._deadline = clock() + MOST_SECONDS
        begin = (file.read(1) or b"") + (file.read(1) or b"")
        whole = _Rejoined(begin, file)
        self._stream: Readable = gzip.GzipFile(fileobj=whole, mode="rb") if begin == _GZIP else whole

    def read(self, size: int) -> bytes:
        """Return so many bytes; fewer at the end.

        Raises:
            Refused: it is damaged.
            Unavailable: the connection broke, or it all takes too long.
        """
        if self._clock() > self._deadline:
            raise Unavailable(f"{self._shown}: unpacking it takes more than {MOST_SECONDS:g} s.")
        parts: list[bytes] = []
        try:
            while size and (part := self._stream.read(size)):
                parts.append(part)
                size -= len(part)
        except _DAMAGE:
            raise self._failure() or self.refused("the archive is damaged.") from None
        if size and (failure := self._failure()) is not None:
            raise failure
        return b"".join(parts)

    def whole(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            Refused, Unavailable: as ``read`` does, and where there are fewer.
        """
        data = self.read(size)
        if len(data) < size:
            raise self.refused("the archive ends in the middle of a file.")
        return data

    def refused(self, problem: str) -> Refused:
        """Return the user's error."""
        return Refused(f"{self._shown}: {problem}")


class _Rejoined(io.RawIOBase):
    """A file of which the first bytes were read already."""

    def __init__(self, begin: bytes, rest: Readable) -> None:
        self._begin = begin
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes."""
        if self._begin:
            data, self._begin = self._begin[:size], self._begin[size:]
            return data
        return self._rest.read(size) or b""


def _entry(block: bytes) -> tarfile.TarInfo | None:
    """Return the entry that a block begins, or None."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def _large_size(entry: tarfile.TarInfo, reader: _Reader) -> int | None:
    """Return the size that an extra entry gives the next one, if it does."""
    if entry.size > _EXTRA_BYTES:
        raise reader.refused("the archive is damaged: what it says of a file is far too long.")
    text = reader.whole(entry.size + -entry.size % _BLOCK)[: entry.size]
    found = _LARGE_SIZE.search(text) if entry.type == tarfile.XHDTYPE else None
    return int(found[1]) if found else None


def _copy(reader: _Reader, size: int) -> io.FileIO:
    """Return a nameless file with the next ``size`` bytes, at its beginning."""
    place = f"the unpacked file in {tempfile.gettempdir()}"
    with writing(place):
        made = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (handed to the caller)
    with made:
        left = size
        while left:
            data = reader.whole(min(left, _CHUNK))
            with writing(place):
                made.write(data)
            left -= len(data)
        reader.whole(-size % _BLOCK)
        made.seek(0)
        return io.FileIO(os.dup(made.fileno()), "rb")
