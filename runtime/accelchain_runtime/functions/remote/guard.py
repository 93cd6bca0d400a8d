# SPDX-License-Identifier: Apache-2.0
"""Connections of functions: every socket is opened here, to an address that was checked, and to no other."""

from __future__ import annotations

import socket
import threading
import time
from queue import Empty, SimpleQueue

from accelchain_runtime.engine.reach import Reach

from .failures import Refused, Unavailable
from .networks import closed, parse_rule


class Guard:
    """Resolves a name once, checks what it resolved to, and connects to just that: nothing is resolved twice."""

    def __init__(self, reach: Reach) -> None:
        """Read the rules.

        Raises:
            Refused: an entry of ``allow`` is malformed.
        """
        self.confined = reach.confined
        try:
            self._rules = tuple(parse_rule(text) for text in reach.allow)
        except ValueError as error:
            raise Refused(f"the administrator's allow list: {error}.") from None

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """Open a TCP connection.

        Args:
            host: a name or an address.
            port: 1 to 65535.
            seconds: for resolving and connecting together; the socket's timeout afterwards.

        Raises:
            Refused: the name is unknown, nobody listens, or the address is closed to a confined worker.
            Unavailable: no answer in time.
        """
        deadline = time.monotonic() + seconds
        where = f"{host}:{port}"
        problem: Exception = Unavailable(f"{where}: no answer within {seconds:g} s.")
        for family, address in _resolve(host, port, seconds):
            if self.confined and (kind := closed(host, port, address[0], self._rules)):
                shown = where if host == address[0] else f"{where} is {address[0]}, and"
                problem = Refused(
                    f"{shown} {'is ' if host == address[0] else ''}a {kind} address, which workers may not reach; "
                    "the administrator can open it in the worker configuration's allow list."
                )
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                break
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.settimeout(left)
                connection.connect(address)
            except OSError as error:
                connection.close()
                problem = _connect_problem(error, where, seconds)
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.settimeout(seconds)
            return connection
        raise problem


def _connect_problem(error: OSError, where: str, seconds: float) -> Exception:
    if isinstance(error, ConnectionRefusedError):
        return Refused(f"{where}: the connection was refused: nothing listens there.")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where}: no answer within {seconds:g} s.")
    return Unavailable(f"{where}: can't be reached ({error.strerror or error}).")


def _resolve(host: str, port: int, seconds: float) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Resolve with a deadline, which the system's resolver has none of: it is left behind in its thread."""
    answers: SimpleQueue[list[tuple[socket.AddressFamily, tuple[str, int]]] | OSError | UnicodeError] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(family, sockaddr) for family, _, _, _, sockaddr in found])  # type: ignore[misc]
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of no or more than 63 characters
            answers.put(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise Unavailable(f"{host}: its name was not resolved within {seconds:g} s.") from None
    if isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN:
        raise Unavailable(f"{host}: its name can't be resolved now ({answer.strerror}).")
    if isinstance(answer, Exception):
        raise Refused(f"{host}: there is no host of this name.")
    return answer
