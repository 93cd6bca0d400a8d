# SPDX-License-Identifier: Apache-2.0
"""Attempts at a flow: which one is the current one, what it consists of, and when the next may begin.

An attempt is one plan (ConfigMap), one Secret and one Pod. Its number is in their names and labels, in the plan and in
``status.attempt``, so that nothing of one attempt is ever taken for another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.document import WorkerDocument, document_of
from accelchain_operators.reconcile.names import attempt_label
from accelchain_operators.reconcile.plan_document import plan_in
from accelchain_operators.reconcile.pod import PodEnd, pod_end
from accelchain_operators.reconcile.snapshot import FlowSnapshot
from accelchain_operators.reconcile.times import seconds_of

FailureClass = Literal["user", "function", "device", "infrastructure"]

_CLASSES: dict[str, FailureClass] = {
    "InvalidInput": "user",
    "DeadlineExceeded": "user",
    "Cancelled": "user",
    "OwnerEnded": "user",
    "HeartbeatLost": "user",
    "DeviceFailed": "device",
    "WorkerLost": "infrastructure",
    "Stopped": "infrastructure",
}
_FIRST_PAUSE: dict[FailureClass, float] = {"function": 10.0, "device": 5.0, "infrastructure": 1.0}
LONGEST_PAUSE = 300.0
"""Seconds between a failure and the next attempt, at most."""
CALM = 600.0
"""Seconds without a failure, pauses not counted, after which the pauses begin small again."""
REMEMBERED = 8
"""Failures that the status holds."""
LOOK_PERIOD = 10.0
"""Seconds between two looks at a Pod that was told to end."""
LOST_AFTER = 60.0
"""Seconds that a Pod on a lost node may stay Terminating beyond its grace before the next attempt begins elsewhere."""


def class_of(reason: str) -> FailureClass:
    """Return the class of a failure; what a worker reports by a name of its own is its functions' failure."""
    return _CLASSES.get(reason, "function")


def pause_after(failures: Sequence[JsonObject], failed_attempts: int) -> float:
    """Return the seconds between the last failure and the next attempt: doubled for every one like it in a row.

    Args:
        failures: The last failures of the status, oldest first, not empty.
        failed_attempts: How many there were in all: the list is cut.
    """
    kind = class_of(failures[-1]["reason"])
    first = _FIRST_PAUSE.get(kind, 0.0)
    row = 0
    for earlier, later in zip(failures[-2::-1], failures[:0:-1], strict=False):
        apart = seconds_of(later["time"]) - seconds_of(earlier["time"])
        if class_of(earlier["reason"]) != kind or apart > CALM + LONGEST_PAUSE:
            break
        row += 1
    if row == len(failures) - 1:
        row = max(row, failed_attempts - 1)  # those that the list no longer holds were like it, as far as is known
    return min(first * 2.0 ** min(row, 16), LONGEST_PAUSE)


def next_attempt_at(status: JsonObject) -> float:
    """Return when the next attempt may begin (seconds since 1970); 0 where none has failed since the last one began."""
    failures = status.get("failures") or ()
    if not failures or failures[-1]["attempt"] != status.get("attempt", 1) - 1:
        return 0.0
    return float(seconds_of(failures[-1]["time"]) + pause_after(failures, status.get("failedAttempts", 0)))


