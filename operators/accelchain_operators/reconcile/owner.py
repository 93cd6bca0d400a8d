# SPDX-License-Identifier: Apache-2.0
"""What owns a flow, and whether it has ended: then the flow is cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelchain_operators.reconcile.actions import JsonObject

WATCHED_KINDS: Mapping[tuple[str, str], str] = {
    ("argoproj.io", "Workflow"): "workflows",
    ("", "Pod"): "pods",
    ("batch", "Job"): "jobs",
}
"""Plural by group and kind. Owners of other kinds end a flow by being deleted only, as owners do."""


@dataclass(frozen=True, slots=True)
class OwnerId:
    """One object that owns flows."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def owners_of(flow: JsonObject) -> tuple[OwnerId, ...]:
    """Return the owners of a flow whose end is the flow's."""
    meta = flow["metadata"]
    found = (
        OwnerId(o["apiVersion"], o["kind"], meta["namespace"], o["name"], o["uid"])
        for o in meta.get("ownerReferences") or ()
    )
    return tuple(owner for owner in found if (owner.group, owner.kind) in WATCHED_KINDS)


def how_it_ended(owner: OwnerId, live: JsonObject | None) -> str:
    """Return how an owner ended, in words; empty: it goes on.

    Args:
        owner: The owner.
        live: The object as it is now; None: there is none.
    """
    name = f"{owner.kind} {owner.name}"
    if live is None or live["metadata"]["uid"] != owner.uid:
        return f"{name} is gone"
    if "deletionTimestamp" in live["metadata"]:
        return f"{name} is being deleted"
    status = live.get("status") or {}
    if owner.kind == "Job":
        ends = [c["type"] for c in status.get("conditions") or () if c["status"] == "True"]
        return next((f"{name} has ended ({end})" for end in ends if end in ("Complete", "Failed")), "")
    if status.get("phase") in ("Succeeded", "Failed", "Error"):
        return f"{name} has ended ({status['phase']})"
    shutdown = (live.get("spec") or {}).get("shutdown") if owner.kind == "Workflow" else ""
    return f"{name} was told to stop (spec.shutdown: {shutdown})" if shutdown else ""
