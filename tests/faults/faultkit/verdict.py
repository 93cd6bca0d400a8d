# SPDX-License-Identifier: Apache-2.0
"""Whether a flow ended as its history allows: its spec, what its workers did and what befell them. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.times import seconds_of
from faultkit.kubelet import Ended
from faultkit.oracle import Record
from faultkit.scenario import Case
from faultkit.scripts import REASONS
from faultkit.workers import Publication

FAILING = frozenset({"InvalidInput", "FunctionFailed", "DeviceFailed", "OOMKilled", "Evicted", "silent"})
"""Ends that are a failure whoever looks."""
VANISHES_IN = 1.0
"""Seconds within which a Pod that was told to end is gone."""
USERS_DOING = frozenset({"Cancelled", "DeadlineExceeded"})


@dataclass(frozen=True, slots=True)
class History:
    """What befell a flow."""

    ends: Sequence[Ended]
    published: Sequence[Publication]
    disrupted: frozenset[str]
    """Pods that were deleted by others than the operators and the flow's user."""
    freezes: int
    """How often nodes were frozen."""
    blind: Sequence[tuple[float, float]] = ()
    """From when to when (monotonic s) an operator was away, or a watch."""

    def end_of(self, attempt: int) -> Ended | None:
        """Return how an attempt ended; None: no worker of it ever began."""
        return next((end for end in reversed(self.ends) if end.attempt == attempt), None)


def problems(case: Case, record: Record, history: History) -> list[str]:
    """Return what is not as it has to be, in sentences."""
    found = [*_publications(case, record, history)]
    if record.finished is None:
        if record.deleted is None:
            found.append("it never came to its end")
        elif not case.has("delete"):
            found.append("it was deleted before its end")
        return [f"{case.name}: {sentence}" for sentence in found]
    status = record.status
    found += _failures(case, record, history)
    found += _attempts(case, record, history)
    if status["phase"] == "Succeeded":
        found += _success(status, history)
    elif status["phase"] == "Failed":
        found += _failure(case, record, history)
    else:
        found.append(f"it ended in phase {status['phase']}")
    ttl = case.spec.get("ttlSecondsAfterFinished")
    if record.deleted is not None and not case.has("delete"):
        if ttl is None:
            found.append("it was deleted, and has no TTL")
        elif record.deleted_at < (due := seconds_of(status["completionTime"]) + ttl):
            found.append(f"it was deleted {due - record.deleted_at:.1f} s before its TTL of {ttl} s was over")
    return [f"{case.name}: {sentence}" for sentence in found]


def _publications(case: Case, record: Record, history: History) -> list[str]:
    found = []
    # A Stream's Pod that was deleted before anybody heard of its worker is made again, and writes the same file anew.
    published = list({p.attempt: p for p in history.published}.values())
    again = len(history.published) - len(published)
    if again and (case.mode == "Batch" or any(p.granted for p in history.published[:again])):
        found.append(f"an attempt published twice: {[p.attempt for p in history.published]}")
    told = [p for p in published if _reported(history, p.attempt)]
    granted = [p for p in told if p.granted]
    if len(granted) > 1:
        found.append(f"attempts {[p.attempt for p in granted]} were all allowed to publish")
    if case.mode == "Batch":
        if any(not p.granted for p in history.published):
            found.append("a Batch worker published without a grant")
        return found
    for before, after in itertools.pairwise(told):
        # A Pod is gone a moment after it ended: what nobody saw just then is published again, and never left out.
        known = (before.after,) if not _unseen(history, before) else range(before.first, before.after + 1)
        if after.first not in known:
            found.append(f"attempt {after.attempt} begins at {after.first}, after {before.after} frames were published")
    return found


def _unseen(history: History, publication: Publication) -> bool:
    """Tell whether somebody was away when an attempt published."""
    return any(begin <= publication.time + VANISHES_IN and publication.time <= end for begin, end in history.blind)


def _reported(history: History, attempt: int) -> bool:
    """Tell whether the API was told how an attempt ended: else nobody can know that it published."""
    end = history.end_of(attempt)
    return end is not None and end.reported


