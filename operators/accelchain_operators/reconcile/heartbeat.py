# SPDX-License-Identifier: Apache-2.0
"""Flows that somebody holds: an annotation is renewed while they are wanted, and one that is left alone ends.

The annotation's text only has to change; when it did is told by our own clock, so that nobody's clock has to agree
with ours, and a restart of the operators begins the time anew.
"""

from __future__ import annotations

from accelchain_operators.reconcile.actions import Actions, JsonObject
from accelchain_operators.reconcile.attempts import Attempt
from accelchain_operators.reconcile.ending import finish_failure
from accelchain_operators.reconcile.snapshot import FlowSnapshot

FlowKey = tuple[str, str]
"""Namespace and name."""
HEARTBEAT = "accelchain.io/heartbeat"
"""The annotation. A flow without it is held by nobody, and runs by itself."""
LAUNCHER = "accelchain.io/launcher"
"""The annotation that names the Pod which renews the other."""
STALE_AFTER = 60.0
"""Seconds without a renewal, after which a flow is ended. A launcher renews four times in that time."""


class HeartbeatsSeen:
    """When each flow's heartbeat was last seen to change."""

    def __init__(self) -> None:
        self._seen: dict[FlowKey, tuple[str, str, float]] = {}

    def look(self, key: FlowKey, flow: JsonObject, now: float) -> float | None:
        """Take in a flow as it is; return since when (seconds since 1970) its heartbeat is the same, None: it has none.

        Args:
            key: The flow's namespace and name; another flow of the name begins anew.
            flow: A DataFlow.
            now: Seconds since 1970.
        """
        meta = flow["metadata"]
        text = (meta.get("annotations") or {}).get(HEARTBEAT)
        if text is None:
            self.forget(key)
            return None
        seen = self._seen.get(key)
        if seen is None or seen[:2] != (meta["uid"], text):
            self._seen[key] = seen = (meta["uid"], text, now)
        return seen[2]

    def begin_anew(self, key: FlowKey, flow: JsonObject, now: float) -> None:
        """Count from now on: the API did not answer, so nobody could renew anything."""
        self.forget(key)
        self.look(key, flow, now)

    def forget(self, key: FlowKey) -> None:
        """Drop what is known of a flow."""
        self._seen.pop(key, None)


def seconds_left(snapshot: FlowSnapshot) -> float | None:
    """Return the seconds until a flow's heartbeat is stale; None: nobody holds it."""
    since = snapshot.heartbeat_since
    return None if since is None else since + STALE_AFTER - snapshot.now


def is_stale(snapshot: FlowSnapshot) -> bool:
    """Tell whether a flow's heartbeat was not renewed in time."""
    left = seconds_left(snapshot)
    return left is not None and left <= 0


def finish_lost(snapshot: FlowSnapshot, attempt: Attempt) -> Actions:
    """End a flow that nobody holds any more."""
    launcher = (snapshot.flow["metadata"].get("annotations") or {}).get(LAUNCHER)
    who = f"its launcher, Pod {launcher}," if launcher else "its launcher"
    message = f"cancelled: {who} has not renewed the annotation {HEARTBEAT} for {STALE_AFTER:.0f} s"
    return finish_failure(snapshot, attempt, "HeartbeatLost", message)
