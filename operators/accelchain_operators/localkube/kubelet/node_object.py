# SPDX-License-Identifier: Apache-2.0
"""This machine as a Node: written once at the start, no heartbeat."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from accelchain_operators.localkube.kubelet.podspec import JsonObject

HOST_IP = "127.0.0.1"
MAX_PODS = 110
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def labels(node_name: str) -> dict[str, str]:
    """Return the labels that pods choose the node by."""
    return {
        "kubernetes.io/hostname": node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
    }


def node(node_name: str, time: str) -> JsonObject:
    """Return the Node with its status.

    Args:
        node_name: its name, which is its kubernetes.io/hostname as well.
        time: now, RFC 3339.
    """
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    resources = {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 1024}Ki",
        "pods": str(MAX_PODS),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node_name, "labels": labels(node_name)},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": HOST_IP},
                {"type": "Hostname", "address": node_name},
            ],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "runs worker pods as local processes",
                    "lastHeartbeatTime": time,
                    "lastTransitionTime": time,
                }
            ],
            "nodeInfo": {
                "architecture": _architecture(),
                "bootID": "",
                "containerRuntimeVersion": "localkube://1",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": "localkube",
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": release.get("PRETTY_NAME", "Linux"),
                "systemUUID": "",
            },
        },
    }


def _architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())
