# SPDX-License-Identifier: Apache-2.0
"""What owns a flow, and whether it has ended, or the step that the flow stands for: then the flow is cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accelchain.argo.core.identity import COMPLETE_WHEN, NODE_ID, NODE_NAME, NODE_STARTED_AT
from accelchain.argo.core.workflow import is_fulfilled, nodes_of
from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.times import seconds_of

WATCHED_KINDS: Mapping[tuple[str, str], str] = {
    ("argoproj.io", "Workflow"): "workflows",
    ("", "Pod"): "pods",
    ("batch", "Job"): "jobs",
}
"""Plural by group and kind. Owners of other kinds end a flow by being deleted only, as owners do."""


@dataclass(frozen=True, slots=True)
class OwnerId:
    """One object that owns flows."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class OwnerView:
    """An owner as it was seen last."""

    ended: str = ""
    """How it ended, in words; empty: it goes on."""
    is_final: bool = False
    """It can't come back: it is deleted. A Workflow that ended can, by ``argo retry``."""
    shutdown: str = ""
    """``spec.shutdown`` of a Workflow."""
    is_terminated: bool = False
    """``spec.activeDeadlineSeconds`` of a Workflow is 0, which is how Kubeflow Pipelines terminates a run."""
    nodes: Mapping[str, JsonObject] | None = field(default_factory=dict)
    """A Workflow's nodes by id; None: they are not in the object."""
    problem: str = ""
    """Why its nodes can't be read."""


def owners_of(flow: JsonObject) -> tuple[OwnerId, ...]:
    """Return the owners of a flow whose end is the flow's."""
    meta = flow["metadata"]
    found = (
        OwnerId(o["apiVersion"], o["kind"], meta["namespace"], o["name"], o["uid"])
        for o in meta.get("ownerReferences") or ()
    )
    return tuple(owner for owner in found if (owner.group, owner.kind) in WATCHED_KINDS)


def node_of(flow: JsonObject) -> str:
    """Return the id of the Workflow's node that a flow stands for; empty: none."""
    annotations = flow["metadata"].get("annotations") or {}
    return str(annotations.get(NODE_ID) or "")


def look(owner: OwnerId, live: JsonObject | None) -> OwnerView:
    """Return what an owner is like.

    Args:
        owner: The owner.
        live: The object as it is now; None: there is none.
    """
    name = f"{owner.kind} {owner.name}"
    if live is None or live["metadata"]["uid"] != owner.uid:
        return OwnerView(f"{name} is gone", is_final=True)
    if "deletionTimestamp" in live["metadata"]:
        return OwnerView(f"{name} is being deleted", is_final=True)
    status = live.get("status") or {}
    if owner.kind == "Job":
        ends = [c["type"] for c in status.get("conditions") or () if c["status"] == "True"]
        return OwnerView(next((f"{name} has ended ({end})" for end in ends if end in ("Complete", "Failed")), ""))
    if status.get("phase") in ("Succeeded", "Failed", "Error"):
        return OwnerView(f"{name} has ended ({status['phase']})")
    if owner.kind != "Workflow":
        return OwnerView()
    spec = live.get("spec") or {}
    stopped = OwnerView(shutdown=spec.get("shutdown") or "", is_terminated=spec.get("activeDeadlineSeconds") == 0)
    try:
        return replace(stopped, nodes=nodes_of(status))
    except ValueError as error:
        return replace(stopped, nodes=None, problem=str(error))


def how_it_ended(owner: OwnerId, seen: OwnerView, flow: JsonObject, *, task_left: bool = False) -> str:
    """Return how an owner ended for one of its flows, in words; empty: the flow goes on.

    A step ends before its Workflow does: by a timeout, or a stop, after which the handlers on exit still run.

    Args:
        owner: The owner.
        seen: What it is like.
        flow: The flow.
        task_left: The flow's step was in the WorkflowTaskSet, and is no more. It counts where nodes are not known.
    """
    if seen.ended:
        return seen.ended
    stopped = _how_it_was_stopped(owner, seen)
    annotations = flow["metadata"].get("annotations") or {}
    if not node_of(flow) or seen.shutdown not in ("", "Stop"):
        return stopped
    lives_on = annotations.get(COMPLETE_WHEN) == "Running"
    step = f"step {annotations.get(NODE_NAME) or node_of(flow)} of {owner.kind} {owner.name}"
    if seen.nodes is None:
        return (stopped if lives_on else f"{step} has ended") if task_left else ""
    node = seen.nodes.get(node_of(flow)) or {}
    phase = node.get("phase") or ""
    if not is_fulfilled(phase) or not _is_of_this_try(node, flow):
        return ""
    return stopped if lives_on and phase == "Succeeded" else f"{step} has ended ({phase})"


def _how_it_was_stopped(owner: OwnerId, seen: OwnerView) -> str:
    """Return who told an owner to stop, though it has not ended yet; handlers on exit still run. Empty: nobody."""
    if seen.shutdown:
        return f"{owner.kind} {owner.name} was told to stop (spec.shutdown: {seen.shutdown})"
    if seen.is_terminated:
        return f"{owner.kind} {owner.name} was terminated (spec.activeDeadlineSeconds: 0)"
    return ""


def _is_of_this_try(node: JsonObject, flow: JsonObject) -> bool:
    """Tell whether the flow was made for the node as it was seen: ``argo retry`` begins it anew, with the same id."""
    meta = flow["metadata"]
    recorded = (meta.get("annotations") or {}).get(NODE_STARTED_AT)
    if recorded:
        return bool(recorded == node.get("startedAt"))
    finished = node.get("finishedAt")
    return not finished or seconds_of(finished) >= seconds_of(meta["creationTimestamp"])


class TasksSeen:
    """Which flows' steps were in the WorkflowTaskSet, and which of them have left it.

    Argo takes a task out when its node has ended (argoproj/argo-workflows v4.1.2,
    taskset.go:removeCompletedTaskSetStatus). Where nodes are in Argo's database, nothing else in the cluster says so.
    """

    def __init__(self) -> None:
        self._were_there: set[str] = set()
        self._left: set[str] = set()

    def take(self, owner: OwnerId, task_set: JsonObject, flow: JsonObject) -> None:
        """Look for one flow's step."""
        uid = flow["metadata"]["uid"]
        if all(o["uid"] != owner.uid for o in task_set["metadata"].get("ownerReferences") or ()):
            return  # that of another Workflow of the name
        if node_of(flow) in ((task_set.get("spec") or {}).get("tasks") or {}):
            self._were_there.add(uid)
            self._left.discard(uid)
        elif uid in self._were_there:
            self._left.add(uid)

    def has_left(self, flow: JsonObject) -> bool:
        """Tell whether a flow's step was there, and is no more."""
        return flow["metadata"].get("uid") in self._left

    def forget(self, flow: JsonObject) -> None:
        """Drop what is known of a flow."""
        self._were_there.discard(flow["metadata"].get("uid", ""))
        self._left.discard(flow["metadata"].get("uid", ""))
