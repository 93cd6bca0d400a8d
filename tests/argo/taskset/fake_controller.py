# SPDX-License-Identifier: Apache-2.0
"""Argo's workflow-controller as far as WorkflowTaskSets go, to the letter of argoproj/argo-workflows v4.1.2.

Workflows here are lists of plugin steps with what they depend on. Each function names the one that it follows
(workflow/controller/…: func); v3.7.18 has the same.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accelchain.argo.core.identity import node_id
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.kinds import TASK_SET, WORKFLOW

COMPLETED = "workflows.argoproj.io/completed"
FULFILLED = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
NAMESPACE = "default"


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Step:
    """A step of a Workflow."""

    name: str
    template: JsonObject
    """Its ``plugin`` body holds ``{{node.name}}`` and ``{{retries}}``."""
    depends: Sequence[str] = ()
    retries: int | None = None
    """``retryStrategy.limit``, policy OnFailure."""
    on_exit: bool = False


@dataclass
class _Context:
    """``wfOperationCtx``: one pass over one Workflow."""

    wf: JsonObject
    version: str
    now: float
    updated: bool = False
    task_set: dict[str, JsonObject] = field(default_factory=dict)

    @property
    def nodes(self) -> dict[str, JsonObject]:
        found: dict[str, JsonObject] = self.wf["status"].setdefault("nodes", {})
        return found

    @property
    def shutdown(self) -> str:
        return self.wf["spec"].get("shutdown") or ""

    def executes(self, on_exit: bool) -> bool:
        """``ShutdownStrategy.ShouldExecute``."""
        return not self.shutdown or (self.shutdown == "Stop" and on_exit)


class FakeController:
    """One controller.

    Args:
        client: the API.
        clock: seconds since 1970.
    """

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.time) -> None:
        self.client = client
        self.clock = clock
        self.steps: dict[str, list[Step]] = {}
        self.workflow_writes = 0
        self.lose_update = 0
        """So many updates of the Workflow are lost: the API answered an error that is no conflict."""
        self.lose_removal = 0
        """So many removals of results and tasks fail, which is logged and forgotten."""
        self.old_task_set: JsonObject | None = None
        """What the informer holds, where it lags behind."""

    async def submit(self, name: str, steps: Sequence[Step], **spec: Any) -> JsonObject:
        """``argo submit``."""
        self.steps[name] = list(steps)
        return await self.client.create(
            WORKFLOW,
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"entrypoint": "main", **spec},
            },
        )

    async def operate(self, name: str) -> None:
        """operator.go: operate."""
        wf = copy.deepcopy(await self.client.get(WORKFLOW, name, NAMESPACE))
        woc = _Context(wf, wf["metadata"]["resourceVersion"], self.clock())
        wf.setdefault("status", {})
        if (wf["metadata"].get("labels") or {}).get(COMPLETED) == "true":
            return
        if not wf["status"].get("phase"):
            wf["status"] |= {"phase": "Running", "startedAt": stamp(woc.now)}
            woc.updated = True
        else:
            self._fail_nodes(woc)
        if not wf["spec"].get("suspend"):
            await self._execute(woc)
        await self._persist_updates(woc)

    async def retry(self, name: str) -> None:
        """workflow/util/util.go: FormulateRetryWorkflow: what failed is taken out, and runs anew with the same id."""
        wf = copy.deepcopy(await self.client.get(WORKFLOW, name, NAMESPACE))
        assert wf["status"]["phase"] in ("Failed", "Error"), "only such a Workflow can be retried"
        failed = {id_ for id_, node in wf["status"]["nodes"].items() if node["phase"] != "Succeeded"}
        exits = {node_id(name, f"{name}.{step.name}") for step in self.steps[name] if step.on_exit}
        wf["status"]["nodes"] = {id_: node for id_, node in wf["status"]["nodes"].items() if id_ not in failed | exits}
        wf["status"] |= {"phase": "Running", "startedAt": stamp(self.clock())}
        wf["status"].pop("finishedAt", None)
        wf["metadata"].setdefault("labels", {}).pop(COMPLETED, None)
        wf["spec"].pop("shutdown", None)
        await self._update(wf, wf["metadata"]["resourceVersion"])

    async def stop(self, name: str, strategy: str = "Stop") -> None:
        """``argo stop`` and ``argo terminate``."""
        await self.client.patch(WORKFLOW, name, NAMESPACE, {"spec": {"shutdown": strategy}})

    # --- operator.go

    def _fail_nodes(self, woc: _Context) -> None:
        """operator.go: failNodesWithoutCreatedPodsAfterDeadlineOrShutdown."""
        limit = woc.wf["spec"].get("activeDeadlineSeconds")
        deadline = seconds_of(woc.wf["status"]["startedAt"]) + limit if limit else float("inf")
        for node in woc.nodes.values():
            if node["phase"] in FULFILLED:
                continue
            on_exit = self._is_on_exit(woc, node)
            if woc.shutdown and not woc.executes(on_exit):
                if node["type"] == "Plugin" or self._children_fulfilled(woc, node):
                    self._mark(woc, node, "Failed", f"Stopped with strategy '{woc.shutdown}'")
                continue
            if woc.now > deadline and not on_exit and node["phase"] == "Pending":
                self._mark(woc, node, "Failed", "Step exceeded its deadline")

    async def _execute(self, woc: _Context) -> None:
        """operator.go: operate, from executeTemplate of the entrypoint on."""
        name = woc.wf["metadata"]["name"]
        steps = self.steps[name]
        main = [step for step in steps if not step.on_exit]
        phases = [self._execute_step(woc, step, main) for step in main]
        if not woc.shutdown:
            await self._task_set_reconciliation(woc)
            phases = [self._phase(woc, step) for step in main]
        stuck = any(phase in ("Failed", "Error") for phase in phases)
        if not all(phase in FULFILLED or (phase == "" and (stuck or woc.shutdown)) for phase in phases):
            return
        exits = [step for step in steps if step.on_exit]
        if exits and woc.executes(on_exit=True):
            for step in exits:
                self._execute_step(woc, step, ())
            await self._task_set_reconciliation(woc)  # nodeRequiresTaskSetReconciliation holds for plugin nodes
            if not all(self._phase(woc, step) in FULFILLED for step in exits):
                return
        worst = next((p for p in ("Error", "Failed") if p in phases), "Failed" if "" in phases else "Succeeded")
        woc.wf["status"] |= {"phase": worst, "finishedAt": stamp(woc.now)}
        woc.wf["metadata"].setdefault("labels", {})[COMPLETED] = "true"
        woc.updated = True

    def _execute_step(self, woc: _Context, step: Step, others: Sequence[Step]) -> str:
        name = f"{woc.wf['metadata']['name']}.{step.name}"
        known = {other.name: other for other in others}
        if any(self._phase(woc, known[depends]) != "Succeeded" for depends in step.depends):
            return ""
        if woc.shutdown and not woc.executes(step.on_exit):
            return self._phase(woc, step)
        if step.retries is None:
            return self._execute_plugin(woc, step, name, name, None)
        parent = woc.nodes.get(node_id(woc.wf["metadata"]["name"], name)) or self._init(
            woc, step, name, "Retry", "Running"
        )
        if parent["phase"] in FULFILLED:
            return str(parent["phase"])
        # operator.go: processNodeRetries
        for attempt in range(step.retries + 1):
            phase = self._execute_plugin(woc, step, f"{name}({attempt})", name, attempt)
            if phase not in FULFILLED:
                return ""
            if phase == "Succeeded" or phase == "Error" or attempt == step.retries:
                self._mark(
                    woc, parent, phase, woc.nodes[node_id(woc.wf["metadata"]["name"], f"{name}({attempt})")]["message"]
                )
                return phase
        raise AssertionError

    def _execute_plugin(self, woc: _Context, step: Step, name: str, parent: str, attempt: int | None) -> str:
        """plugin_template.go: executePluginTemplate, after operator.go: executeTemplate looked at the timeout."""
        id_ = node_id(woc.wf["metadata"]["name"], name)
        node = woc.nodes.get(id_)
        if node is not None and node["phase"] == "Pending" and woc.now > _timeout(step, node):
            self._mark(woc, node, "Failed", "timeout")
            return "Failed"
        if node is None:
            node = self._init(woc, step, name, "Plugin", "Pending")
        if node["phase"] not in FULFILLED:
            woc.task_set[id_] = _substituted(step.template, parent, attempt)
        return str(node["phase"])

    def _init(self, woc: _Context, step: Step, name: str, type: str, phase: str) -> JsonObject:
        """operator.go: initializeExecutableNode."""
        id_ = node_id(woc.wf["metadata"]["name"], name)
        display = f"{step.name}.onExit" if step.on_exit else step.name
        node = {"id": id_, "name": name, "displayName": display, "type": type, "phase": phase, "message": "",
                "startedAt": stamp(woc.now), "templateName": step.template["name"]}  # fmt: skip
        woc.nodes[id_] = node
        woc.updated = True
        return node

    def _mark(self, woc: _Context, node: JsonObject, phase: str, message: str) -> None:
        """operator.go: markNodePhase."""
        node |= {"phase": phase, "message": message, "finishedAt": stamp(woc.now)}
        woc.updated = True

    async def _persist_updates(self, woc: _Context) -> None:
        """operator.go: persistUpdates: results and tasks go first, then the Workflow is written."""
        if not woc.updated:
            return
        try:
            await self._remove_completed_task_set_status(woc)
        except ApiError:
            pass  # "error updating taskset" is logged
        if self.lose_update:
            self.lose_update -= 1
            return
        try:
            await self._update(woc.wf, woc.version)
        except ApiError as error:
            if error.code != 409:
                raise
            await self._reapply_update(woc)

    async def _reapply_update(self, woc: _Context) -> None:
        """operator.go: reapplyUpdate: the difference on top of the newest; only status is ours."""
        newest = await self.client.get(WORKFLOW, woc.wf["metadata"]["name"], NAMESPACE)
        merged = copy.deepcopy(newest)
        merged["status"] = woc.wf["status"]
        merged["metadata"]["labels"] = woc.wf["metadata"].get("labels") or {}
        await self._update(merged, newest["metadata"]["resourceVersion"])

    async def _update(self, wf: JsonObject, version: str) -> None:
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/labels", "value": wf["metadata"].get("labels") or {}},
            {"op": "add", "path": "/spec", "value": wf["spec"]},
            {"op": "add", "path": "/status", "value": wf["status"]},
        ]
        await self.client.patch(WORKFLOW, wf["metadata"]["name"], NAMESPACE, patch)
        self.workflow_writes += 1

    # --- taskset.go

    async def _task_set_reconciliation(self, woc: _Context) -> None:
        """taskset.go: taskSetReconciliation, reconcileTaskSet."""
        task_set = self.old_task_set or await self._task_set(woc)
        for id_, result in ((task_set or {}).get("status", {}).get("nodes") or {}).items():
            node = woc.nodes.get(id_)
            if node is None:
                return  # "was unable to obtain node for nodeID": and no task is created either
            # Whatever the node is by now: one that has ended can come back to life here.
            node |= {"phase": result.get("phase") or "", "message": result.get("message") or "",
                     "finishedAt": stamp(woc.now)}  # fmt: skip
            node.pop("outputs", None)
            if result.get("outputs"):
                node["outputs"] = copy.deepcopy(result["outputs"])
            woc.updated = True
        await self._create_task_set(woc)

    async def _task_set(self, woc: _Context) -> JsonObject | None:
        try:
            return await self.client.get(TASK_SET, woc.wf["metadata"]["name"], NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def _create_task_set(self, woc: _Context) -> None:
        """taskset.go: createTaskSet: all tasks that were open before the results were taken."""
        if not woc.task_set:
            return
        meta = woc.wf["metadata"]
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": meta["name"], "uid": meta["uid"]}
        task_set = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskSet",
            "metadata": {"name": meta["name"], "namespace": NAMESPACE, "labels": {}, "ownerReferences": [owner]},
            "spec": {"tasks": woc.task_set},
        }
        try:
            await self.client.create(TASK_SET, task_set)
        except ApiError as error:
            if error.code != 409:
                raise
            done = "true" if woc.wf["status"]["phase"] in FULFILLED else "false"
            patch = {"metadata": {"labels": {COMPLETED: done}}, "spec": {"tasks": woc.task_set}}
            await self.client.patch(TASK_SET, meta["name"], NAMESPACE, patch)

    async def _remove_completed_task_set_status(self, woc: _Context) -> None:
        """taskset.go: removeCompletedTaskSetStatus, getDeleteTaskAndNodePatch: of ended nodes, old ones too."""
        gone = {n["id"]: None for n in woc.nodes.values() if n["type"] == "Plugin" and n["phase"] in FULFILLED}
        if not gone:
            return
        if self.lose_removal:
            self.lose_removal -= 1
            raise ApiError(0, "Unreachable", "injected")
        name = woc.wf["metadata"]["name"]
        patch: JsonObject = {"spec": {"tasks": gone}}
        if woc.wf["status"]["phase"] in FULFILLED:
            patch["metadata"] = {"labels": {COMPLETED: "true"}}
        await self.client.patch(TASK_SET, name, NAMESPACE, {"status": {"nodes": gone}}, subresource="status")
        await self.client.patch(TASK_SET, name, NAMESPACE, patch)

    # --- helpers

    def _phase(self, woc: _Context, step: Step) -> str:
        name = woc.wf["metadata"]["name"]
        node = woc.nodes.get(node_id(name, f"{name}.{step.name}"))
        return str(node["phase"]) if node else ""

    def _is_on_exit(self, woc: _Context, node: JsonObject) -> bool:
        return any(
            s.on_exit and node["displayName"] == f"{s.name}.onExit" for s in self.steps[woc.wf["metadata"]["name"]]
        )

    def _children_fulfilled(self, woc: _Context, node: JsonObject) -> bool:
        children = [n for n in woc.nodes.values() if re.fullmatch(re.escape(node["name"]) + r"\(\d+\)", n["name"])]
        return node["type"] == "Retry" and all(child["phase"] in FULFILLED for child in children)


def _timeout(step: Step, node: JsonObject) -> float:
    """operator.go: checkTemplateTimeouts."""
    timeout = step.template.get("timeout")
    return seconds_of(node["startedAt"]) + float(timeout.rstrip("s")) if timeout else float("inf")


def _substituted(template: JsonObject, node: str, attempt: int | None) -> JsonObject:
    """Replace the variables: ``{{retries}}`` stays as it is where there is no retryStrategy."""
    template = copy.deepcopy(template)
    for body in template["plugin"].values():
        if isinstance(body, dict) and body.get("node") == "{{node.name}}":
            body["node"] = node
        if isinstance(body, dict) and body.get("attempt") == "{{retries}}" and attempt is not None:
            body["attempt"] = str(attempt)
    return template
