# SPDX-License-Identifier: Apache-2.0
"""A recording played as if it were live: in mode Stream a file's frames come at their own times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LATE_SECONDS = 1.0
"""Who is later than this (a slow consumer, a frozen process) has its clock set anew: no burst of frames follows."""


class Pacer:
    """Waits for the moments that frames are due at."""

    def __init__(self, stopping: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the first frame.

        Args:
            stopping: ends every wait.
            clock: seconds.
        """
        self._stopping = stopping
        self._clock = clock
        self._start: float | None = None

    def wait(self, time_of_frame: float) -> float:
        """Wait until a frame is due; returns for how many seconds it had to.

        Args:
            time_of_frame: its time of presentation, in seconds; the first one's is due at once.
        """
        now = self._clock()
        if self._start is None:
            self._start = now - time_of_frame
        early = self._start + time_of_frame - now
        if early < -_LATE_SECONDS:
            self._start -= early
        if early <= 0:
            return 0.0
        self._stopping.wait(early)
        return self._clock() - now
