# SPDX-License-Identifier: Apache-2.0
"""The devices of this process: opened once, handed to plans by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.plan import DevicePlan

if TYPE_CHECKING:
    from accelchain_runtime.devices.opencl import OpenCL

AnyDevice = HostDevice | Accelerator


class DeviceError(Exception):
    """A device that the plan names can't be used."""


def cache_folder() -> Path:
    """Return ``ACCELCHAIN_CACHE`` or its default below the user's cache folder."""
    named = os.environ.get("ACCELCHAIN_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "accelchain"


def open_cl(cache: Path | None) -> OpenCL | None:
    """Enumerate the OpenCL devices; None where pyopencl is not installed (extra ``cpu`` or ``cuda``)."""
    if importlib.util.find_spec("pyopencl") is None:
        return None
    from accelchain_runtime.devices.opencl import OpenCL

    return OpenCL(cache)


class DevicePool:
    """Opens device APIs at their first use and keeps them for the life of the process."""

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache
        self._opencl: OpenCL | None = None

    def open(self, plans: Sequence[DevicePlan]) -> dict[str, AnyDevice]:
        """Return the plan's devices by their names in the plan.

        Raises:
            DeviceError: a device is not there.
            InputError: the plan wants an API that this version doesn't drive.
        """
        devices: dict[str, AnyDevice] = {}
        wanted: dict[str, str] = {}
        for plan in plans:
            if plan.api == "host":
                devices[plan.name] = HostDevice(plan.name)
            elif plan.api == "opencl":
                wanted[plan.name] = self._find(plan)
            else:
                raise InputError(
                    f"Device {plan.name}: this version drives no {plan.api} devices; choose an opencl implementation."
                )
        if wanted:
            opened = self.opencl().open(set(wanted.values()))
            devices |= {name: opened[found] for name, found in wanted.items()}
        return devices

    def open_all(self) -> list[Accelerator]:
        """Open every OpenCL device, in one context a platform."""
        api = self.opencl()
        return list(api.open(list(api.listings)).values())

    def opencl(self) -> OpenCL:
        """Return the OpenCL devices.

        Raises:
            DeviceError: pyopencl is not installed.
        """
        if self._opencl is None:
            self._opencl = open_cl(self.cache)
        if self._opencl is None:
            raise DeviceError('OpenCL is not installed in this worker; install "accelchain[cpu]".')
        return self._opencl

    def _find(self, plan: DevicePlan) -> str:
        found = self.opencl().find(plan.name, plan.device_id)
        if found is None:
            here = ", ".join(self.opencl().listings) or "none"
            identity = f" ({plan.device_id})" if plan.device_id else ""
            raise DeviceError(f"Device {plan.name}{identity} is not on this machine; its OpenCL devices are: {here}.")
        return found
