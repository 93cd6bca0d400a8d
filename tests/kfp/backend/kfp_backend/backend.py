# SPDX-License-Identifier: Apache-2.0
"""A run, from its IR to its end, and what outlives it; driver/root_dag.go."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kfp_backend import inputs
from kfp_backend.cluster import WORKFLOWS, Cluster
from kfp_backend.compiler import check_compiles
from kfp_backend.container import LOGS, Pod, Result, execute
from kfp_backend.phases import FAILED
from kfp_backend.records import Artifact, Execution, Records
from kfp_backend.store import S3Store, is_folder
from kfp_backend.values import Value
from kfp_backend.walker import Walker

CREATED = "2026-01-02T03:04:05Z"


@dataclass
class Backend:
    """What outlives a run: the store, the cluster, and the cache.

    Args:
        folder: where pods' files live.
        root: the pipeline root: a folder, or ``s3://bucket/prefix`` or ``minio://…`` of ``store``.
        store: an S3 server.
        cluster: what containers see as their Kubernetes; None: nothing.
        environment: more variables of every container.
        shared: folders that containers see as they are.
        publish_logs: PUBLISH_LOGS of the driver.
    """

    folder: Path
    root: str
    store: S3Store | None = None
    cluster: Cluster | None = None
    environment: dict[str, str] = field(default_factory=dict)
    shared: tuple[Path, ...] = ()
    publish_logs: bool = True
    execute: Callable[..., Result] = execute
    """What stands for launcher-v2 and its process."""
    cache_disabled: bool = False
    """Of the whole server."""
    next_run_id: Callable[[], str] = lambda: str(uuid.uuid4())
    records: Records = field(default_factory=Records)

    def start(self, text: str, /, **parameters: Value) -> Run:
        """Begin a run.

        Raises:
            BackendError: the compiler refuses it.
        """
        return Run(self, text, parameters)

    def run(self, text: str, /, **parameters: Value) -> Run:
        """Run to the end."""
        run = self.start(text, **parameters)
        run.wait()
        return run


class Run:
    """One run. Tasks run at the same time where Argo would run them so."""

    def __init__(self, backend: Backend, text: str, parameters: dict[str, Value]) -> None:
        document = next(iter(yaml.safe_load_all(text)))
        self.spec: dict[str, Any] = json_format.MessageToDict(json_format.ParseDict(document, pb.PipelineSpec()))
        self.backend = backend
        self.run_id = backend.next_run_id()
        name = self.spec["pipelineInfo"]["name"]
        self.job = inputs.Job(self.run_id, f"{name[:40]}-{self.run_id[:5]}", f"{name} of a test", CREATED)
        self.root = f"{backend.root.rstrip('/')}/{name}/{self.run_id}"
        self.pods: list[Pod] = []
        self.failures: list[str] = []
        """What drivers and launchers said of what failed."""
        self.count = 1
        """Pods that there were, drivers included; the root driver is the first."""
        self.states: dict[str, str] = {}
        """Argo's phase by node name."""
        self.is_terminated = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(64)
        self.workflow = self._make_workflow()
        check_compiles(self.spec)
        self._dag = backend.records.create("DAG", inputs=self._root_inputs(parameters))
        component = self.spec["root"]
        self._end: Future[str] = self._threads.submit(
            Walker(self).run_dag, component, self._dag, f"{self.job.workflow}.root"
        )

    def wait(self, seconds: float = 100.0) -> str:
        """Wait for the end; return ``Succeeded`` or ``Failed``."""
        phase = self._end.result(seconds)
        self._threads.shutdown(wait=True)
        if self.backend.cluster is not None:
            patch = {"status": {"phase": phase, "finishedAt": CREATED}}
            self.backend.cluster.patch(WORKFLOWS, self.job.workflow, patch)
        return phase

    @property
    def phase(self) -> str:
        """How it ended. It has."""
        return self._end.result(0)

    def terminate(self) -> None:
        """apiserver's TerminateRun, and what Argo then does: SIGTERM to what runs."""
        self.is_terminated = True
        if self.backend.cluster is not None:
            self.backend.cluster.patch(WORKFLOWS, self.job.workflow, {"spec": {"activeDeadlineSeconds": 0}})
        with self._lock:
            pods = list(self.pods)
        for pod in pods:
            pod.terminate()

    def outputs(self, task: str) -> dict[str, Value]:
        """Return the output parameters of a task, by its name in the IR; of the last one where there are several."""
        return self.executions(task)[-1].outputs

    def artifacts(self, task: str) -> dict[str, Artifact]:
        """Return the output artifacts of a task, logs left out."""
        found = self.executions(task)[-1].output_artifacts
        return {name: artifact for name, artifact in found.items() if name != LOGS}

    def executions(self, task: str) -> list[Execution]:
        """Return the executions of a task in this run."""
        mine = {self._dag.id}
        found = []
        for each in sorted(self.backend.records.executions.values(), key=lambda each: each.id):
            if each.parent in mine:
                mine.add(each.id)
                if each.task == task:
                    found.append(each)
        return found

    def read(self, artifact: Artifact) -> bytes:
        """Return an artifact's bytes from where it is."""
        if is_folder(artifact.uri):
            return Path(artifact.uri).read_bytes()
        assert self.backend.store is not None
        return self.backend.store.read(artifact.uri)

    def _root_inputs(self, given: dict[str, Value]) -> dict[str, Value]:
        """apiserver/template/v2_template.go: values of the request, then defaults; optional ones are nil."""
        found: dict[str, Value] = {}
        for name, declared in self.spec["root"].get("inputDefinitions", {}).get("parameters", {}).items():
            if name in given:
                value = given[name]
                is_number = isinstance(value, int) and not isinstance(value, bool)
                found[name] = float(value) if is_number else value
            elif "defaultValue" in declared or declared.get("isOptional"):
                found[name] = declared.get("defaultValue")
        return found

    def _make_workflow(self) -> dict[str, Any]:
        if self.backend.cluster is None:
            return {"metadata": {"name": self.job.workflow, "uid": str(uuid.uuid4())}}
        labels = {"pipeline/runid": self.run_id}
        return self.backend.cluster.create(
            WORKFLOWS,
            {"metadata": {"name": self.job.workflow, "labels": labels}, "spec": {}, "status": {"phase": "Running"}},
        )

    def count_pod(self) -> None:
        """Count a pod that begins."""
        with self._lock:
            self.count += 1

    def add_pod(self, pod: Pod) -> None:
        """Know a pod of an executor. One that comes too late is terminated as those before."""
        with self._lock:
            self.pods.append(pod)
        if self.is_terminated:
            pod.terminate()

    def fails(self, node: str, message: str) -> str:
        """Note why a node failed; return its phase."""
        with self._lock:
            self.failures.append(f"{node}: {message}")
        return FAILED
