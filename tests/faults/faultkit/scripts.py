# SPDX-License-Identifier: Apache-2.0
"""What simulated workers do: one script an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

End = Literal[
    "succeed",
    "InvalidInput",  # the user's fault
    "FunctionFailed",
    "DeviceFailed",
    "OOMKilled",
    "Evicted",  # by the kubelet: no container status is left
    "silent",  # it ends with 1, and without a result
    "deleted",  # somebody deletes its Pod
    "drained",  # the eviction API
    "never",  # it runs until it is told to end
]
TRANSIENT: tuple[End, ...] = ("FunctionFailed", "DeviceFailed", "OOMKilled", "Evicted", "silent", "deleted", "drained")
REASONS: dict[str, str] = {
    "InvalidInput": "InvalidInput",
    "FunctionFailed": "FunctionFailed",
    "DeviceFailed": "DeviceFailed",
    "OOMKilled": "WorkerLost",
    "Evicted": "WorkerLost",
    "silent": "WorkerLost",
    "deleted": "WorkerLost",
    "drained": "WorkerLost",
    "lost": "WorkerLost",
    "DeadlineExceeded": "DeadlineExceeded",
}
"""What the operators are to call an end."""


@dataclass(frozen=True, slots=True)
class Script:
    """One attempt, if nothing else befalls it."""

    end: End = "succeed"
    seconds: float = 0.2
    """From when the worker runs to its end."""
    heeds_deadline: bool = True
    """Whether it notices its plan's deadline by itself."""
    publishes_in: float = 0.0
    """Seconds from the grant to when its results can be seen."""
    freezes_at_grant: bool = False
    """Whether its node freezes when the grant to publish is there and not yet read."""
