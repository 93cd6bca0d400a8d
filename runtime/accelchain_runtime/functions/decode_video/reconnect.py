# SPDX-License-Identifier: Apache-2.0
"""Connecting to a camera again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from accelchain_runtime.engine.function import EndOfStream, InputError
from accelchain_runtime.functions.remote.failures import Unavailable

from .opening import Video

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0


def reconnect(open_again: Callable[[], Video], seconds: float, stopping: threading.Event) -> Video:
    """Try to open a camera that broke off, again and again.

    Args:
        open_again: opens it, with its credentials as they are then.
        seconds: after which no further try is begun.
        stopping: set when no further picture is wanted.

    Raises:
        Unavailable: it did not come back in time.
        EndOfStream: ``stopping`` was set.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not stopping.wait(pause):
        try:
            return open_again()
        except (Unavailable, InputError) as error:  # nobody listens where a camera starts anew: no fault of the user's
            if time.monotonic() > deadline:
                raise Unavailable(f"{error} It was tried for {seconds:g} s to connect again.") from None
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise EndOfStream
