# SPDX-License-Identifier: Apache-2.0
"""How one function of a chain is called and placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from accelchain.api.common import DeviceType
from accelchain.api.data_flow import PlacementRule
from accelchain.chain.problems import choose
from accelchain.hera.errors import CompositionError


@dataclass(frozen=True, slots=True)
class Options:
    """What does not change the result of a function. Empty: anything goes."""

    name: str | None = None
    """Name within the chain; the Python function's name where None."""
    device_types: tuple[DeviceType, ...] = ()
    """Only on devices of these types."""
    devices: tuple[str, ...] = ()
    """Only on these devices: ``gpu0``, or ``node/gpu0``."""
    nodes: tuple[str, ...] = ()
    """Only on these nodes."""
    implementations: tuple[str, ...] = ()
    """Only these implementations of the FunctionType."""
    rate: float | None = None
    """Frames a second that this function is to take, where it differs from the chain's."""

    def __post_init__(self) -> None:
        """Check what is chosen from a few.

        Raises:
            CompositionError: there is no such type of devices.
        """
        known = get_args(DeviceType)
        if wrong := next((name for name in self.device_types if name not in known), None):
            raise CompositionError(f"device_types: there is no '{wrong}': {choose(wrong, known)}")

    def rule(self, function: str) -> PlacementRule | None:
        """Return the placement rule for the function of that name in the chain, None where there is nothing to say."""
        given = {
            "device_types": list(self.device_types),
            "devices": list(self.devices),
            "nodes": list(self.nodes),
            "implementations": list(self.implementations),
        }
        kept = {name: values for name, values in given.items() if values}
        return PlacementRule.model_validate({"function": function, **kept}) if kept else None
