# SPDX-License-Identifier: Apache-2.0
"""The worker's Pod and Secret: how they are made, and how a Pod's end is read."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accelchain.api import DataFlow
from accelchain.argo.core.identity import WORKFLOW_LABEL
from accelchain_operators.reconcile.actions import JsonObject, WorkerWatch
from accelchain_operators.reconcile.mounts import READABLE_BY_GROUP, flow_mounts
from accelchain_operators.reconcile.names import child_metadata, worker_name
from accelchain_operators.reconcile.times import seconds_of
from accelchain_operators.reconcile.worker_options import DeviceOptions, WorkerOptions

STATUS_PORT = 9090
CONTAINER = "worker"
PLAN_FOLDER = "/etc/accelchain/plan"
TOKEN_FOLDER = "/etc/accelchain/token"
TERMINATION_LOG = "/dev/termination-log"
GRACE_SECONDS = {"Batch": 10, "Stream": 30}
"""Told to stop, a Batch worker discards unfinished files, a Stream worker publishes what it has."""
WORK_FOLDER, TEMPORARY_FOLDER = "/var/cache/accelchain/work", "/tmp"
NO_SIDECAR = "sidecar.istio.io/inject"
"""Label: a mesh (Kubeflow's profiles are in one) puts no proxy into the Pod. It would outlive the worker, so that the
Pod never ended, and would keep the operators from its status."""
GROUP = 65532
"""The image's group: volumes and Secrets are its to read and write."""
UNREACHABLE_SECONDS = 30
"""How long a worker's Pod may stay on a node that is not ready, where Kubernetes' default is 300: another attempt can
begin elsewhere, and a worker that is cut off publishes nothing."""

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


def token_secret(flow: JsonObject, node: str, attempt: int, token: str) -> JsonObject:
    """Return the immutable Secret that opens the worker's status."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": child_metadata(flow, worker_name(flow, node, attempt), "token", attempt=attempt),
        "immutable": True,
        "type": "Opaque",
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }


def worker_pod(flow: DataFlow, obj: JsonObject, plan: JsonObject, options: WorkerOptions) -> JsonObject:
    """Return the Pod that runs a plan: restricted, without a token for the API.

    Args:
        flow: The flow.
        obj: The same, as the API told it: the Pod's owner.
        plan: What it runs.
        options: How workers are run.
    """
    node, attempt = plan["node"], plan["attempt"]["number"]
    name = worker_name(obj, node, attempt)
    flow_volumes, flow_mounts_, flow_environment = flow_mounts(flow.spec)
    devices = _devices(obj, plan, options)
    folders = _FOLDERS if options.in_image else ()
    spec: JsonObject = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS[plan["mode"]],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {**options.node_selector, "kubernetes.io/hostname": node},
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **({"fsGroup": GROUP} if options.in_image else {}),
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": options.image,
                "imagePullPolicy": options.image_pull_policy,
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
                    {"name": "ACCELCHAIN_STATUS_ADDRESS", "value": f"{_listens_on(options)}:{STATUS_PORT}"},
                    *([{"name": "ACCELCHAIN_CACHE", "value": WORK_FOLDER}] if options.in_image else []),
                    *flow_environment,
                ],
                "ports": [{"name": "status", "containerPort": STATUS_PORT}],
                "terminationMessagePath": TERMINATION_LOG,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    # An image that says only who runs it leaves him in group 0. For the whole Pod a group without a
                    # user is refused by containerd: the Pod's sandbox has no image that names one.
                    **({"runAsGroup": GROUP, "readOnlyRootFilesystem": True} if options.in_image else {}),
                    **{key: value for d in devices for key, value in d.security_context.items()},
                },
                "volumeMounts": [
                    {"name": "plan", "mountPath": PLAN_FOLDER, "readOnly": True},
                    {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
                    *({"name": folder, "mountPath": path} for folder, path in folders),
                    *flow_mounts_,
                    *_unique(d.volume_mounts for d in devices),
                ],
            }
        ],
        "volumes": [
            {"name": "plan", "configMap": {"name": name}},
            {"name": "token", "secret": {"secretName": name, "defaultMode": READABLE_BY_GROUP}},
            *({"name": folder, "emptyDir": {}} for folder, _ in folders),
            *flow_volumes,
            *_unique(d.volumes for d in devices),
        ],
    }
    if resources := _resources(devices, options):
        spec["containers"][0]["resources"] = resources
    if options.in_image:
        spec["tolerations"] = _tolerations(options)
        # Else the worker is process 1, which the kernel spares signals that it has no handler for yet: told to stop
        # while it starts, it would run on for the whole grace period.
        spec["shareProcessNamespace"] = True
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in options.image_pull_secrets]
    if options.priority_class_name:
        spec["priorityClassName"] = options.priority_class_name
    if options.runtime_class_name:
        spec["runtimeClassName"] = options.runtime_class_name
    metadata = child_metadata(obj, name, "worker", attempt=attempt)
    # ``argo logs`` finds Pods by it. Argo's controller looks only at Pods that say completed=false too
    # (argoproj/argo-workflows v4.1.2 and v3.7.18, pod/controller.go:newWorkflowPodWatch), so it lets this one be.
    if workflow := (obj["metadata"].get("labels") or {}).get(WORKFLOW_LABEL):
        metadata["labels"][WORKFLOW_LABEL] = workflow
    if options.in_image:
        metadata["labels"][NO_SIDECAR] = "false"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


_FOLDERS = (("temporary", TEMPORARY_FOLDER), ("work", WORK_FOLDER))


def _devices(obj: JsonObject, plan: JsonObject, options: WorkerOptions) -> list[DeviceOptions]:
    """Return the options of every device of the plan, one entry a device."""
    types = {p["device"]: p["deviceType"] for p in (obj.get("status") or {}).get("placement") or ()}
    found = (options.devices.get(types.get(device["name"], "cpu")) for device in plan["devices"])
    return [device for device in found if device is not None]


def _resources(devices: Sequence[DeviceOptions], options: WorkerOptions) -> JsonObject:
    requests, limits = dict(options.resources.requests), dict(options.resources.limits)
    extended: Counter[str] = Counter()
    for device in devices:
        extended.update({name: int(count) for name, count in device.resources.items()})
    whole = {name: str(count) for name, count in sorted(extended.items())}
    found = {"requests": requests | whole, "limits": limits | whole}
    return {key: value for key, value in found.items() if value}


def _tolerations(options: WorkerOptions) -> list[JsonObject]:
    given = [dict(toleration) for toleration in options.tolerations]
    keys = {toleration.get("key") for toleration in given}
    return given + [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": UNREACHABLE_SECONDS}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        if key not in keys
    ]


def _unique(lists: Iterable[Sequence[JsonObject]]) -> list[JsonObject]:
    """Return the elements of all lists, each once: two devices of one type bring the same folders."""
    found: list[JsonObject] = []
    for element in (e for one in lists for e in one):
        if element not in found:
            found.append(element)
    return found


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
    out_of_memory: bool = False


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
        ended.get("reason") == "OOMKilled",
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


def running_since(pod: JsonObject) -> float | None:
    """Return when the worker's container began (seconds since 1970), or None: it does not run."""
    started = (_container(pod).get("state", {}).get("running") or {}).get("startedAt")
    return seconds_of(started) if started else None


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


def _listens_on(options: WorkerOptions) -> str:
    """Return where a worker serves its status: a port-forward ends at the loopback address of the Pod's network."""
    return "0.0.0.0" if options.in_image else "$(POD_IP)"  # a laptop's Pods share one network
