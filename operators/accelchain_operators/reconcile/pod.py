# SPDX-License-Identifier: Apache-2.0
"""The worker's Pod and Secret: how they are made, and how a Pod's end is read."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from accelchain_operators.reconcile.actions import JsonObject, WorkerWatch
from accelchain_operators.reconcile.names import child_metadata, worker_name

STATUS_PORT = 9090
CONTAINER = "worker"
PLAN_FOLDER = "/etc/accelchain/plan"
TOKEN_FOLDER = "/etc/accelchain/token"
TERMINATION_LOG = "/dev/termination-log"
GRACE_SECONDS = 10
"""A worker discards unfinished files when it is told to stop."""

WAITING_PROBLEMS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def token_secret(flow: JsonObject, node: str, token: str) -> JsonObject:
    """Return the immutable Secret that opens the worker's status."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": child_metadata(flow, worker_name(flow, node), "token"),
        "immutable": True,
        "type": "Opaque",
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }


def worker_pod(flow: JsonObject, node: str, image: str) -> JsonObject:
    """Return the Pod that runs the flow's part on a node: restricted, without a token for the API."""
    name = worker_name(flow, node)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": child_metadata(flow, name, "worker"),
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "args": [
                        "--plan",
                        f"{PLAN_FOLDER}/plan.json",
                        "--termination-log",
                        TERMINATION_LOG,
                        "--token-file",
                        f"{TOKEN_FOLDER}/token",
                    ],
                    "env": [
                        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "ACCELCHAIN_STATUS_ADDRESS", "value": f"$(POD_IP):{STATUS_PORT}"},
                    ],
                    "ports": [{"name": "status", "containerPort": STATUS_PORT}],
                    "terminationMessagePath": TERMINATION_LOG,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "plan", "mountPath": PLAN_FOLDER, "readOnly": True},
                        {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "plan", "configMap": {"name": name}},
                {"name": "token", "secret": {"secretName": name}},
            ],
        },
    }


@dataclass(frozen=True, slots=True)
class PodEnd:
    """How a Pod ended."""

    message: str
    """The termination message: the worker's last document, or empty."""
    exit_code: int | None
    """None: the node or the kubelet ended the Pod, and no code is known."""
    explanation: str
    """The kubelet's own words: Evicted, OOMKilled …"""
    finished_at: str
    """RFC 3339, or empty."""


def pod_end(pod: JsonObject) -> PodEnd | None:
    """Return how the Pod ended, or None: it has not."""
    status = pod.get("status") or {}
    ended = _container(pod).get("state", {}).get("terminated")
    if ended is None and status.get("phase") not in ("Succeeded", "Failed"):
        return None
    ended = ended or {}
    words = [ended.get("reason", ""), status.get("reason", ""), status.get("message", "")]
    return PodEnd(
        ended.get("message", ""),
        ended.get("exitCode"),
        ": ".join(word for word in words if word and word not in ("Error", "Completed")),
        ended.get("finishedAt") or "",
    )


def pod_problem(pod: JsonObject) -> tuple[str, str] | None:
    """Return why a Pod does not start, as reason and sentence; None where nothing is known to be wrong."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason") or "Unschedulable", condition.get("message", "")
    waiting = _container(pod).get("state", {}).get("waiting") or {}
    if waiting.get("reason") in WAITING_PROBLEMS:
        return waiting["reason"], waiting.get("message", "")
    return None


def status_address(pod: JsonObject) -> str:
    """Return IP:port of the worker's status, or an empty string before the Pod has an address."""
    ip = (pod.get("status") or {}).get("podIP") or ""
    return f"{f'[{ip}]' if ':' in ip else ip}:{STATUS_PORT}" if ip else ""


def worker_watch(pod: JsonObject, token: str) -> tuple[WorkerWatch, ...]:
    """Return the stream of a Pod that runs, or nothing."""
    address = status_address(pod)
    if (pod.get("status") or {}).get("phase") != "Running" or not address:
        return ()
    meta = pod["metadata"]
    return (WorkerWatch(meta["uid"], meta["name"], meta["namespace"], f"http://{address}/stream", token),)


def _container(pod: JsonObject) -> JsonObject:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    found: JsonObject = next((s for s in statuses if s.get("name") == CONTAINER), {})
    return found
