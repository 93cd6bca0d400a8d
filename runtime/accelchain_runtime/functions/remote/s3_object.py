# SPDX-License-Identifier: Apache-2.0
"""Objects in S3 as sources."""

from __future__ import annotations

from typing import Any

from .failures import Unavailable
from .object_file import Part
from .s3_client import S3

_READ_BYTES = 256 << 10


class S3Body:
    """The body of an object."""

    def __init__(self, stream: Any, shown: str) -> None:
        self._stream = stream
        self._shown = shown

    def read1(self, amt: int, /) -> bytes:
        """Return at most ``amt`` bytes; b"" at the end.

        Raises:
            Unavailable: the connection broke or stalled.
        """
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            data: bytes = self._stream.read(min(amt, _READ_BYTES))
        except (BotoCoreError, HTTPError, OSError):
            raise Unavailable(f"{self._shown}: the connection broke or sends no more data.") from None
        return data

    def close(self) -> None:
        """Give the connection up."""
        self._stream.close()


class S3Object:
    """Reads one object."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3

    def fetch(self, start: int, seconds: float) -> Part:
        """Ask for the bytes from ``start`` on.

        Raises:
            Refused, Unavailable: it can't be read.
        """
        answer = self._s3.call("get_object", seconds=seconds, Range=f"bytes={start}-")
        body = S3Body(answer["Body"], self._s3.address.shown)
        size = answer.get("ContentRange", "").rpartition("/")[2]
        if not size.isdigit():  # it sent the whole object
            return Part(body, 0, answer.get("ContentLength"), answer.get("ETag", ""), seekable=False)
        return Part(body, start, int(size), answer.get("ETag", ""), seekable=True)

    def close(self) -> None:
        """Close all connections."""
        self._s3.close()
