# SPDX-License-Identifier: Apache-2.0
"""What can be counted and timed. These meters do nothing: ``metrics`` has those that a Prometheus server reads.

So nothing is counted, and no library for it is loaded, where nobody looks (``accelchain up``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Result = Literal["success", "requeue_after", "error"]
Count = tuple[str, float]
"""A label's value and the number that belongs to it."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """A work queue at a moment."""

    depth: int
    """Keys that wait."""
    busy: tuple[float, ...]
    """For how many seconds each of the keys at work has been so."""


class QueueMeter:
    """Told what happens in a work queue."""

    def added(self) -> None:
        """A key began to wait."""

    def retried(self) -> None:
        """A key failed and is tried again."""

    def taken(self, waited: float) -> None:
        """A key was handed out after so many seconds."""

    def done(self, worked: float) -> None:
        """A key was given back after so many seconds."""


class Meter:
    """Told what happens in the process."""

    def queue(self, name: str, state: Callable[[], QueueState]) -> QueueMeter:
        """Return the meter of a controller's queue; ``state`` is asked when somebody looks."""
        return QueueMeter()

    def controller(self, name: str, workers: int) -> None:
        """A controller of so many workers begins."""

    def working(self, name: str, by: int) -> None:
        """A worker of a controller began (1) or ended (-1) with a key."""

    def reconciled(self, name: str, result: Result, seconds: float) -> None:
        """A controller ended with a key."""

    def request(self, code: str, method: str, host: str) -> None:
        """The Kubernetes API answered; ``code`` is ``<error>`` where it did not."""

    def leads(self, lease: str, leader: bool) -> None:
        """This process leads now, or does not."""

    def placed(self, seconds: float) -> None:
        """A flow was placed so long after it was accepted."""

    def gauge(self, name: str, about: str, label: str, counts: Callable[[], Iterable[Count]]) -> None:
        """Have something counted whenever somebody looks."""
