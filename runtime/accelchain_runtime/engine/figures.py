# SPDX-License-Identifier: Apache-2.0
"""Counters of functions and edges: written by the loop, read by the status server."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.function import Event

_SAMPLE_SECONDS = 0.02
"""Device commands are timed this often at most: reading a device's clock costs more than enqueueing."""
_WINDOW_SECONDS = 2.0
_LAST_FRAMES = 101


@dataclass(slots=True)
class Mean:
    """A running mean."""

    count: int = 0
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one more value."""
        self.count += 1
        self.total += seconds

    @property
    def value(self) -> float:
        """The mean; 0 without values."""
        return self.total / self.count if self.count else 0.0


class Typical:
    """The median of the last values.

    Where every core is at work the loop is woken late now and then, by milliseconds. That is not the edge's doing, and
    would be most of a mean (on two busy cores 0.6 to 1.1 ms, where the median is 0.07 ms). What is slow for fewer than
    half of the frames does not show.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_LAST_FRAMES)

    def add(self, seconds: float) -> None:
        """Take one more value."""
        self._values.append(seconds)

    @property
    def value(self) -> float | None:
        """The median; None without values."""
        values = sorted(self._values.copy())
        return values[len(values) // 2] if values else None


class Rate:
    """Frames a second over the last two seconds."""

    __slots__ = ("_marks",)

    def __init__(self, began: float) -> None:
        self._marks: deque[tuple[float, int]] = deque([(began, 0)])

    def measure(self, frames: int) -> float:
        """Return the rate, given how many frames there have been up to now."""
        now = time.monotonic()
        marks = self._marks
        marks.append((now, frames))
        while len(marks) > 2 and marks[1][0] < now - _WINDOW_SECONDS:
            marks.popleft()
        start, before = marks[0]
        return (frames - before) / (now - start) if now > start else 0.0


class Sampler:
    """Times device commands, one at a time and seldom, without waiting for them."""

    __slots__ = ("_due", "_pending", "mean")

    def __init__(self) -> None:
        self.mean = Mean()
        self._due = 0.0
        self._pending: list[tuple[Accelerator, Event, Event]] | None = None

    def due(self) -> bool:
        """Whether the next frame's commands should be timed; takes the last sample if it is complete."""
        if self._pending is not None:
            self.settle()
            return False
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + _SAMPLE_SECONDS
        return True

    def take(self, spans: list[tuple[Accelerator, Event, Event]]) -> None:
        """Time spans of (device, first command, last command), whose durations are added up."""
        self._pending = spans

    def settle(self) -> None:
        """Count the pending sample if its commands are complete."""
        if self._pending is None:
            return
        total = 0.0
        for device, first, last in self._pending:
            end = device.seconds(last)
            start = device.seconds(first)
            if end is None or start is None:
                return
            total += end[1] - (start[1] if first is not last else start[0])
        self._pending = None
        self.mean.add(max(total, 0.0))


class FunctionFigures:
    """What a function did."""

    __slots__ = ("device", "host")

    def __init__(self) -> None:
        self.host = Mean()
        self.device = Sampler()

    @property
    def seconds(self) -> float:
        """Mean time a frame."""
        return self.host.value + self.device.mean.value


class EdgeFigures:
    """What an edge's frames cost."""

    __slots__ = ("bytes", "device", "host", "mechanism", "probed")

    def __init__(self, mechanism: str, nbytes: int, probed: float) -> None:
        self.mechanism = mechanism
        self.bytes = nbytes
        self.probed = probed
        self.host = Typical()
        """From a frame's end in a host thread until the loop has handed it to the consumer."""
        self.device = Sampler()
        """The link's own commands on devices."""

    @property
    def seconds(self) -> float:
        """Time that a frame takes as a rule; before the first frame what the probe measured."""
        host = self.host.value
        if host is None and not self.device.mean.count:
            return self.probed
        return (host or 0.0) + self.device.mean.value

    def document(self, label: tuple[str, str], copies: int) -> dict[str, Any]:
        """Return the edge's part of the status document."""
        seconds = self.seconds
        return {
            "from": label[0],
            "to": label[1],
            "mechanism": self.mechanism,
            "copies": copies,
            "bytes": self.bytes,
            "microseconds": round(seconds * 1e6, 2),
            "gigabytesPerSecond": round(self.bytes / seconds * 1e-9, 2) if seconds > 0 else 0.0,
            "verified": True,
        }
