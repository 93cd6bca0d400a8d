# SPDX-License-Identifier: Apache-2.0
"""Which of the devices that drivers list are one and the same (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from accelchain_runtime.devices.base import DeviceType


@dataclass(frozen=True, slots=True)
class Listing:
    """A device as one platform lists it."""

    platform: int
    """Position of the platform in the enumeration: platforms may share their name."""
    identity: str
    """``<platform version>/<device name>/<index>``: stable from process to process."""
    model: str
    type: DeviceType


def distinct(listings: Sequence[Listing]) -> dict[str, Listing]:
    """Return each physical device once, by name: cpu0, cpu1 …, gpu0 …, fpga0 … in the order of enumeration.

    Two drivers may list one device. All CPU devices but those of the first platform that has any are the same CPU
    again; of other types the n-th device of one model on a further platform is the n-th one of the first.
    """
    cpu_platform = next((listing.platform for listing in listings if listing.type == "cpu"), None)
    seen: dict[tuple[str, str], int] = {}
    counted: Counter[tuple[int, str, str]] = Counter()
    names: Counter[str] = Counter()
    found: dict[str, Listing] = {}
    for listing in listings:
        if listing.type == "cpu":
            if listing.platform != cpu_platform:
                continue
        else:
            kind = (listing.type, listing.model)
            counted[(listing.platform, *kind)] += 1
            if counted[(listing.platform, *kind)] <= seen.get(kind, 0):
                continue
            seen[kind] = seen.get(kind, 0) + 1
        found[f"{listing.type}{names[listing.type]}"] = listing
        names[listing.type] += 1
    return found
