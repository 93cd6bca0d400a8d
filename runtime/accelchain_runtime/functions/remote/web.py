# SPDX-License-Identifier: Apache-2.0
"""HTTP for sources and sinks: every connection by the ``Guard``, every redirect looked at before it is followed."""

from __future__ import annotations

import socket
import ssl
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, SSLError
from urllib3.exceptions import TimeoutError as WebTimeout

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.addresses import parse

from .failures import Refused, Unavailable
from .guard import Guard

_REDIRECTS = 5
_REDIRECTING = (301, 302, 303, 307, 308)
_TRY_LATER = (408, 425, 429)
_PORTS = {"http": 80, "https": 443}
_SAYINGS = {
    401: "the credentials are missing or wrong",
    403: "access is forbidden: the credentials are missing, wrong or expired, or don't allow it",
    404: "there is nothing at this address",
    407: "a proxy wants credentials",
    410: "it is gone for good",
}


class Web:
    """A pool of connections with one set of trusted authorities. Used by one thread at a time."""

    def __init__(self, guard: Guard, seconds: float, authorities: str = "") -> None:
        """Get ready; connects to nothing.

        Args:
            guard: opens the sockets.
            seconds: that a server may take to accept a connection and to answer, and between two pieces of an answer.
            authorities: certificates in PEM that are trusted besides the system's.

        Raises:
            Refused: ``authorities`` are no certificates.
        """
        self.seconds = seconds
        self._options: dict[str, Any] = {"ssl_context": trusting(authorities)}
        self._classes = _pool_classes(guard)
        # Whoever runs a worker may have it use a proxy; one that is confined could get out through it.
        self._proxies = {} if guard.confined else urllib.request.getproxies()
        self._managers: dict[str, urllib3.PoolManager] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None, *, seconds: float | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return whatever the answer is, its body unread; no redirect is followed.

        Raises:
            Refused: the server may not be reached, or is not who it should be.
            Unavailable: it is down, slow, or broke off.
        """
        limit = seconds or self.seconds
        try:
            return self._manager(url).request(
                method,
                url,
                body=body,
                headers=dict(headers),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=limit, read=limit),
            )
        except (HTTPError, OSError) as error:
            raise problem(error, urlsplit(url).hostname or "", limit) from None

    def get(
        self, url: str, headers: Mapping[str, str], secret: Mapping[str, str], *, seconds: float | None = None
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Send a GET, follow redirects, and return the answer (of status 200, 206 or 416) and its address.

        Args:
            url: http(s), without user and password.
            headers: sent to every server on the way.
            secret: headers sent to the first server only: credentials.
            seconds: instead of the object's own.

        Raises:
            Refused, Unavailable: as ``send``; an answer that is an error; a redirect that may not be followed.
        """
        current = url
        for _ in range(_REDIRECTS + 1):
            own = secret if same_origin(current, url) else {}
            answer = self.send("GET", current, {**headers, **own}, seconds=seconds)
            target = answer.headers.get("Location") if answer.status in _REDIRECTING else None
            if target is None:
                if answer.status in (200, 206, 416):
                    return answer, current
                answer.close()
                raise failed(answer.status, shown(current))
            answer.close()
            current = _redirected(current, target)
        raise Refused(f"{shown(url)}: it redirects without end.")

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()
        self._managers.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme, "")
        if proxy and urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            proxy = ""
        if proxy not in self._managers:
            if proxy:
                manager: urllib3.PoolManager = urllib3.ProxyManager(
                    proxy if "://" in proxy else f"http://{proxy}", **self._options
                )
            else:
                manager = urllib3.PoolManager(**self._options)
            manager.pool_classes_by_scheme = self._classes
            self._managers[proxy] = manager
        return self._managers[proxy]


def trusting(authorities: str) -> ssl.SSLContext:
    """What TLS needs to verify servers: the system's authorities, and those in PEM.

    Raises:
        Refused: ``authorities`` are no certificates.
    """
    context = ssl.create_default_context()
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError):
            raise Refused("ca.crt of the Secret with the credentials holds no certificates in PEM.") from None
    return context


def shown(url: str) -> str:
    """An address for messages: without user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def failed(status: int, where: str) -> Refused | Unavailable:
    """The failure that an answer's status is. The server's own words are not repeated: they may be anything."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    if status >= 500 or status in _TRY_LATER:
        return Unavailable(f"{where}: the server answered {phrase}.")
    saying = _SAYINGS.get(status)
    return Refused(f"{where}: the server answered {phrase}{f': {saying}' if saying else ''}.")


def problem(error: Exception, host: str, seconds: float) -> Refused | Unavailable:
    """The failure that an error of the connection is."""
    if isinstance(error, SSLError | ssl.SSLError):
        cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Refused(
                f"{host}: its certificate is not trusted ({cause.verify_message}); if its authority is your own, give "
                "its certificate as key ca.crt of the Secret with the credentials."
            )
        if isinstance(cause, ssl.SSLError) and cause.reason and "EOF" not in cause.reason:
            return Refused(f"{host}: TLS failed ({cause.reason.replace('_', ' ').lower()}): does it speak TLS there?")
        return Unavailable(f"{host}: the connection broke while TLS was set up.")
    if isinstance(error, WebTimeout | TimeoutError):
        return Unavailable(f"{host}: no answer within {seconds:g} s.")
    return Unavailable(f"{host}: the connection broke.")


def _redirected(current: str, target: str) -> str:
    """Where a redirect leads, if it may be followed."""
    url = urljoin(current, target)
    try:
        address = parse(url, ("http", "https"))
    except InputError:
        raise Refused(f"{shown(current)}: it redirects to an address that is neither http nor https.") from None
    if urlsplit(current).scheme == "https" and address.scheme == "http":
        raise Refused(f"{shown(current)}: it redirects from https to http, which is not secure.")
    return address.url


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses are of one server."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _pool_classes(guard: Guard) -> dict[str, Any]:
    """urllib3's pools, with sockets of the guard's."""

    def connect(connection: HTTPConnection) -> socket.socket:
        timeout = connection.timeout
        assert isinstance(timeout, int | float), "every request has a timeout"
        return guard.connect(connection.host, connection.port or connection.default_port, timeout)

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
