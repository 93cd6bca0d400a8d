# SPDX-License-Identifier: Apache-2.0
"""Addresses of sources and sinks: what a ``uri`` parameter says, taken apart and checked. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from accelchain_runtime.engine.function import InputError

_EXAMPLES = {
    "file": "file:///path",
    "http": "http://host/path",
    "https": "https://host/path",
    "s3": "s3://bucket/key",
    "rtsp": "rtsp://host/path",
    "rtsps": "rtsps://host/path",
}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_KEY_BYTES = 1024
"""S3's own limit."""


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address."""

    scheme: str
    """``file``, ``http``, ``https``, ``s3``, ``rtsp`` or ``rtsps``."""
    path: Path
    """Of a file: absolute. Of anything else: empty."""
    url: str = field(repr=False)
    """As it was given; of a network address without user and password."""
    shown: str
    """For messages and logs: without user, password and query, which may be secret."""
    host: str = ""
    """Of s3: the bucket."""
    port: int | None = None
    route: str = "/"
    """Of http(s) and rtsp(s): the path on the server, percent-encoded. Of s3: the key, as it is."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def with_route(self, route: str) -> Address:
        """The address of something else on the same server; ``url`` keeps its query."""
        if self.scheme == "s3":
            url = f"s3://{self.host}/{route}"
            return replace(self, route=route, url=url, shown=url)
        url, shown = (urlunsplit(urlsplit(each)._replace(path=route)) for each in (self.url, self.shown))
        return replace(self, route=route, url=url, shown=shown)


def parse(text: str, schemes: Sequence[str], parameter: str = "uri") -> Address:
    """Take an address apart.

    An absolute path without a scheme is that file, taken literally. A path in a ``file:`` address is percent-decoded.

    Args:
        text: the address.
        schemes: those that the function can open.
        parameter: the function's parameter that ``text`` came from.

    Raises:
        InputError: the address is malformed, relative, or of another scheme.
    """
    try:
        return _parse(text, schemes)
    except ValueError as error:
        raise InputError(f"{error}.", parameter=parameter) from None


def _parse(text: str, schemes: Sequence[str]) -> Address:
    wanted = "give " + " or ".join(_EXAMPLES[scheme] for scheme in schemes)
    if not text.strip():
        raise ValueError(f"the address is empty; {wanted}")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{_masked(text)!r} holds control characters; {wanted}")
    if text.startswith("/") and "file" in schemes:
        return Address("file", Path(text), text, text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{_masked(text)!r} is no valid address; {wanted}") from None
    if not parts.scheme:
        raise ValueError(f"{text!r} is a relative path; {wanted}")
    if parts.scheme not in schemes:
        raise ValueError(f"{text.split(':')[0]}: addresses are not supported by this version; {wanted}")
    if parts.scheme == "file":
        return _file(text, parts)
    if parts.scheme == "s3":
        return _s3(text)
    if not parts.hostname:
        raise ValueError(f"{_shown(parts)!r} names no host; {wanted}")
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user + password).isprintable():
        raise ValueError(f"{_shown(parts)!r}: its user or password holds control characters")
    return Address(parts.scheme, Path(), url, _shown(parts), parts.hostname, port, parts.path or "/", user, password)


def _masked(text: str) -> str:
    """An address that can't be taken apart, without what may be a password or a token in it."""
    return re.sub(r"//[^/]*@", "//", text).partition("?")[0]


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _s3(text: str) -> Address:
    """Bucket and key as other tools take them: the key begins after the bucket's slash and is not percent-decoded."""
    bucket, _, key = text.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(f"{text!r} names no bucket: 3 to 63 letters, digits, dots and hyphens; give s3://bucket/key")
    if not key or key.endswith("/"):
        raise ValueError(f"{text!r} names no object; give s3://bucket/key")
    if len(key.encode(errors="surrogateescape")) > _KEY_BYTES:
        raise ValueError(f"the key of s3://{bucket}/{key[:40]}… is longer than {_KEY_BYTES} bytes")
    if any(part in ("", ".", "..") for part in key.split("/")):
        # Libraries and servers shorten such paths, and would end at another object or bucket than the one named.
        raise ValueError(f"{text!r} has an empty part, '.' or '..' in its key")
    return Address("s3", Path(), text, text, bucket, None, key)


def _file(text: str, parts: SplitResult) -> Address:
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{text!r} names the host {parts.netloc!r}; write file:///path, with three slashes")
    for character, code in (("?", "%3F"), ("#", "%23")):
        if character in text:
            raise ValueError(f"{text!r} holds {character!r}; in the name of a file write {code}")
    path = unquote(parts.path, errors="surrogateescape")
    if "\0" in path or not path.startswith("/"):
        raise ValueError(f"{text!r} is no absolute path; give file:///path")
    return Address("file", Path(path), text, path)
