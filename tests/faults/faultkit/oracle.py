# SPDX-License-Identifier: Apache-2.0
"""Sees every revision of flows and Pods, and notes what must never be, at the moment when it is."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.localkube.store.store import Change
from accelchain_operators.reconcile.names import attempt_label
from accelchain_operators.scheduler.inventory import UNITS, load_units
from faultkit.api import PLACES, Api
from faultkit.workers import Publication


@dataclass
class Record:
    """What is known of one flow."""

    name: str
    namespace: str
    flow: JsonObject
    """As it was last."""
    finished: float | None = None
    """When (monotonic) its end was written."""
    deleted: float | None = None
    deleted_at: float = 0.0
    """The same in seconds since 1970."""
    begun: float | None = None
    """When Running was first True."""
    phases: list[str] = field(default_factory=list)
    pods: list[tuple[int, str]] = field(default_factory=list)
    """Attempt and name of every Pod that was ever made."""

    @property
    def status(self) -> JsonObject:
        """Its last status."""
        found: JsonObject = self.flow.get("status") or {}
        return found

    @property
    def over(self) -> bool:
        """Whether nothing more is to come."""
        return self.finished is not None or self.deleted is not None

    def condition(self, type: str) -> JsonObject:
        """Return a condition of its last status, or an empty object."""
        return next((c for c in self.status.get("conditions") or () if c["type"] == type), {})


class Oracle:
    """Follows flows and Pods from the inside of the API."""

    def __init__(self, api: Api) -> None:
        self.violations: list[str] = []
        self.records: dict[str, Record] = {}
        """By uid."""
        self.revisions = 0
        self.most_booked = 0
        """Places of accelerators that were taken at one time."""
        self.pods_deleted: set[str] = set()
        """Names of Pods that somebody told to end."""
        self._held: dict[str, list[tuple[tuple[str, str], int]]] = {}
        self._used: Counter[tuple[str, str]] = Counter()
        self._load: Counter[tuple[str, str]] = Counter()
        self._living: dict[str, dict[str, str]] = defaultdict(dict)
        api.listen(kinds.DATA_FLOW, self._flow_changed)
        api.listen(kinds.POD, self._pod_changed)

    def forget(self) -> None:
        """Forget violations, Pods and flows that are gone."""
        self.records = {uid: record for uid, record in self.records.items() if record.deleted is None}
        self.violations.clear()
        self.pods_deleted.clear()

    def record(self, name: str) -> Record:
        """Return the record of the flow of that name that was created last."""
        return [record for record in self.records.values() if record.name == name][-1]

    def live_pods(self, uid: str) -> list[str]:
        """Return the names of a flow's Pods that have not ended."""
        return list(self._living[uid].values())

    def published(self, publication: Publication) -> None:
        """Look at a publication in the moment when it happens."""
        record = self.records[publication.flow]
        attempt = record.status.get("attempt", 1)
        if not publication.granted:
            return  # a Stream's: its files carry the attempt's number
        where = f"{record.name}: attempt {publication.attempt} published"
        if record.finished is not None:
            self.violations.append(f"{where} after the flow's end ({record.status.get('phase')})")
        elif attempt != publication.attempt:
            self.violations.append(f"{where} while attempt {attempt} is the current one")

    def _flow_changed(self, change: Change) -> None:
        self.revisions += 1
        flow = change.object
        meta, status = flow["metadata"], flow.get("status") or {}
        uid, now = meta["uid"], time.monotonic()
        record = self.records.setdefault(uid, Record(meta["name"], meta["namespace"], flow))
        before = record.status
        record.flow = flow
        phase = status.get("phase", "")
        if phase and phase != (record.phases[-1] if record.phases else ""):
            record.phases.append(phase)
        if record.begun is None and record.condition("Running").get("status") == "True":
            record.begun = now
        if change.type == "DELETED":
            record.deleted, record.deleted_at = now, time.time()
        elif record.finished is not None:
            if status != before:
                self.violations.append(f"{record.name}: its status was written after its end: {before} -> {status}")
        elif any(record.condition(end).get("status") == "True" for end in ("Succeeded", "Failed")):
            record.finished = now
        self._book(record, uid)

    def _book(self, record: Record, uid: str) -> None:
        """Count what flows hold of accelerators, as of this revision."""
        status = record.status
        holds = not record.over and "deletionTimestamp" not in record.flow["metadata"]
        holds = holds and status.get("placedAttempt", 1) == status.get("attempt", 1)
        new = [
            ((entry["node"], entry["device"]), load_units(entry.get("load", 0.0)))
            for entry in (status.get("placement") or () if holds else ())
            if entry["device"] in PLACES
        ]
        old = self._held.get(uid, [])
        if new == old:
            return
        for device, load in old:
            self._used[device] -= 1
            self._load[device] -= load
        self._held[uid] = new
        for device, load in new:
            self._used[device] += 1
            self._load[device] += load
            if self._used[device] > PLACES[device[1]] or self._load[device] > UNITS:
                holders = [self.records[u].name for u, held in self._held.items() if device in dict(held)]
                self.violations.append(
                    f"{'/'.join(device)} is booked {self._used[device]} times, with a load of "
                    f"{self._load[device] / UNITS:.2f}, since {record.name} was written: {holders}"
                )
        self.most_booked = max(self.most_booked, sum(self._used.values()))

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        meta = pod["metadata"]
        owner = next(o["uid"] for o in meta["ownerReferences"] if o.get("controller"))
        living = self._living[owner]
        if change.type == "ADDED":
            if living:
                self.violations.append(f"Pod {meta['name']} was made while {list(living.values())} of its flow run")
            if (record := self.records.get(owner)) is not None:
                record.pods.append((attempt_label(pod), meta["name"]))
                if record.finished is not None:
                    self.violations.append(f"Pod {meta['name']} was made after its flow's end")
        if "deletionTimestamp" in meta:
            self.pods_deleted.add(meta["name"])
        if change.type == "DELETED" or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            living.pop(meta["uid"], None)
        else:
            living[meta["uid"]] = meta["name"]
