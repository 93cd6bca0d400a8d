# SPDX-License-Identifier: Apache-2.0
"""What a task asks of its pod, as wishes for its function: accelerators and nodes; the rest can't be carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from accelchain.kfp.core.literals import is_placeholder
from accelchain.kfp.core.pipeline import MARK_VARIABLE
from accelchain.kfp.core.report import JsonObject, Stop

HOSTNAME: Final = "kubernetes.io/hostname"
_DROPPED: Final = {
    "podMetadata": "labels and annotations of its pod",
    "imagePullPolicy": "its image's pull policy",
    "imagePullSecret": "its image's pull secret",
    "tolerations": "tolerations (those of workers are the administrator's)",
}
"""What is said of a pod that is no more, and of nothing else."""
_NEEDS: Final = (
    "cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest",
    "resourceCpuLimit", "resourceCpuRequest", "resourceMemoryLimit", "resourceMemoryRequest",
)  # fmt: skip


def wishes(
    task: str, executor: JsonObject, kubernetes: JsonObject, placement: Mapping[str, Any]
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return where a task's function may run, and what is left out of what its pod was given.

    Args:
        task: for messages.
        executor: of ``deploymentSpec``.
        kubernetes: the executor's part of ``platforms.kubernetes``.
        placement: of the mark, which goes before.

    Raises:
        Stop: the pod is given something that a function can't have.
    """
    container = executor.get("container") or {}
    if any(variable.get("name") != MARK_VARIABLE for variable in container.get("env") or ()):
        raise Stop(
            "platform", task, "it has environment variables: make parameters of them, or leave it out of the chain."
        )
    found, notes = dict(placement), []
    resources = container.get("resources") or {}
    if any(resources.get(key) for key in _NEEDS):
        notes.append("limits and requests of its pod (the administrator sets those of workers)")
    if accelerator := resources.get("accelerator"):
        if "deviceTypes" not in found and "devices" not in found:
            name = str(accelerator.get("resourceType") or accelerator.get("type") or "")
            found["deviceTypes"] = [_device_type(task, name)]
        count = str(accelerator.get("resourceCount") or accelerator.get("count") or "1")
        if count != "1":
            notes.append(f"the number of its accelerators, {count} (a function has one device)")
    for key, value in kubernetes.items():
        if not value:
            continue
        if key == "nodeSelector":
            found.setdefault("nodes", _nodes(task, value))
        elif key == "activeDeadlineSeconds":
            raise Stop(
                "platform", task, "it has a timeout of its own: give the chain active_deadline_seconds=… instead."
            )
        elif key in _DROPPED:
            notes.append(_DROPPED[key])
        else:
            raise Stop("platform", task, f"it has {key}, which a function can't have: leave it out of the chain.")
    return found, notes


def see_one_node(everywhere: Mapping[str, Any], placements: Mapping[str, Mapping[str, Any]]) -> None:
    """See that there is a node on which all of a chain may run: a flow runs on one.

    Args:
        everywhere: the chain's placement.
        placements: by task.

    Raises:
        Stop: there is none.
    """
    left = set(everywhere.get("nodes") or ())
    for task, placement in placements.items():
        own = set(placement.get("nodes") or ())
        if left and own and not left & own:
            message = f"it may run on {', '.join(sorted(own))}, others of its chain on {', '.join(sorted(left))}"
            raise Stop("platform", task, f"{message}: a chain runs on one node.")
        left = left & own if left and own else left | own


def _device_type(task: str, resource: str) -> str:
    name = resource.lower()
    if "fpga" in name or "xilinx" in name:
        return "fpga"
    if "gpu" in name or "nvidia" in name or not name:  # KFP's set_gpu_limit names none
        return "gpu"
    if is_placeholder(resource):
        raise Stop("platform", task, "its accelerator is known only when it runs: set device_types instead.")
    raise Stop(
        "platform", task, f"accelerator {resource!r} is neither a GPU's nor an FPGA's: set device_types instead."
    )


def _nodes(task: str, selector: JsonObject) -> list[str]:
    labels = selector.get("labels") or {}
    if set(labels) == {HOSTNAME} and set(selector) == {"labels"}:
        return [str(labels[HOSTNAME])]
    raise Stop("platform", task, f"a node selector other than {HOSTNAME} can't be carried over: use nodes=[…] instead.")
