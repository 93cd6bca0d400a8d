# SPDX-License-Identifier: Apache-2.0
"""Opening a camera."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address

from ..credentials import credentials_for
from ..failures import Refused, as_input_error
from ..guard import Guard
from .login import Login
from .relay import Relay

_PORTS = {"rtsp": 554, "rtsps": 322}


class Camera:
    """A camera that FFmpeg can open.

    Attributes:
        url: what FFmpeg opens: the relay.
        options: FFmpeg's options with it.
    """

    def __init__(self, relay: Relay, address: Address, seconds: float) -> None:
        self._relay = relay
        query = urlsplit(address.url).query
        self.url = f"{relay.local}{address.route}{f'?{query}' if query else ''}"
        self.options = {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video",
            "timeout": str(round(2 * seconds * 1_000_000)),  # the relay's own comes first, and says why
            "fpsprobesize": "3",  # FFmpeg looks at twenty pictures otherwise, at 10 a second for two seconds
        }

    @property
    def failure(self) -> Exception | None:
        """Why the stream ended, if it did not end by itself."""
        return self._relay.failure

    @staticmethod
    def at_setup(failure: Exception) -> Exception:
        """What a failure is while the camera is opened: the user's, where no further attempt would help."""
        return as_input_error(failure) if isinstance(failure, Refused) else failure

    def close(self) -> None:
        """Close the connection."""
        self._relay.close()


def open_camera(address: Address, uri: str, reach: Reach, seconds: float) -> Camera:
    """Connect to a camera, with its credentials as they are now.

    Args:
        address: of scheme rtsp or rtsps.
        uri: the function's parameter that it was parsed from.
        reach: the plan's.
        seconds: that the camera may take to answer, and be silent.

    Raises:
        InputError: the address, credentials or rules are wrong.
        Unavailable: it does not answer.
    """
    try:
        credentials = credentials_for(uri, reach)
        user, password = credentials.username, credentials.password
        if not user:
            user, password = address.user, address.password
        port = address.port or _PORTS[address.scheme]
        connection = Guard(reach).connect(address.host, port, seconds)
        if address.scheme == "rtsps":
            connection = _secure(connection, address.host, credentials.authorities, seconds)
    except Refused as error:
        raise as_input_error(error) from None
    host = f"[{address.host}]" if ":" in address.host else address.host
    server = f"{address.scheme}://{host}{f':{address.port}' if address.port else ''}"
    relay = Relay(connection, server, address.shown, Login(user, password), seconds)
    relay.start()
    return Camera(relay, address, seconds)


def _secure(connection: socket.socket, host: str, authorities: str, seconds: float) -> socket.socket:
    from ..web import problem, trusting  # imported where it is used: it brings urllib3

    try:
        return trusting(authorities).wrap_socket(connection, server_hostname=host)
    except OSError as error:  # ssl.SSLError is one
        connection.close()
        raise problem(error, host, seconds) from None
    except (Refused, ssl.CertificateError):
        connection.close()
        raise
