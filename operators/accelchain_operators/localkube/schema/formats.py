# SPDX-License-Identifier: Apache-2.0
"""String formats of schemas. A format that isn't listed here is not checked, as in Kubernetes."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*"
)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def parse_duration(text: str) -> timedelta:
    """Parse Go's durations (``1h30m``, ``1.5s``). Raises ValueError."""
    body = text.lstrip("+-")
    parts = _DURATION_PART.findall(body)
    if body != "0" and (not parts or "".join(number + unit for number, unit in parts) != body):
        raise ValueError(f"invalid duration {text!r}")
    total = timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    return -total if text.startswith("-") else total


def parse_date_time(text: str) -> datetime:
    """Parse RFC 3339. Raises ValueError."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is not RFC 3339")
    return datetime.fromisoformat(text.upper().replace(" ", "T"))


def _uri(text: str) -> None:
    if not urlsplit(text).scheme:
        raise ValueError("a URI needs a scheme")


def _hostname(text: str) -> None:
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("not a hostname")


def _email(text: str) -> None:
    name, at, host = text.rpartition("@")
    if not (name and at and host) or " " in text:
        raise ValueError("not an address")


_FORMATS: dict[str, Callable[[str], Any]] = {
    "date-time": parse_date_time,
    "datetime": parse_date_time,
    "date": date.fromisoformat,
    "duration": parse_duration,
    "byte": lambda text: base64.b64decode(text, validate=True),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False),
    "uri": _uri,
    "hostname": _hostname,
    "email": _email,
    "uuid": uuid.UUID,
    "mac": lambda text: bytes.fromhex(re.sub(r"[:-]", "", text)),
}


def check_format(name: str, value: Any) -> bool:
    """Whether a value has the format; true for formats that are not known."""
    if name == "int32":
        return not isinstance(value, int) or -(2**31) <= value < 2**31
    if name == "int64":
        return not isinstance(value, int) or -(2**63) <= value < 2**63
    parse = _FORMATS.get(name)
    if parse is None or not isinstance(value, str):
        return True
    try:
        parse(value)
    except (ValueError, binascii.Error):
        return False
    return True
