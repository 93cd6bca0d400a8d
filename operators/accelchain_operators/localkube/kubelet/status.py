# SPDX-License-Identifier: Apache-2.0
"""The status of a pod in each of its states. Pure: times are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelchain_operators.localkube.kubelet.podspec import JsonObject

LOST_MESSAGE = "the kubelet was stopped while the worker ran, and the worker ended with it"


@dataclass(frozen=True, slots=True)
class Seen:
    """What stays the same over the states of a pod."""

    container: str
    image: str
    host_ip: str
    start_time: str
    """When the kubelet saw the pod, RFC 3339."""
    ip: str = ""
    started_at: str = ""
    """When the process started."""
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How a pod's process ended."""

    code: int
    time: str
    message: str = ""
    reason: str = ""
    """Empty: Completed or Error, by the code."""
    pod_reason: str = ""
    """Why the pod failed as a whole: DeadlineExceeded."""
    pod_message: str = ""


def waiting(seen: Seen, reason: str, message: str) -> JsonObject:
    """Return the status of a pod whose process has not started."""
    return _status(seen, "Pending", {"waiting": {"reason": reason, "message": message}}, seen.start_time)


def running(seen: Seen) -> JsonObject:
    """Return the status of a pod whose process runs."""
    return _status(seen, "Running", {"running": {"startedAt": seen.started_at}}, seen.started_at)


def ended(seen: Seen, end: End) -> JsonObject:
    """Return the last status of a pod."""
    terminated: dict[str, Any] = {
        "exitCode": end.code,
        "reason": end.reason or ("Completed" if end.code == 0 else "Error"),
        "startedAt": seen.started_at or None,
        "finishedAt": end.time,
        "containerID": seen.container_id,
        "message": end.message,
    }
    if end.code > 128:
        terminated["signal"] = end.code - 128
    terminated = {key: value for key, value in terminated.items() if value not in ("", None)}
    failed = end.code != 0 or end.pod_reason
    status = _status(seen, "Failed" if failed else "Succeeded", {"terminated": terminated}, end.time)
    if end.pod_reason:
        status |= {"reason": end.pod_reason, "message": end.pod_message}
    return status


def lost(pod: JsonObject, time: str) -> JsonObject:
    """Return the last status of a pod that ran under a kubelet that was killed."""
    old = pod.get("status") or {}
    container = pod["spec"]["containers"][0]
    state = ((old.get("containerStatuses") or [{}])[0].get("state") or {}).get("running") or {}
    seen = Seen(
        container=container["name"],
        image=container.get("image", ""),
        host_ip=old.get("hostIP", ""),
        start_time=old.get("startTime", time),
        ip=old.get("podIP", ""),
        started_at=state.get("startedAt", ""),
    )
    return ended(seen, End(137, time, LOST_MESSAGE, "ContainerStatusUnknown"))


def _status(seen: Seen, phase: str, state: JsonObject, since: str) -> JsonObject:
    ready = "running" in state
    container: JsonObject = {
        "name": seen.container,
        "image": seen.image,
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }
    if seen.container_id:
        container["containerID"] = seen.container_id
    status: JsonObject = {
        "phase": phase,
        "hostIP": seen.host_ip,
        "startTime": seen.start_time,
        "conditions": [
            _condition("PodScheduled", True, seen.start_time),
            _condition("Initialized", True, seen.start_time),
            _condition("ContainersReady", ready, since),
            _condition("Ready", ready, since),
        ],
        "containerStatuses": [container],
    }
    if seen.ip:
        status |= {"podIP": seen.ip, "podIPs": [{"ip": seen.ip}]}
    return status


def _condition(type_: str, holds: bool, since: str) -> JsonObject:
    return {"type": type_, "status": "True" if holds else "False", "lastTransitionTime": since}
