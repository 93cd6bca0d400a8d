# SPDX-License-Identifier: Apache-2.0
"""What accelerators this machine has, as the node agent publishes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from accelchain_runtime.devices.cpu import cpu_model
from accelchain_runtime.links import MECHANISMS

_SYSFS_PCI = Path("/sys/bus/pci/devices")


def inventory(opencl: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the inventory document.

    Args:
        opencl: what ``devices.opencl.OpenCL.describe`` returned; empty where pyopencl is not installed.
    """
    host = {
        "name": "host",
        "type": "cpu",
        "api": "host",
        "id": "host",
        "model": cpu_model(),
        "driver": "",
        "computeUnits": len(os.sched_getaffinity(0)),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "numaNode": 0,
        "pcieRoot": "",
    }
    devices = [host]
    for entry in opencl:
        address = entry["pciAddress"]
        devices.append(
            {key: value for key, value in entry.items() if key != "pciAddress"}
            | {"numaNode": _numa_node(address), "pcieRoot": _pcie_root(address)}
        )
    return {"devices": devices, "links": list(MECHANISMS)}


def _numa_node(address: str) -> int:
    """Return the NUMA node of a PCI device; 0 for others and where the machine has only one (sysfs says -1)."""
    if not address:
        return 0
    try:
        return max(int((_SYSFS_PCI / address / "numa_node").read_text()), 0)
    except OSError:
        return 0


def _pcie_root(address: str) -> str:
    """Return the root that a PCI device hangs below (pci0000:3a), or an empty string."""
    if not address or not (_SYSFS_PCI / address).exists():
        return ""
    return next((part for part in (_SYSFS_PCI / address).resolve().parts if part.startswith("pci")), "")
