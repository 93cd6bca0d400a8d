# SPDX-License-Identifier: Apache-2.0
"""Credentials of sources and sinks: a folder with a file a key, as Kubernetes mounts a Secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from accelchain_runtime.engine.reach import Bucket, Reach

from .failures import Refused

_KEYS = {
    "accessKeyId": "access_key_id",
    "secretAccessKey": "secret_access_key",
    "sessionToken": "session_token",
    "region": "region",
    "endpoint": "endpoint",
    "username": "username",
    "password": "password",
    "token": "token",
    "ca.crt": "authorities",
}
_PARTNERS = (("accessKeyId", "secretAccessKey"), ("secretAccessKey", "accessKeyId"), ("password", "username"))
"""Keys that are of no use without another."""
_OF_BUCKETS = ("accessKeyId", "secretAccessKey", "sessionToken", "ca.crt")
_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a Secret held when it was read. Secret parts never show in ``repr``."""

    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    region: str = ""
    endpoint: str = ""
    """Of S3: http(s)://host:port."""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """Of http(s): a bearer token."""
    authorities: str = field(default="", repr=False)
    """``ca.crt``: certificates in PEM, trusted besides the system's."""
    given: bool = False
    """Whether the flow says how the address is opened: nothing of the machine's own is used then."""


def credentials_for(uri: str, reach: Reach) -> Credentials:
    """Read the credentials of an address, anew each time: a Secret may be rotated while the flow runs.

    Args:
        uri: the function's parameter, as it was given.
        reach: the plan's.

    Raises:
        Refused: the Secret is not there, unreadable, or half of a pair is missing.
    """
    folder, bucket = reach.credentials.get(uri), reach.buckets.get(uri)
    if bucket is not None:
        return _of_bucket(folder, bucket)
    if folder is None:
        return Credentials()
    found = Credentials(**{name: _read(folder, key) for key, name in _KEYS.items()}, given=True)
    for one, other in _PARTNERS:
        if getattr(found, _KEYS[one]) and not getattr(found, _KEYS[other]):
            raise Refused(f"the Secret with the credentials has the key {one}, but not {other}.")
    if not any(getattr(found, name) for name in _KEYS.values()):
        raise Refused(f"the Secret with the credentials has none of the keys {', '.join(_KEYS)}.")
    return found


def _of_bucket(folder: Path | None, bucket: Bucket) -> Credentials:
    """Credentials whose keys the flow names one by one: each file that is there must hold something."""
    found: dict[str, str] = {}
    for key in _OF_BUCKETS:
        if folder is not None and (folder / key).exists():
            found[_KEYS[key]] = _read(folder, key)
            if not found[_KEYS[key]]:
                raise Refused(f"the key that the flow names for {key} is empty in its Secret.")
    return Credentials(**found, endpoint=bucket.endpoint, region=bucket.region, given=True)


def _read(folder: Path, key: str) -> str:
    try:
        with (folder / key).open("rb") as file:
            text = file.read(_FILE_BYTES).decode().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise Refused(f"the key {key} of the Secret with the credentials can't be read as text.") from None
    if key != "ca.crt" and not text.isprintable():
        raise Refused(f"the key {key} of the Secret with the credentials holds control characters.")
    return text
