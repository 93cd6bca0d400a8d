# SPDX-License-Identifier: Apache-2.0
"""Errors of the API as Kubernetes words them: each is a ``Status`` object with a code and a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelchain_operators.localkube.objects import JsonObject


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with an object: where, what kind of fault, and a sentence."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def text(self) -> str:
        """Return ``field: message``."""
        return f"{self.field}: {self.message}" if self.field else self.message


def invalid_value(field: str, value: Any, message: str) -> Cause:
    """Return the cause for a wrong value."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause(field, f"Invalid value: {shown}: {message}")


def forbidden_field(field: str, message: str) -> Cause:
    """Return the cause for a field that may not be set or changed."""
    return Cause(field, f"Forbidden: {message}", "FieldValueForbidden")


def required_field(field: str, message: str = "Required value") -> Cause:
    """Return the cause for a field that lacks."""
    return Cause(field, message, "FieldValueRequired")


class StatusError(Exception):
    """A request that failed; ``status()`` is the body of the answer."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: JsonObject | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> JsonObject:
        """Return the ``Status`` object."""
        body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


def qualified(group: str, plural: str) -> str:
    """Return ``plural.group``, or ``plural`` in the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> StatusError:
    """404: the object doesn't exist."""
    details = {"name": name, "group": group, "kind": plural}
    return StatusError(404, "NotFound", f'{qualified(group, plural)} "{name}" not found', details=details)


def no_such_resource() -> StatusError:
    """404: this group has no such resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


class NoSuchPageError(Exception):
    """404: nothing is served below this path. The one answer that is plain text, as a real server's router sends it."""


def already_exists(group: str, plural: str, name: str) -> StatusError:
    """409: the name is taken."""
    details = {"name": name, "group": group, "kind": plural}
    return StatusError(409, "AlreadyExists", f'{qualified(group, plural)} "{name}" already exists', details=details)


def conflict(group: str, plural: str, name: str, why: str = "") -> StatusError:
    """409: the object has changed since it was read."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details={"name": name, "group": group, "kind": plural})


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: the object breaks its schema or a rule."""
    texts = [cause.text() for cause in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field or "<nil>"} for c in causes],
    }
    return StatusError(422, "Invalid", f'{qualified(group, kind)} "{name}" is invalid: {joined}', details=details)


def bad_request(message: str) -> StatusError:
    """400: the request itself makes no sense."""
    return StatusError(400, "BadRequest", message)


def forbidden(message: str, details: JsonObject | None = None) -> StatusError:
    """403: understood and refused."""
    return StatusError(403, "Forbidden", message, details=details)


def expired(message: str) -> StatusError:
    """410: the revision is older than what is kept."""
    return StatusError(410, "Expired", message)


def method_not_allowed(method: str) -> StatusError:
    """405: the resource has no such verb."""
    message = f"the server does not allow this method on the requested resource: {method}"
    return StatusError(405, "MethodNotAllowed", message)


def unsupported_media_type(content_type: str, accepted: Sequence[str]) -> StatusError:
    """415: the body is in a format that is not read here."""
    message = f"the body of the request was in an unknown format ({content_type}) - accepted media types include: "
    return StatusError(415, "UnsupportedMediaType", message + ", ".join(accepted))