@dataclass(frozen=True, slots=True)
class Attempt:
    """The current attempt of a flow, as far as it exists."""

    number: int
    mode: str
    config_map: JsonObject | None
    plan: JsonObject | None
    pod: JsonObject | None
    """Its Pod; one that was deleted a moment ago too, as it was last."""
    gone: bool
    """Whether that Pod is no more."""
    end: PodEnd | None
    """How its Pod ended, if it did."""
    document: WorkerDocument | None
    """The last document of its worker's stream."""
    others: tuple[JsonObject, ...]
    """Pods of other attempts."""

    @property
    def over(self) -> bool:
        """Whether its Pod has ended, or is no more."""
        return self.end is not None or (self.gone and self.pod is not None)

    @property
    def stopping(self) -> bool:
        """Whether somebody has told the Pod to end."""
        return self.pod is not None and (self.gone or "deletionTimestamp" in self.pod["metadata"])

    def position_after(self, before: int) -> int:
        """Return how many frames of a Stream flow this attempt and those before it published, as far as is known.

        Args:
            before: What earlier attempts published.
        """
        last = self.final or self.document
        if self.mode != "Stream" or last is None:
            return before
        published = before + last.frames if last.phase == "Succeeded" else before
        return max(before, published if last.position is None else last.position)

    @property
    def final(self) -> WorkerDocument | None:
        """The result: from the termination message, so that a cut stream loses nothing, else from the stream."""
        if self.end is not None:
            told = document_of(self.end.message, self.plan)
            if told is not None and told.final:
                return told.completed_by(self.document)
        return self.document if self.document is not None and self.document.final else None


def current_number(flow: JsonObject, config_maps: Sequence[JsonObject]) -> int:
    """Return the number of the flow's current attempt: its status says so, and a plan that the status forgot."""
    planned = [attempt_label(c) for c in config_maps if "deletionTimestamp" not in c["metadata"]]
    return int(max((flow.get("status") or {}).get("attempt") or 1, *planned, 1))


def current_config_map(flow: JsonObject, config_maps: Sequence[JsonObject]) -> JsonObject | None:
    """Return the ConfigMap that holds the current attempt's plan, or None: there is no plan yet."""
    number = current_number(flow, config_maps)
    return next((c for c in config_maps if attempt_label(c) == number and plan_in(c) is not None), None)


def current_attempt(snapshot: FlowSnapshot) -> Attempt:
    """Return the flow's current attempt."""
    flow = snapshot.flow
    number = current_number(flow, snapshot.config_maps)
    config_map = current_config_map(flow, snapshot.config_maps)
    plan = None if config_map is None else plan_in(config_map)
    living = {attempt_label(pod): pod for pod in snapshot.pods}
    pod = living.get(number)
    gone = pod is None
    if gone:
        pod = next((p for p in reversed(snapshot.departed) if attempt_label(p) == number), None)
    document = None
    if pod is not None:
        document = document_of(snapshot.documents.get(pod["metadata"]["uid"]), plan)
    return Attempt(
        number=number,
        mode=flow["spec"].get("mode", "Batch"),
        config_map=config_map,
        plan=plan,
        pod=pod,
        gone=gone,
        end=None if pod is None else pod_end(pod),
        document=document,
        others=tuple(p for p in snapshot.pods if attempt_label(p) != number),
    )


def lost_at(snapshot: FlowSnapshot, pod: JsonObject) -> float | None:
    """Return from when on a Pod counts as lost with its node (seconds since 1970); None: its node is there, or it runs.

    Its worker may still run behind a broken network, or thaw. It can't publish: nobody grants it, and files of a Stream
    carry their attempt's number. So the next attempt needs not wait until somebody has looked at the node.
    """
    told, node = pod["metadata"].get("deletionTimestamp"), node_of(pod)
    if told is None:
        return None
    if node not in snapshot.stale_nodes and any(r["spec"]["nodeName"] == node for r in snapshot.resources):
        return None
    return float(seconds_of(told) + LOST_AFTER)  # its grace is in the timestamp


def look_again_at(snapshot: FlowSnapshot, pod: JsonObject) -> float:
    """Return when to look again at a Pod that is told to end (seconds since 1970): its node may go away meanwhile."""
    due = lost_at(snapshot, pod)
    return snapshot.now + LOOK_PERIOD if due is None else due


def is_lost(snapshot: FlowSnapshot, pod: JsonObject) -> bool:
    """Tell whether a Pod is lost with its node."""
    due = lost_at(snapshot, pod)
    return due is not None and snapshot.now >= due


def node_of(pod: JsonObject) -> str:
    """Return the node that a Pod was made for."""
    spec = pod["spec"]
    return str(spec.get("nodeName") or (spec.get("nodeSelector") or {}).get("kubernetes.io/hostname", ""))
