# SPDX-License-Identifier: Apache-2.0
"""A container task: its driver (driver/container.go, driver/driver.go), then its executor's pods."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_backend import inputs, sandbox
from kfp_backend.cache import fingerprint
from kfp_backend.container import LOGS, Pod, Result, base_environment
from kfp_backend.expressions import will_run
from kfp_backend.phases import FAILED, SKIPPED, SUCCEEDED
from kfp_backend.placeholders import by_driver
from kfp_backend.records import Execution
from kfp_backend.store import is_folder
from kfp_backend.values import BackendError

if TYPE_CHECKING:
    from kfp_backend.backend import Run

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One container task of a run."""

    of: Run
    name: str
    task: JsonObject
    component: JsonObject
    container: JsonObject
    dag: Execution
    index: int | None
    """Of the iteration, where the task itself is looped over."""

    def run(self, node: str) -> str:
        """driver/container.go:Container, then the executor; return Argo's phase."""
        self.of.count_pod()
        records = self.of.backend.records
        try:
            asked = inputs.Asked(self.name, self.task, self.component, self.dag, self.index)
            resolved = inputs.resolve(records, self.of.job, asked)
            if not will_run(self.task, resolved):
                records.create("Container", task=self.name, parent=self.dag.id, state="CANCELED", index=self.index)
                records.update(self.dag)
                return SKIPPED
            executor_input = {"inputs": resolved, "outputs": self._provision()}
            execution = records.create("Container", task=self.name, parent=self.dag.id, index=self.index)
            execution.inputs = resolved["parameterValues"]
            caches = self.task.get("cachingOptions", {}).get("enableCache", False)
            if caches and not self.of.backend.cache_disabled:
                key = fingerprint(executor_input, self.component, self.container)
                execution.fingerprint = f"{self.of.spec['pipelineInfo']['name']}/{key}"
            if (earlier := records.cache.get(execution.fingerprint)) is not None:
                kept = records.executions[earlier]
                execution.outputs, execution.output_artifacts = dict(kept.outputs), dict(kept.output_artifacts)
                execution.state = "CACHED"
                records.update(self.dag)
                return SUCCEEDED
            command = by_driver(self.container.get("command", []), executor_input)
            command += by_driver(self.container.get("args", []), executor_input)
        except BackendError as error:
            return self.of.fails(node, f"driver: {error}")
        is_good = self._attempts(execution, executor_input, command, f"{node}.executor")
        records.update(self.dag)
        return SUCCEEDED if is_good else FAILED

    def _provision(self) -> JsonObject:
        """driver/driver.go:provisionOutputs."""
        definitions = self.component.get("outputDefinitions", {})
        artifacts = dict(definitions.get("artifacts", {}))
        if self.of.backend.publish_logs:
            artifacts[LOGS] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        at = f"{self.of.root}/{self.name}/{uuid.uuid4()}"
        made: JsonObject = {"artifacts": {}, "parameters": {}}
        for name, declared in artifacts.items():
            kind = declared["artifactType"]
            artifact = {"name": name, "uri": f"{at}/{name}", "type": kind, "metadata": declared.get("metadata", {})}
            made["artifacts"][name] = {"artifacts": [artifact]}
        pod = self._blank_pod()
        for name in definitions.get("parameters", {}):
            made["parameters"][name] = {"outputFile": pod.inside(f"/tmp/kfp/outputs/{name}")}
        made["outputFile"] = f"{pod.local_path({'uri': at})}/output_metadata.json"
        return made

    def _attempts(self, execution: Execution, executor_input: JsonObject, command: list[str], node: str) -> bool:
        """compiler/argocompiler/container.go:addContainerExecutorTemplate with its retryStrategy."""
        policy, backend = self.task.get("retryPolicy"), self.of.backend
        for number in range(1 + (int(policy.get("maxRetryCount", 0)) if policy else 0)):
            if self.of.is_terminated:
                return False
            self.of.count_pod()
            retry = number if policy else None
            pod = self._make_pod(f"{node}({number})" if policy else node, retry)
            found = backend.execute(pod, command, copy.deepcopy(executor_input), self.component, backend.store, retry)
            if not pod.is_lost:
                self._publish(execution, found)
            if backend.cluster is not None:
                backend.cluster.end_pod(pod.name, is_good=found.is_good)
            if found.is_good:
                if execution.fingerprint:
                    backend.records.cache[execution.fingerprint] = execution.id
                return True
            self.of.fails(node, found.message)
        return False

    def _publish(self, execution: Execution, found: Result) -> None:
        """component/launcher_v2.go:publish."""
        execution.state = "COMPLETE" if found.is_good else "FAILED"
        execution.outputs = found.parameters
        for name, artifact in found.artifacts.items():
            execution.output_artifacts[name] = self.of.backend.records.artifact(
                name, artifact["uri"], artifact.get("metadata", {})
            )

    def _blank_pod(self) -> Pod:
        """Return where paths of any pod of this run are; unconfined pods share one folder."""
        backend = self.of.backend
        shared = (*backend.shared, Path(backend.root)) if is_folder(backend.root) else backend.shared
        folder = backend.folder / "unconfined" / self.of.run_id
        return Pod("", "", folder, {}, shared, is_confined=sandbox.is_possible())

    def _make_pod(self, node: str, retry: int | None) -> Pod:
        cluster = self.of.backend.cluster
        pod = self._blank_pod()
        pod.name = f"{self.of.job.workflow}-{uuid.uuid4().int % 10**10}"
        pod.uid = str(uuid.uuid4())
        if cluster is not None:
            pod.uid = cluster.start_pod(pod.name, self.of.workflow, self.of.run_id, node)
        if pod.is_confined:
            pod.folder = self.of.backend.folder / pod.name
        pod.folder.mkdir(parents=True, exist_ok=True)
        environment = base_environment() | self.of.backend.environment
        environment |= {each["name"]: each.get("value", "") for each in self.container.get("env", [])}
        environment |= {"KFP_POD_NAME": pod.name, "KFP_POD_UID": pod.uid, "ARGO_CONTAINER_NAME": "main"}
        if retry is not None:
            environment["KFP_RETRY_INDEX"] = str(retry)
        if cluster is not None:
            environment |= cluster.environment
            cluster.write_account(pod.folder / sandbox.ACCOUNT)
        pod.environment = environment
        self.of.add_pod(pod)
        return pod
