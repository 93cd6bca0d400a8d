# SPDX-License-Identifier: Apache-2.0
"""Faults for tests: errors, delays and broken watches for the requests that match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accelchain_operators.localkube.errors import StatusError
from accelchain_operators.localkube.web.request_info import RequestInfo

_REASONS = {
    409: ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    410: ("Expired", "The resourceVersion for the provided watch is too old."),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: injected"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


@dataclass(slots=True)
class Fault:
    """What goes wrong, for which requests, how often. Empty fields match everything."""

    verb: str = ""
    resource: str = ""
    group: str | None = None
    name: str = ""
    subresource: str | None = None
    matches: Callable[[RequestInfo], bool] | None = None
    times: int | None = 1
    """How many requests meet it; None: all."""
    skip: int = 0
    """How many matching requests pass before."""
    code: int = 0
    """The answer's code: 409, 410 (in a watch: as its first event), 429, 500, 503, 504; 0: no error."""
    retry_after: int | None = None
    """Seconds, with 429 and 503."""
    latency: float = 0.0
    """Seconds before the request is looked at."""
    after_write: bool = False
    """The request is done, and only then answered with the error: what a lost answer looks like."""
    drop_after: int | None = None
    """A watch is cut after so many events."""
    hits: int = 0
    """How many requests have met it."""

    def fits(self, info: RequestInfo) -> bool:
        """Whether a request is one that this fault is for."""
        return (
            self.verb in ("", info.verb)
            and self.resource in ("", info.resource)
            and self.group in (None, info.group)
            and self.name in ("", info.name)
            and self.subresource in (None, info.subresource)
            and (self.matches is None or self.matches(info))
        )

    def error(self) -> StatusError | None:
        """Return the error to answer with."""
        if not self.code:
            return None
        reason, message = _REASONS.get(self.code, ("InternalError", f"injected {self.code}"))
        return StatusError(self.code, reason, message, retry_after=self.retry_after)


class Faults:
    """The faults that are set; the first that fits a request is the one that it meets."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Set a fault; returns it, to look at its hits."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Take all faults away."""
        self._faults.clear()

    def take(self, info: RequestInfo) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        for fault in self._faults:
            if not fault.fits(info):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                if fault.times <= 0:
                    continue
                fault.times -= 1
            fault.hits += 1
            return fault
        return None
