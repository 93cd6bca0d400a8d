# SPDX-License-Identifier: Apache-2.0
"""Objects behind http(s) addresses."""

from __future__ import annotations

import re
from base64 import b64encode

import urllib3
from urllib3.exceptions import HTTPError

from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address

from .credentials import Credentials, credentials_for
from .failures import Refused, Unavailable
from .guard import Guard
from .object_file import Fetch, Part
from .web import Web, problem, same_origin, shown

_HEADERS = {"User-Agent": "accelchain", "Accept": "*/*", "Accept-Encoding": "identity"}
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_LENGTH = re.compile(r"\d{1,18}")


class Body:
    """An answer's body that says in sentences what went wrong."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, where: str, seconds: float) -> None:
        self._answer = answer
        self._where = where
        self._seconds = seconds

    def read1(self, amt: int, /) -> bytes:
        """Return what there is, at most ``amt`` bytes; b"" at the end.

        Raises:
            Unavailable: the connection broke or stalled.
        """
        try:
            return self._answer.read1(amt)
        except (HTTPError, OSError) as error:
            raise problem(error, self._where, self._seconds) from None

    def close(self) -> None:
        """Give the connection up: what is left of the body is of no interest."""
        self._answer.close()


class HttpSite:
    """Reads an address, and others that its content names, on connections of its own. Used by one thread.

    Credentials are read anew for each request, and sent to no other server than the address's.
    """

    def __init__(self, address: Address, uri: str, reach: Reach, seconds: float) -> None:
        """Get ready; connects to nothing.

        Args:
            address: http(s).
            uri: what its credentials are for.
            reach: the plan's.
            seconds: that a server may take to answer.

        Raises:
            Refused: the credentials or the rules can't be read.
        """
        self._address = address
        self._uri = uri
        self._reach = reach
        self._seconds = seconds
        self._guard = Guard(reach)
        self._authorities = credentials_for(uri, reach).authorities
        self._web = Web(self._guard, seconds, self._authorities)
        self.url = address.url
        """Where redirects of the address led at last: what relative addresses in it are relative to."""

    def fetch(self, start: int, seconds: float) -> Part:
        """Ask for the bytes of the address from ``start`` on.

        Raises:
            Refused, Unavailable: it can't be read.
        """
        part, self.url = self._part(self._address.url, start, seconds)
        return part

    def fetch_of(self, url: str) -> Fetch:
        """A ``Fetch`` of another address."""
        return lambda start, seconds: self._part(url, start, seconds)[0]

    def close(self) -> None:
        """Close all connections."""
        self._web.close()

    def _part(self, url: str, start: int, seconds: float) -> tuple[Part, str]:
        credentials = credentials_for(self._uri, self._reach)
        if credentials.authorities != self._authorities:
            self._web.close()
            self._authorities = credentials.authorities
            self._web = Web(self._guard, self._seconds, self._authorities)
        secret = authorization(self._address, credentials) if same_origin(url, self._address.url) else {}
        answer, final = self._web.get(url, _HEADERS | {"Range": f"bytes={start}-"}, secret, seconds=seconds)
        return _part(answer, start, shown(final), seconds), final


def authorization(address: Address, credentials: Credentials) -> dict[str, str]:
    """The header that carries credentials: of the Secret, else of the address.

    Raises:
        Refused: they can't be put into a header.
    """
    if credentials.token:
        if not credentials.token.isascii():
            raise Refused("the key token of the Secret with the credentials is no bearer token: it is not ASCII.")
        return {"Authorization": f"Bearer {credentials.token}"}
    user, password = credentials.username, credentials.password
    if not user:
        user, password = address.user, address.password
    if not user:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def _part(answer: urllib3.BaseHTTPResponse, start: int, where: str, seconds: float) -> Part:
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    body = Body(answer, where, seconds)
    if answer.status == 200:
        length = answer.headers.get("Content-Length", "")
        return Part(body, 0, int(length) if _LENGTH.fullmatch(length) else None, version, seekable=False)
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status == 206 and found is not None and int(found[1]) == start:
        return Part(body, start, None if found[2] == "*" else int(found[2]), version, seekable=True)
    body.close()
    if answer.status == 206:
        raise Unavailable(f"{where}: the server answered with another part than it was asked for.")
    if start == 0:  # 416: an empty object has no byte that bytes=0- could mean
        raise Refused(f"{where}: it is empty.")
    raise Refused(f"{where}: it was replaced by another one while it was read.")
