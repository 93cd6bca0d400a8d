# SPDX-License-Identifier: Apache-2.0
"""What is particular to a kind: a strategy prepares and checks objects before they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

from accelchain_operators.localkube.errors import Cause, invalid_value
from accelchain_operators.localkube.objects import JsonObject

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN.pattern}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name', regex used for validation is '{_LABEL.pattern}')"
)


class Strategy:
    """The default: an ordinary object."""

    keeps_status = False
    """Whether ``status`` of a new object is taken from the request."""

    def check_name(self, name: str) -> Iterable[Cause]:
        """Yield what is wrong with a name: subdomains of up to 253 characters are right for most kinds."""
        if len(name) > 253:
            yield invalid_value("metadata.name", name, "must be no more than 253 bytes")
        if not _SUBDOMAIN.fullmatch(name):
            yield invalid_value("metadata.name", name, _SUBDOMAIN_TEXT)

    def prepare_create(self, obj: JsonObject) -> None:
        """Fill in what the server sets on a new object."""

    def prepare_update(self, obj: JsonObject, old: JsonObject, subresource: str) -> None:
        """Fill in, or put back, what the server sets on a changed object."""

    def check(self, obj: JsonObject, old: JsonObject | None) -> Iterable[Cause]:
        """Yield what is wrong with an object beyond its schema; ``old`` is None for a new one."""
        return ()

    def grace_seconds(self, obj: JsonObject, asked: int | None) -> int:
        """Return how long an object lives on after its deletion was asked for."""
        return 0


class LabelNamed(Strategy):
    """Kinds whose names are DNS labels of up to 63 characters."""

    def check_name(self, name: str) -> Iterable[Cause]:
        """Yield what is wrong with a name."""
        if len(name) > 63:
            yield invalid_value("metadata.name", name, "must be no more than 63 characters")
        if not _LABEL.fullmatch(name):
            yield invalid_value("metadata.name", name, _LABEL_TEXT)


class PathNamed(Strategy):
    """Kinds whose names may hold everything that fits into a path (roles: ``system:node``)."""

    def check_name(self, name: str) -> Iterable[Cause]:
        """Yield what is wrong with a name."""
        if name in (".", "..") or "/" in name or "%" in name:
            yield invalid_value("metadata.name", name, "may not be '.' or '..' nor contain '/' or '%'")
