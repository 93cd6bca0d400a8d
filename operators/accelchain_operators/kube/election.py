# SPDX-License-Identifier: Apache-2.0
"""Who leads, decided from a Lease and our own clock. Pure.

The rules are client-go's. A Lease is over when *we* have not seen it change for as long as it says: the times written
in it are other machines' and are not looked at, so the clocks of replicas may differ. A leader counts the time that
its Lease is good for from before it asked for it, a standby from after it saw it, and the leader's time is shorter:
so the first is over before the second, whatever the network does between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """Seconds; the defaults are controller-runtime's.

    Raises:
        ValueError: the leader would not be gone before another takes over.
    """

    duration: int = 15
    """How long a Lease that is not renewed holds others off."""
    renew_deadline: float = 10.0
    """How long after its last renewal a leader goes on."""
    retry_period: float = 2.0
    """From one renewal to the next."""

    def __post_init__(self) -> None:
        if not 0 < self.retry_period < self.renew_deadline < self.duration:
            raise ValueError("a Lease needs 0 < retry_period < renew_deadline < duration")


@dataclass(frozen=True, slots=True)
class Record:
    """A Lease as the API told it."""

    holder: str
    """Empty: it was released."""
    duration: float
    renewed: str
    transitions: int
    version: int
    """The resourceVersion, the precondition of every write."""

    @classmethod
    def of(cls, lease: Mapping[str, Any]) -> Record:
        """Read a Lease as JSON."""
        spec = lease.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration=float(spec.get("leaseDurationSeconds") or 0),
            renewed=spec.get("renewTime") or "",
            transitions=int(spec.get("leaseTransitions") or 0),
            version=int(lease["metadata"]["resourceVersion"]),
        )

    def says_the_same(self, other: Record) -> bool:
        """Whether nobody renewed it between the two; somebody may have put a label on it."""
        return (self.holder, self.renewed, self.transitions) == (other.holder, other.renewed, other.transitions)


@dataclass(frozen=True, slots=True)
class Observation:
    """What we know of the Lease, and since when by our clock (s)."""

    record: Record | None
    since: float


@dataclass(frozen=True, slots=True)
class Create:
    """There is no Lease: make it."""


@dataclass(frozen=True, slots=True)
class Take:
    """The Lease is free, over, or our own: write our name into it, provided that it is still that version."""

    record: Record


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else leads: look again when the Lease changes, or after so many seconds."""

    seconds: float


def observe(before: Observation | None, record: Record | None, now: float) -> Observation:
    """Return what is known after the API told of a record (None: there is no Lease) at ``now``.

    Answers and watch events arrive in any order: what is older than what we know changes nothing.
    """
    known = before.record if before is not None else None
    if before is None or record is None or known is None:
        return Observation(record, now)
    if record.version < known.version:
        return before
    return Observation(record, before.since if record.says_the_same(known) else now)


def decide(seen: Observation, identity: str, now: float) -> Create | Take | Wait:
    """Return what a replica does that wants to lead."""
    record = seen.record
    if record is None:
        return Create()
    left = seen.since + record.duration - now
    if record.holder in ("", identity) or left <= 0:
        return Take(record)
    return Wait(left)
