# SPDX-License-Identifier: Apache-2.0
"""A work queue as controllers need it: a key waits once, is worked on once at a time, and fails with growing pauses.

The rules are client-go's: a key that is added while it is worked on is handed out again afterwards; first come, first
served over keys, so that a busy one starves no other; failures wait 5 ms, 10 ms, … up to a limit, and all of them
together pass one token bucket.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from accelchain_operators.kube.bucket import TokenBucket
from accelchain_operators.kube.meter import QueueMeter, QueueState

Key = TypeVar("Key", bound=Hashable)

FIRST_DELAY = 0.005
LONGEST_DELAY = 60.0
TOLERANCE = 1e-3
"""Seconds that a key may come early: event loops fire timers early by their clock's resolution."""


class WorkQueue(Generic[Key]):
    """Keys that wait for work.

    Args:
        retries_per_second: Failures that are tried again, a second, over all keys.
        retries_burst: Failures that are tried again at once after a pause.
    """

    def __init__(self, *, retries_per_second: float = 50.0, retries_burst: int = 100) -> None:
        self._waiting: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._active: dict[Key, float] = {}
        self._since: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._retries = TokenBucket(retries_per_second, retries_burst)
        self._changed = asyncio.Event()
        self.meter = QueueMeter()
        """Told what happens here."""

    def __len__(self) -> int:
        """Return how many keys wait now, those for later not counted."""
        return len(self._waiting)

    def state(self) -> QueueState:
        """Return how many keys wait, and how long (s) each key at work has been so."""
        now = asyncio.get_running_loop().time()
        return QueueState(len(self._waiting), tuple(now - taken for taken in self._active.values()))

    def add(self, key: Key) -> None:
        """Have a key worked on as soon as possible."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        self._since[key] = asyncio.get_running_loop().time()
        self.meter.added()
        if key not in self._active:
            self._waiting.append(key)
            self._changed.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key worked on later; of several times for one key the earliest holds."""
        due = asyncio.get_running_loop().time() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        self._changed.set()

    def retry(self, key: Key) -> float:
        """Have a key that failed worked on again after a pause that grows with every failure; return the pause (s)."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self.meter.retried()
        delay = min(FIRST_DELAY * 2.0 ** min(count, 32), LONGEST_DELAY) + self._retries.reserve()
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget a key's failures and its time to be looked at again."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

    async def get(self) -> Key:
        """Wait for a key and take it; call ``done`` with it afterwards."""
        while True:
            pause = self._wake_due()
            if self._waiting:
                key = self._waiting.popleft()
                self._dirty.discard(key)
                now = self._active[key] = asyncio.get_running_loop().time()
                self.meter.taken(now - self._since.pop(key))
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        """Give a key back; it is handed out again if it was added meanwhile."""
        self.meter.done(asyncio.get_running_loop().time() - self._active.pop(key))
        if key in self._dirty:
            self._waiting.append(key)
            self._changed.set()

    def _wake_due(self) -> float | None:
        """Move keys whose time has come into the queue; return the seconds to the next one."""
        now = asyncio.get_running_loop().time()
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) != due:  # replaced by an earlier time, or no longer wanted
                heapq.heappop(self._heap)
            elif due <= now + TOLERANCE:
                heapq.heappop(self._heap)
                del self._due[key]
                self.add(key)
            else:
                return due - now
        return None
