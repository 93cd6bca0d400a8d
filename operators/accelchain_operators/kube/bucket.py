# SPDX-License-Identifier: Apache-2.0
"""A token bucket: so many a second on average, so many at once."""

from __future__ import annotations

import asyncio


class TokenBucket:
    """Hands out turns in the order of asking; a turn may lie in the future.

    Args:
        rate: Turns a second on average.
        burst: Turns that may be taken at once after a pause.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1.0 / rate
        self._span = burst * self._interval
        self._next = float("-inf")

    def reserve(self) -> float:
        """Take a turn and return the seconds until it comes."""
        now = asyncio.get_running_loop().time()
        # The virtual-scheduling form of the algorithm: one number instead of a level and a time of refill.
        self._next = max(self._next, now - self._span) + self._interval
        return max(0.0, self._next - now)

    async def acquire(self) -> None:
        """Wait for a turn."""
        delay = self.reserve()
        if delay > 0:
            await asyncio.sleep(delay)
