# SPDX-License-Identifier: Apache-2.0
"""A live view: the latest picture as a JPEG, for whoever is looking.

Whoever looks pays: a picture is copied only if somebody waits for one, and JPEGs are made in the viewers' threads. A
viewer that is slow misses pictures and slows nobody.
"""

from __future__ import annotations

import io
import threading

from PIL import Image

from accelchain_runtime.engine.function import Array

_QUALITY = 80


class _Snapshot:
    """A picture of its own, encoded once for all who look at it."""

    def __init__(self, picture: Array) -> None:
        self._picture = picture
        self._lock = threading.Lock()
        self._jpeg: bytes | None = None

    def jpeg(self) -> bytes:
        with self._lock:
            if self._jpeg is None:
                target = io.BytesIO()
                Image.fromarray(self._picture).save(target, "JPEG", quality=_QUALITY)
                self._jpeg = target.getvalue()
            return self._jpeg


class Subscription:
    """One viewer. Used by one thread."""

    def __init__(self, view: LiveView) -> None:
        self._view = view

    def next(self, timeout: float) -> bytes | None:
        """Wait for the next picture.

        Args:
            timeout: seconds to wait.

        Returns:
            A JPEG; None if none came in time, or none will come any more (``ended``).
        """
        snapshot = self._view.wait(timeout)
        return None if snapshot is None else snapshot.jpeg()

    @property
    def ended(self) -> bool:
        """Whether there won't be any further picture."""
        return self._view.ended

    def close(self) -> None:
        """Stop looking."""


class LiveView:
    """What ``publish`` shows, every subscription sees."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._snapshot: _Snapshot | None = None
        self._number = 0
        self._waiting = 0
        self.ended = False

    def subscribe(self) -> Subscription:
        """Return a new viewer's subscription."""
        return Subscription(self)

    def publish(self, picture: Array) -> None:
        """Show a picture, uint8 [height, width, 3] RGB; copied before this returns, and only if somebody waits."""
        with self._changed:
            if self._waiting:
                self._snapshot = _Snapshot(picture.copy())
                self._number += 1
                self._changed.notify_all()

    def wait(self, timeout: float) -> _Snapshot | None:
        """Wait until the next picture is published; None after ``timeout`` seconds or at the end."""
        with self._changed:
            number = self._number
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._number > number or self.ended, timeout)
            finally:
                self._waiting -= 1
            return self._snapshot if self._number > number else None

    def end(self) -> None:
        """There is no further picture: let every viewer go."""
        with self._changed:
            self.ended = True
            self._snapshot = None
            self._changed.notify_all()