def _failures(case: Case, record: Record, history: History) -> list[str]:
    """Each failure in the status is one that happened, and each that happened is in the status."""
    found = []
    status = record.status
    failures = status.get("failures") or []
    if len(failures) != status.get("failedAttempts", 0):
        found.append(f"{status.get('failedAttempts', 0)} failed attempts, and {len(failures)} failures")
    if len({f["attempt"] for f in failures}) != len(failures):
        found.append(f"one attempt failed twice: {failures}")
    for failure in failures:
        found += _justified(failure, case, history)
    noted = {failure["attempt"] for failure in failures}
    for end in {end.attempt: end for end in history.ends}.values():
        ended_otherwise = end.attempt == status.get("attempt", 1) and _reason(record) in USERS_DOING
        # What was planned anew had been told to stop; so had what was placed on a node that was lost before it ran.
        given_up = (case.replans or (history.freezes and not end.heard)) and end.attempt < status.get("attempt", 1)
        if end.end in FAILING and end.reported and end.attempt not in noted and not ended_otherwise and not given_up:
            found.append(f"attempt {end.attempt} ended with {end.end}, which is in no failure of {sorted(noted)}")
    return found


def _justified(failure: JsonObject, case: Case, history: History) -> list[str]:
    end = history.end_of(failure["attempt"])
    reason, what = failure["reason"], f"attempt {failure['attempt']} is called {failure['reason']}"
    if end is None:
        return [] if reason == "WorkerLost" and history.freezes else [f"{what}, and never began: {failure['message']}"]
    if not end.reported:
        return [] if reason in ("WorkerLost", REASONS.get(end.end)) else [f"{what}, and was lost with {end.end}"]
    if end.end == "told":
        if reason != "WorkerLost":
            return [f"{what}, and was told to end"]
        slow = "did not publish within" in failure["message"] and history.freezes
        return [] if end.pod in history.disrupted or slow else [f"{what}, and was told to end by the operators"]
    if end.end == "succeed":
        return [f"{what}, and has succeeded: {failure['message']}"]
    return [] if REASONS[end.end] == reason else [f"{what}, and ended with {end.end}"]


def _attempts(case: Case, record: Record, history: History) -> list[str]:
    status = record.status
    number, failures = status.get("attempt", 1), status.get("failures") or []
    failed_before = sum(failure["attempt"] < number for failure in failures)
    given_up = number - 1 - failed_before
    # A node that is lost before its worker ran costs a placement.
    allowed = case.replans * 2 + history.freezes
    found = []
    if not 0 <= given_up <= allowed:
        found.append(f"{given_up} attempts were given up, and {allowed} at most had a reason to be")
    if failed_before > case.limit:
        found.append(f"{failed_before} failures were retried, where {case.limit} may be")
    return found


def _success(status: JsonObject, history: History) -> list[str]:
    found = []
    granted = [p.attempt for p in history.published if p.granted]
    if status.get("attempt", 1) not in granted:
        found.append(f"attempt {status['attempt']} succeeded, and attempts {granted} published")
    if any(end.end == "InvalidInput" and end.reported for end in history.ends):
        found.append("it succeeded after a fault of its user")
    return found


def _failure(case: Case, record: Record, history: History) -> list[str]:
    status, reason = record.status, _reason(record)
    failures = status.get("failures") or []
    last = max(history.ends, key=lambda end: (end.attempt, end.time), default=None)
    found = []
    match reason:
        case "Cancelled":
            if not case.has("cancel"):
                found.append("it was cancelled by nobody")
        case "DeadlineExceeded":
            if "activeDeadlineSeconds" not in case.spec:
                found.append("it has no deadline to exceed")
        case "InvalidInput":
            if last is None or last.end != "InvalidInput" or last.attempt != status.get("attempt", 1):
                found.append(f"its user is blamed for {last}")
        case _:
            if len(failures) != case.limit + 1 or not failures or failures[-1]["reason"] != reason:
                found.append(f"it failed with {reason} after {len(failures)} failures, where {case.limit} are retried")
    faults = [end for end in history.ends if end.end == "InvalidInput" and end.reported]
    if faults and (len(faults) > 1 or any(attempt > faults[0].attempt for attempt, _ in record.pods)):
        found.append("its user's fault was tried again")
    granted = [p.attempt for p in history.published if p.granted and _reported(history, p.attempt)]
    # A grant that is under way when a user cancels, or time is over, can't be called back.
    if granted and reason not in USERS_DOING:
        found.append(f"attempt {granted[0]} published, and the flow is called {reason}")
    return found


def _reason(record: Record) -> str:
    return str(record.condition("Failed").get("reason", ""))
