# SPDX-License-Identifier: Apache-2.0
"""What a user can do about a DataFlow that does not do what it should. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelchain_operators.reconcile.names import is_paused

_FILE = "Correct the file and apply it again: kubectl apply -f FILE."
_LOGS = "accelchain logs {name} shows the worker's own words; spec.retries.limit lets a flow be tried again."
_IMAGE = "The worker's image can't be had: kubectl describe pod {pod}, and ask the cluster's administrator."
ADVICE: Mapping[str, str] = {
    "InvalidInput": "Correct the input that the message names, and create the flow anew.",
    "FunctionFailed": _LOGS,
    "DeviceFailed": _LOGS,
    "WorkerLost": "kubectl describe pod {pod} may say why it was lost; spec.retries.limit lets a flow be tried again.",
    "DeadlineExceeded": "Raise spec.activeDeadlineSeconds, or make the flow quicker (spec.rate, spec.placement).",
    "Cancelled": "It was cancelled; create it anew to run it.",
    "InsufficientCapacity": "It begins when devices are free: accelchain get -A shows who holds them; suspend or "
    "delete one, or lower spec.rate.",
    "NoMatchingDevice": "accelchain get computeresources shows what there is; change spec.placement, or add a device.",
    "NoInventory": "No node has told of its devices: ask the cluster's administrator whether the node agent runs.",
    "Unschedulable": "The cluster finds no room for the worker: kubectl describe pod {pod} says what is missing.",
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "NameTaken": "Something else has the name of an object that the flow needs: give the flow another name.",
    "PreparingKernels": "Kernels are compiled for this device once; it begins by itself.",
}
"""Reason of a condition: what to do. ``{name}`` is the flow, ``{pod}`` its worker."""


def advice(flow: Mapping[str, Any]) -> list[str]:
    """Return sentences that say what to do; none where all is well."""
    meta, status = flow["metadata"], flow.get("status") or {}
    name = meta["name"]
    found = []
    if is_paused(dict(flow)):
        found.append(
            f"The operators leave it alone, as was asked: kubectl annotate dataflow {name} accelchain.io/paused- ends "
            "that."
        )
    if not status:
        found.append("Nobody has taken it up yet: accelchain's operators may not run; ask the cluster's administrator.")
    if status.get("phase") == "Suspended":
        found.append(f"accelchain resume {name} lets it go on.")
    pod = next((worker["pod"] for worker in status.get("workers", ())), "POD")
    for condition in status.get("conditions", ()):
        text = _of(condition, status.get("phase", ""))
        if text:
            found.append(text.format(name=name, pod=pod))
    return list(dict.fromkeys(found))


def _of(condition: Mapping[str, Any], phase: str) -> str:
    """Return what to do about a condition that is not as it should be."""
    kind, holds = condition["type"], condition["status"]
    if kind == "Accepted" and holds == "False":
        return _FILE
    if kind == "Failed" and holds == "True":
        return ADVICE.get(condition["reason"], "")
    if kind in ("Scheduled", "Running") and holds == "False" and phase in ("", "Pending", "Running"):
        return ADVICE.get(condition["reason"], "")
    return ""
