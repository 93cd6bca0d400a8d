# SPDX-License-Identifier: Apache-2.0
"""Addresses of sources and sinks: what a ``uri`` parameter says, taken apart and checked. Opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from accelchain_runtime.engine.function import InputError

_EXAMPLES = {"file": "file:///path", "http": "http://host/path", "https": "https://host/path"}


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address."""

    scheme: str
    """``file``, ``http`` or ``https``."""
    path: Path
    """Of a file: absolute. Of anything else: empty."""
    url: str
    """As it was given."""
    shown: str
    """For messages and logs: without user, password and query, which may be secret."""
    host: str = ""
    port: int | None = None
    route: str = "/"
    """Of http(s): the path on the server, percent-encoded."""


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
        raise ValueError(f"{text!r} holds control characters; {wanted}")
    if text.startswith("/") and "file" in schemes:
        return Address("file", Path(text), text, text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no valid address ({error}); {wanted}") from None
    if not parts.scheme:
        raise ValueError(f"{text!r} is a relative path; {wanted}")
    if parts.scheme not in schemes:
        raise ValueError(f"{text.split(':')[0]}: addresses are not supported by this version; {wanted}")
    if parts.scheme == "file":
        return _file(text, parts)
    if not parts.hostname:
        raise ValueError(f"{text!r} names no host; {wanted}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{parts.path}"
    return Address(parts.scheme, Path(), text, shown, parts.hostname, port, parts.path or "/")


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
