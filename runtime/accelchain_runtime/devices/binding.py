# SPDX-License-Identifier: Apache-2.0
"""Which device of this machine each device of a plan is (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelchain_runtime.devices.identity import Listing
from accelchain_runtime.engine.plan import DevicePlan


def bind(plans: Sequence[DevicePlan], listings: Mapping[str, Listing]) -> dict[str, str | None]:
    """Bind the devices of a plan.

    A plan names devices as the node's inventory knew them. In a container a device plugin may have given the worker
    others of the same type: those that nothing else is bound to are taken in their order.

    Args:
        plans: devices of one API. One without an identity means the device of its own name, and no other.
        listings: the devices of that API which this process sees, by name.

    Returns:
        For the name of each plan the name of its device; None where there is none.
    """
    names = {listing.identity: name for name, listing in listings.items()}
    bound: dict[str, str | None] = {}
    for plan in plans:
        known = names.get(plan.device_id) if plan.device_id else plan.name
        bound[plan.name] = known if known in listings else None
    for plan in plans:
        if bound[plan.name] is None and plan.device_id:
            kind = plan.name.rstrip("0123456789")
            taken = set(bound.values())
            bound[plan.name] = next(
                (name for name, listing in listings.items() if listing.type == kind and name not in taken), None
            )
    return bound
