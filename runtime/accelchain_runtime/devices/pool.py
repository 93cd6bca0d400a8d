# SPDX-License-Identifier: Apache-2.0
"""The devices of this process: opened once, handed to plans by name."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.devices.binding import bind
from accelchain_runtime.devices.prepared import begin_with
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.plan import DevicePlan

if TYPE_CHECKING:
    from accelchain_runtime.devices.opencl import OpenCL

log = logging.getLogger("worker")

AnyDevice = HostDevice | Accelerator


class DeviceError(Exception):
    """A device that the plan names can't be used; the message is a sentence."""


def cache_folder() -> Path:
    """Return ``ACCELCHAIN_CACHE``, or its default below the user's cache folder.

    It begins with what ``ACCELCHAIN_CACHE_BASE`` holds, a folder that is only read.
    """
    named = os.environ.get("ACCELCHAIN_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(named).expanduser().absolute() if named else Path(user).expanduser() / "accelchain"
    if base := os.environ.get("ACCELCHAIN_CACHE_BASE"):
        begin_with(Path(base), folder)
    return folder


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
        opencl: list[DevicePlan] = []
        for plan in plans:
            if plan.api == "host":
                devices[plan.name] = HostDevice(plan.name)
            elif plan.api == "opencl":
                opencl.append(plan)
            else:
                raise InputError(
                    f"Device {plan.name}: this version drives no {plan.api} devices; choose an opencl implementation."
                )
        if opencl:
            wanted = self._bind(opencl)
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

    def _bind(self, plans: Sequence[DevicePlan]) -> dict[str, str]:
        """Return the name of this machine's device for each device of the plan."""
        listings = self.opencl().listings
        bound: dict[str, str] = {}
        for plan in plans:
            found = bind(plans, listings)[plan.name]
            identity = f" ({plan.device_id})" if plan.device_id else ""
            if found is None:
                here = ", ".join(listings) or "none"
                more = ", nor another one of its type that is free" if identity else ""
                raise DeviceError(
                    f"Device {plan.name}{identity} is not on this machine{more}; its OpenCL devices are: {here}."
                )
            if plan.device_id not in ("", listings[found].identity):
                log.info(
                    "device %s%s is not visible: %s takes its place", plan.name, identity, listings[found].identity
                )
            bound[plan.name] = found
        return bound
