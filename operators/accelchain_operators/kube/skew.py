# SPDX-License-Identifier: Apache-2.0
"""Says when our clock and the API server's are apart. Nothing here depends on them, but people read times."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

logger = logging.getLogger(__name__)

TOLERANCE = 30.0
LOOK_EVERY = 60.0
TELL_EVERY = 3600.0


class Skew:
    """Compares the ``Date`` of answers with our clock, once a minute, and warns at most once an hour.

    Args:
        wall: Seconds since 1970.
        clock: Seconds, monotonic.
    """

    def __init__(self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._clock = clock
        self._look_at = self._tell_at = float("-inf")

    def look(self, headers: Mapping[str, str]) -> None:
        """Look at an answer's headers."""
        now = self._clock()
        if now < self._look_at or "Date" not in headers:
            return
        self._look_at = now + LOOK_EVERY
        try:
            ahead = self._wall() - parsedate_to_datetime(headers["Date"]).timestamp()
        except ValueError:  # a gateway wrote something else: it tells no time then
            return
        if abs(ahead) > TOLERANCE and now >= self._tell_at:
            self._tell_at = now + TELL_EVERY
            logger.warning(
                "this machine's clock is %.0f s %s that of the Kubernetes API: set one of them right; "
                "times in status and Events are wrong until then, Leases are not affected",
                abs(ahead),
                "ahead of" if ahead > 0 else "behind",
            )
