# SPDX-License-Identifier: Apache-2.0
"""Sources as files that can be read, whatever their address: for libraries that take a Python file."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address, parse

from . import archive, confined
from .failures import Refused, Unavailable, as_input_error
from .object_file import Fetch, ObjectFile

_NESTED = 200
"""So many playlists and parts are read until a video is open: a playlist that names itself must not go on for ever."""


class Source:
    """An open source. Used by one thread.

    Attributes:
        file: to read and, where it can be, to seek; its ``name`` is the address, ending included.
        nested: opens what the content names (a playlist's parts); None where that may not be.
    """

    def __init__(
        self,
        file: io.FileIO | ObjectFile,
        close: Callable[[], None],
        fetch_of: Callable[[str], Fetch] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.file = file
        self._close = close
        self._fetch_of = fetch_of
        self._seconds = seconds
        self._left: float = _NESTED
        self._inner: ObjectFile | None = None
        self._failure: Exception | None = None
        self.nested = self._open_nested if fetch_of is not None else None

    @property
    def failure(self) -> Exception | None:
        """Why reading ended before the end, if it did; reads then return nothing instead of raising."""
        for each in (self._inner, self.file):
            if self._failure is None:
                self._failure = getattr(each, "failure", None)
        return self._failure

    def begin(self) -> None:
        """It is open: from now on its content may name as many others as it likes."""
        self._left = math.inf

    @staticmethod
    def at_setup(failure: Exception) -> Exception:
        """What a failure is while the source is opened: the user's, where no further attempt would help."""
        return as_input_error(failure) if isinstance(failure, Refused) else failure

    def close(self) -> None:
        """Close the file and all connections."""
        self.file.close()
        self._close()

    def _open_nested(self, url: str, flags: int, options: object) -> io.RawIOBase | io.BytesIO:
        """Open what the content names, as libraries call it; what may not be opened is empty, and a ``failure``."""
        assert self._fetch_of is not None
        if self.failure is None:
            try:
                self._left -= 1
                if self._left < 0:
                    raise Refused(f"{self.file.name}: it names more than {_NESTED} others before it shows a picture.")
                address = parse(url, ("http", "https"))
                self._inner = ObjectFile(self._fetch_of(address.url), address.shown, self._seconds)
                return self._inner
            except InputError:
                scheme = url.partition(":")[0][:20]
                self._failure = Refused(f"{self.file.name}: it names an address of kind {scheme!r}: not allowed.")
            except (Refused, Unavailable) as error:
                self._failure = error
        return io.BytesIO()


def open_source(address: Address, uri: str, reach: Reach, seconds: float) -> Source:
    """Open a source; an archive that holds one file is that file (``archive``).

    Args:
        address: of scheme file (a confined plan's: only within its volumes), http, https or s3.
        uri: the function's parameter that it was parsed from.
        reach: the plan's.
        seconds: that a server may take to open it, and to send any further data.

    Raises:
        InputError: it is missing, or the address, credentials or rules are wrong.
        Unavailable: the server is down or slow.
        WriteError: there is no room to unpack an archive.
    """
    try:
        if archive.is_named_so(address.path.name if address.scheme == "file" else address.route):
            source = _unpacked(_open(address, uri, reach, seconds), address)
            if source is not None:
                return source
        return _open(address, uri, reach, seconds)
    except Refused as error:
        raise as_input_error(error) from None


def _open(address: Address, uri: str, reach: Reach, seconds: float) -> Source:
    if address.scheme == "file":
        return _open_file(address, reach)
    if address.scheme == "s3":
        return _open_s3(address, uri, reach, seconds)
    return _open_http(address, uri, reach, seconds)


def _unpacked(packed: Source, address: Address) -> Source | None:
    """Return what an archive holds, closing it; None: it is no archive."""
    try:
        found = archive.unpacked(packed.file, address.shown, lambda: packed.failure)
    finally:
        packed.close()
    if found is None:
        return None
    file, name = found
    file.name = f"{address.shown}/{name}"
    return Source(file, lambda: None)


def _open_file(address: Address, reach: Reach) -> Source:
    if reach.confined:
        file = io.FileIO(confined.open_file(address.path, reach.volumes), "rb")
    else:
        try:
            # O_NONBLOCK: a pipe must not keep the worker waiting for who writes into it
            descriptor = os.open(address.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"{address.path}: {error.strerror}.") from None
        file = io.FileIO(confined.regular(descriptor, address.path), "rb")
    file.name = str(address.path)
    return Source(file, lambda: None)


def _open_s3(address: Address, uri: str, reach: Reach, seconds: float) -> Source:
    from .s3_client import S3  # imported where it is used, as urllib3 is: memory
    from .s3_object import S3Object

    site = S3Object(S3(address, uri, reach, seconds))
    return Source(_object(site.fetch, address, seconds, site.close), site.close)


def _open_http(address: Address, uri: str, reach: Reach, seconds: float) -> Source:
    from .http_object import HttpSite
    from .web import shown

    site = HttpSite(address, uri, reach, seconds)
    file = _object(site.fetch, address, seconds, site.close)
    file.name = shown(site.url)
    return Source(file, site.close, site.fetch_of, seconds)


def _object(fetch: Fetch, address: Address, seconds: float, close: Callable[[], None]) -> ObjectFile:
    try:
        return ObjectFile(fetch, address.shown, seconds)
    except BaseException:
        close()
        raise
