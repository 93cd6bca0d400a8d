# SPDX-License-Identifier: Apache-2.0
"""What the store says in numbers: flows by phase, free devices by type, how long placements take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.meter import Count, Meter
from accelchain_operators.kube.store import Store
from accelchain_operators.reconcile.dataflow import is_finished


def flows_by_phase(store: Store) -> Iterator[Count]:
    """Yield how many flows are in each phase; ``New``: no operator has looked at it yet."""
    phases = Counter((flow.get("status") or {}).get("phase") or "New" for flow in store.all(kinds.DATA_FLOW))
    yield from sorted(phases.items())


def devices_by_type(store: Store) -> Iterator[Count]:
    """Yield how many devices of each type the nodes have; the host is none."""
    yield from sorted(Counter(_devices(store).values()).items())


def free_devices_by_type(store: Store) -> Iterator[Count]:
    """Yield how many devices of each type no flow is placed on."""
    used = {
        (entry["node"], entry["device"])
        for flow in store.all(kinds.DATA_FLOW)
        if not is_finished(flow)
        for entry in (flow.get("status") or {}).get("placement") or ()
    }
    devices = _devices(store)
    free = Counter(dict.fromkeys(devices.values(), 0))
    free.update(type for device, type in devices.items() if device not in used)
    yield from sorted(free.items())


def _devices(store: Store) -> dict[tuple[str, str], str]:
    return {
        (resource["spec"]["nodeName"], device["name"]): device["type"]
        for resource in store.all(kinds.COMPUTE_RESOURCE)
        for device in resource["spec"].get("devices") or ()
        if device["api"] != "host"
    }


class Placements:
    """Times placements: from when a flow was seen accepted until it was seen placed.

    Args:
        meter: Told of each.
        clock: Seconds, monotonic.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._since: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """How many flows are timed now."""
        return len(self._since)

    def changed(self, before: JsonObject | None, after: JsonObject | None) -> None:
        """Take note of a flow's change."""
        if after is None:
            if before is not None:
                self._since.pop(before["metadata"]["uid"], None)
            return
        uid, status = after["metadata"]["uid"], after.get("status") or {}
        if status.get("placement"):
            since = self._since.pop(uid, None)
            if since is not None:
                self._meter.placed(self._clock() - since)
        elif is_finished(after) or not _is_accepted(status):
            self._since.pop(uid, None)
        else:
            self._since.setdefault(uid, self._clock())


def _is_accepted(status: JsonObject) -> bool:
    conditions = status.get("conditions") or ()
    return any(condition["type"] == "Accepted" and condition["status"] == "True" for condition in conditions)
