# SPDX-License-Identifier: Apache-2.0
"""Printer columns of the built-in kinds."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.objects import JsonObject, lookup
from accelchain_operators.localkube.resources.endpoint import Column
from accelchain_operators.localkube.table.cells import age_text

AGE = Column("Age", ".metadata.creationTimestamp", "date", description="When the object was created.")


def _pod_status(pod: JsonObject) -> str:
    meta, status = pod["metadata"], pod.get("status") or {}
    if meta.get("deletionTimestamp"):
        return "Terminating"
    shown = str(status.get("reason") or status.get("phase") or "Unknown")
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        if reason := lookup(state, "waiting", "reason"):
            shown = str(reason)
        elif (ended := state.get("terminated")) is not None:
            shown = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
    return shown


def _pod_ready(pod: JsonObject) -> str:
    ready = sum(bool(c.get("ready")) for c in lookup(pod, "status", "containerStatuses") or [])
    return f"{ready}/{len(lookup(pod, 'spec', 'containers') or [])}"


def _pod_restarts(pod: JsonObject) -> str:
    return str(sum(c.get("restartCount", 0) for c in lookup(pod, "status", "containerStatuses") or []))


def _node_status(node: JsonObject) -> str:
    shown = "Unknown"
    for condition in lookup(node, "status", "conditions") or []:
        if condition.get("type") == "Ready":
            shown = "Ready" if condition.get("status") == "True" else "NotReady"
    return shown + (",SchedulingDisabled" if lookup(node, "spec", "unschedulable") else "")


def _node_roles(node: JsonObject) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = lookup(node, "metadata", "labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or "<none>"


def _node_address(kind: str) -> Any:
    def address(node: JsonObject) -> str:
        found = [a.get("address") for a in lookup(node, "status", "addresses") or [] if a.get("type") == kind]
        return found[0] if found else "<none>"

    return address


def _or(missing: str, *path: str) -> Any:
    return lambda obj: lookup(obj, *path) or missing


def _size(*names: str) -> Any:
    return lambda obj: sum(len(obj.get(name) or {}) for name in names)


def _event_seen(event: JsonObject) -> str:
    series = lookup(event, "series", "lastObservedTime")
    return age_text(series or event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"))


def _event_object(event: JsonObject) -> str:
    about = event.get("involvedObject") or {}
    kind, name = str(about.get("kind", "")).lower(), str(about.get("name", ""))
    return f"{kind}/{name}" if name else kind


def _event_source(event: JsonObject) -> str:
    return str(lookup(event, "source", "component") or event.get("reportingComponent") or "")


NAMESPACE = (Column("Status", ".status.phase"), AGE)
NODE = (
    Column("Status", cell=_node_status),
    Column("Roles", cell=_node_roles),
    AGE,
    Column("Version", ".status.nodeInfo.kubeletVersion"),
    Column("Internal-IP", cell=_node_address("InternalIP"), priority=1),
    Column("OS-Image", cell=_or("<unknown>", "status", "nodeInfo", "osImage"), priority=1),
    Column("Kernel-Version", cell=_or("<unknown>", "status", "nodeInfo", "kernelVersion"), priority=1),
    Column("Container-Runtime", cell=_or("<unknown>", "status", "nodeInfo", "containerRuntimeVersion"), priority=1),
)
POD = (
    Column("Ready", cell=_pod_ready),
    Column("Status", cell=_pod_status),
    Column("Restarts", cell=_pod_restarts),
    AGE,
    Column("IP", cell=_or("<none>", "status", "podIP"), priority=1),
    Column("Node", cell=_or("<none>", "spec", "nodeName"), priority=1),
)
CONFIG_MAP = (Column("Data", type="integer", cell=_size("data", "binaryData")), AGE)
SECRET = (Column("Type", ".type"), Column("Data", type="integer", cell=_size("data")), AGE)
SERVICE_ACCOUNT = (AGE,)
EVENT = (
    Column("Last Seen", cell=_event_seen),
    Column("Type", ".type"),
    Column("Reason", ".reason"),
    Column("Object", cell=_event_object),
    Column("Message", cell=lambda event: str(event.get("message", "")).strip()),
    Column("Source", cell=_event_source, priority=1),
    Column("Count", type="integer", cell=lambda event: event.get("count") or 1, priority=1),
)
LEASE = (Column("Holder", ".spec.holderIdentity"), AGE)
CRD = (Column("Created At", ".metadata.creationTimestamp"),)
