# SPDX-License-Identifier: Apache-2.0
"""The grant to publish: who was frozen or cut off while its flow went on without it must show no results.

An operator grants to the one attempt that it stands by. A grant holds for seconds only, counted on a clock that goes on
while a process, its container or its machine sleeps, so that a worker that thaws finds its grant expired.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("worker")

GRANT_SECONDS = 5.0
"""How long after a grant results may be published."""


class GrantRefused(Exception):  # noqa: N818  (says what happened)
    """A grant that can't be taken; the message is a sentence for whoever sent it."""


def boot_time() -> float:
    """Return seconds on the clock that no sleep stops."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Holds results back until they are granted. Grants come from any thread, one thread waits."""

    def __init__(self, attempt: int = 1, clock: Callable[[], float] = boot_time) -> None:
        """Begin closed.

        Args:
            attempt: the one that must be granted.
            clock: seconds, of the clock that grants age on.
        """
        self._attempt = attempt
        self._clock = clock
        self._changed = threading.Condition()
        self._granted_at: float | None = None
        self._waiting = False
        self._lifted = False
        self._closed = False

    def grant(self, attempt: int, received: float) -> None:
        """Allow to publish.

        Args:
            attempt: the one that is granted.
            received: when the grant got here, on this fence's clock; not when somebody came to read it.

        Raises:
            GrantRefused: the grant is for another attempt, too old, or nothing waits for it.
        """
        with self._changed:
            if attempt != self._attempt:
                raise GrantRefused(f"This is attempt {self._attempt} of the flow, not {attempt}: it publishes nothing.")
            if not self._waiting or self._closed:
                raise GrantRefused("The worker does not wait for a grant: it publishes only in phase Publishing.")
            age = self._clock() - received
            if age > GRANT_SECONDS:
                raise GrantRefused(
                    f"The grant lay here for {age:.1f} s before the worker could read it; send it again."
                )
            self._granted_at = received
            self._changed.notify_all()

    def ask(self) -> bool:
        """Take grants from now on; returns whether one is needed."""
        with self._changed:
            self._waiting = True
            return not self._lifted

    def wait(self, expired: Callable[[], None] = lambda: None) -> bool:
        """Wait until publishing is allowed.

        Args:
            expired: called each time that a grant turned out to be too old; then the wait goes on.

        Returns:
            Whether it is allowed at this moment; False: the fence was closed.
        """
        with self._changed:
            while True:
                if self._lifted:
                    return True
                if self._granted_at is not None:
                    age = self._clock() - self._granted_at
                    if age <= GRANT_SECONDS:
                        return True
                    self._granted_at = None
                    log.warning("the grant to publish is %.1f s old and has expired: asking for another", age)
                    expired()
                if self._closed:
                    return False
                self._changed.wait()

    def lift(self) -> None:
        """Let everything through from now on: no grant is needed."""
        with self._changed:
            self._lifted = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nothing through that is not granted by now, and take no grants any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
