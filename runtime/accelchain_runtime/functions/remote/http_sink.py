# SPDX-License-Identifier: Apache-2.0
"""Results that are sent by HTTP PUT, in one request, when they are published."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address
from accelchain_runtime.functions.files import WriteError, writing

from .credentials import credentials_for
from .failures import Refused, Unavailable
from .guard import Guard
from .http_object import authorization
from .s3_sink import content_type
from .web import Web, failed

_TRIES = 2


class HttpSink:
    """A result being written: an ``Unfinished`` of ``functions.publication``. The bytes lie in a file without name."""

    def __init__(self, address: Address, uri: str, reach: Reach, seconds: float) -> None:
        """Ask the server for the address, whatever it answers: so it is known to be there, and who it says it is.

        Raises:
            Refused, Unavailable: it may not be reached, or is down.
        """
        self._address = address
        self._uri = uri
        self._reach = reach
        self._size = 0
        credentials = credentials_for(uri, reach)
        self._web = Web(Guard(reach), seconds, credentials.authorities)
        self._web.send("HEAD", address.url, authorization(address, credentials)).close()
        self.file: BinaryIO = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  (until discard)
        """Where the bytes go; seekable."""

    @property
    def name(self) -> str:
        """The address, for messages."""
        return self._address.shown

    def complete(self) -> int:
        """Return the result's size in bytes; nothing is sent yet.

        Raises:
            WriteError: the last bytes can't be written.
        """
        with writing(self.name):
            self.file.flush()
            self._size = self.file.seek(0, 2)
        return self._size

    def publish(self) -> None:
        """Send the result.

        Raises:
            WriteError: the server did not take it.
        """
        for left in reversed(range(_TRIES)):
            try:
                self._put()
                break
            except Unavailable as error:
                if not left:
                    raise WriteError(f"can't write {error}") from error
            except Refused as error:
                raise WriteError(f"can't write {error}") from error
        self.discard()

    def discard(self) -> None:
        """Forget the result, if it isn't published. Callable in any state."""
        self.file.close()
        self._web.close()

    def _put(self) -> None:
        self.file.seek(0)
        headers = {
            "Content-Length": str(self._size),
            "Content-Type": content_type(self.name),
            "User-Agent": "accelchain",
            **authorization(self._address, credentials_for(self._uri, self._reach)),
        }
        answer = self._web.send("PUT", self._address.url, headers, self.file)
        answer.close()
        if 300 <= answer.status < 400:
            raise Refused(f"{self.name}: the server redirects what is sent to it; give the address that it leads to.")
        if not 200 <= answer.status < 300:
            raise failed(answer.status, self.name)
