# SPDX-License-Identifier: Apache-2.0
"""A run, from its IR to its end: Argo's controller and the workflow that KFP's compiler makes of the IR.

compiler/argocompiler/{dag,container,importer,common}.go, and driver/{root_dag,dag,container,driver}.go.
"""

from __future__ import annotations

import copy
import shutil
import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kfp_backend import inputs, sandbox
from kfp_backend.cache import fingerprint
from kfp_backend.cluster import WORKFLOWS, Cluster
from kfp_backend.container import LOGS, Pod, Result, base_environment, execute
from kfp_backend.expressions import condition
from kfp_backend.placeholders import by_driver
from kfp_backend.records import Artifact, Execution, Records
from kfp_backend.store import S3Store, is_folder, parse
from kfp_backend.values import BackendError, Value

CREATED = "2026-01-02T03:04:05Z"
SUCCEEDED, FAILED, SKIPPED, OMITTED = "Succeeded", "Failed", "Skipped", "Omitted"
_LAST = "ALL_UPSTREAM_TASKS_COMPLETED"


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
        self.run_id = str(uuid.uuid4())
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
        self._is_terminated = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(64)
        self.workflow = self._make_workflow()
        check_compiles(self.spec)
        self._dag = backend.records.create("DAG", inputs=self._root_inputs(parameters))
        component = self.spec["root"]
        self._end: Future[str] = self._threads.submit(self._run_dag, component, self._dag, f"{self.job.workflow}.root")

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
        self._is_terminated = True
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

    def _count(self, pods: int = 1) -> None:
        with self._lock:
            self.count += pods

    def _fails(self, node: str, message: str) -> str:
        with self._lock:
            self.failures.append(f"{node}: {message}")
        return FAILED

    def _run_dag(self, component: dict[str, Any], dag: Execution, node: str) -> str:
        """Run a DAG's tasks (compiler/argocompiler/dag.go:DAG) with failFast, as Argo does."""
        tasks: dict[str, dict[str, Any]] = copy.deepcopy(component["dag"]["tasks"])
        for task in tasks.values():
            _add_implicit_dependencies(task)
        hooks = {
            dependent: name
            for name, task in sorted(tasks.items())
            if task.get("triggerPolicy", {}).get("strategy") == _LAST
            for dependent in task.get("dependentTasks", [])
        }
        last = set(hooks.values())
        futures: dict[str, Future[str]] = {name: Future() for name in tasks if name not in last}
        failed = threading.Event()

        def work(name: str) -> None:
            try:
                phases = [futures[other].result() for other in tasks[name].get("dependentTasks", [])]
                if any(phase != SUCCEEDED for phase in phases) or failed.is_set() or self._is_terminated:
                    phase = OMITTED
                else:
                    phase = self._run_task(name, tasks[name], dag, f"{node}.{name}")
                    if name in hooks and not self._is_terminated:
                        exit_task = hooks[name]
                        self._run_task(exit_task, tasks[exit_task], dag, f"{node}.{name}.onExit.{exit_task}")
                if phase == FAILED:
                    failed.set()
                self.states[f"{node}.{name}"] = phase
                futures[name].set_result(phase)
            except BaseException as error:
                futures[name].set_exception(error)

        threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in futures]
        for thread in threads:
            thread.start()
        phases = [future.result() for future in futures.values()]
        return FAILED if FAILED in phases or self._is_terminated else SUCCEEDED

    def _run_task(self, name: str, task: dict[str, Any], dag: Execution, node: str, index: int | None = None) -> str:
        component = self.spec["components"][task["componentRef"]["name"]]
        if index is None and "parameterIterator" in task:
            return self._run_loop(name, task, component, dag, node)
        if "dag" in component:
            return self._run_sub_dag(name, task, component, dag, node, index)
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            return self._run_importer(name, task, component, executor["importer"], dag, node)
        return self._run_container(name, task, component, executor["container"], dag, node, index)

    def _drive_dag(
        self, name: str, task: dict[str, Any], component: dict[str, Any], dag: Execution, index: int | None
    ) -> Execution:
        """driver/dag.go:DAG."""
        self._count()
        records = self.backend.records
        resolved = inputs.resolve(records, self.job, inputs.Asked(name, task, component, dag, index, is_dag=True))
        will_run = _will_run(task, resolved)
        is_loop = "parameterIterator" in task and index is None
        count = None
        if will_run and is_loop:
            iterator = task["parameterIterator"]
            if "raw" in iterator["items"]:
                value: Value = inputs.items(iterator["items"]["raw"])
                resolved["parameterValues"][iterator["itemInput"]] = value
            else:
                value = resolved["parameterValues"][iterator["items"]["inputParameter"]]
            count = len(inputs.items(value))
        return records.create(
            "DAG",
            task=name,
            parent=dag.id,
            state="RUNNING" if will_run else "CANCELED",
            inputs=resolved["parameterValues"],
            artifacts={key: listed["artifacts"] for key, listed in resolved["artifacts"].items()},
            output_specs=component["dag"].get("outputs", {}),
            index=index,
            count=count,
            total=len(component["dag"]["tasks"]),
        )

    def _run_sub_dag(
        self,
        name: str,
        task: dict[str, Any],
        component: dict[str, Any],
        dag: Execution,
        node: str,
        index: int | None,
    ) -> str:
        try:
            execution = self._drive_dag(name, task, component, dag, index)
        except BackendError as error:
            return self._fails(node, f"driver: {error}")
        if execution.state == "CANCELED":
            return SKIPPED
        return self._run_dag(component, execution, node)

    def _run_loop(self, name: str, task: dict[str, Any], component: dict[str, Any], dag: Execution, node: str) -> str:
        """compiler/argocompiler/dag.go:iteratorTask: a loop that isn't triggered has succeeded."""
        try:
            execution = self._drive_dag(name, task, component, dag, None)
        except BackendError as error:
            return self._fails(node, f"driver: {error}")
        limit = int(task.get("iteratorPolicy", {}).get("parallelismLimit", 0)) or 32
        numbers = range(execution.count or 0)
        with ThreadPoolExecutor(limit) as pool:
            phases = list(
                pool.map(
                    lambda number: self._run_task(
                        name,
                        task,
                        execution,
                        f"{node}.iteration-iterations({number}:{number}).iteration-item",
                        number,
                    ),
                    numbers,
                )
            )
        if execution.count == 0:
            self.backend.records.update(execution)
        return FAILED if FAILED in phases else SUCCEEDED

    def _run_importer(
        self,
        name: str,
        task: dict[str, Any],
        component: dict[str, Any],
        importer: dict[str, Any],
        dag: Execution,
        node: str,
    ) -> str:
        """component/importer_launcher.go:Execute. No driver; an artifact that is known is used again."""
        self._count()
        records = self.backend.records
        try:
            uri = _importer_uri(task, importer, dag)
            if not is_folder(uri):
                parse(uri)
        except BackendError as error:
            return self._fails(node, str(error))
        (output,) = component["outputDefinitions"]["artifacts"]
        metadata = importer.get("metadata", {})
        known = [
            artifact
            for each in records.executions.values()
            if each.kind == "Importer"
            for artifact in each.output_artifacts.values()
            if artifact.uri == uri and not importer.get("reimport")
        ]
        artifact = known[0] if known else records.artifact(output, uri, metadata)
        execution = records.create("Importer", task=task["taskInfo"]["name"], parent=dag.id, state="COMPLETE")
        execution.output_artifacts[output] = artifact
        records.update(dag)
        return SUCCEEDED

    def _run_container(
        self,
        name: str,
        task: dict[str, Any],
        component: dict[str, Any],
        container: dict[str, Any],
        dag: Execution,
        node: str,
        index: int | None,
    ) -> str:
        """driver/container.go:Container, then the executor."""
        self._count()
        records = self.backend.records
        try:
            resolved = inputs.resolve(records, self.job, inputs.Asked(name, task, component, dag, index))
            executor_input: dict[str, Any] = {"inputs": resolved}
            will_run = _will_run(task, resolved)
            if not will_run:
                records.create("Container", task=name, parent=dag.id, state="CANCELED", index=index)
                records.update(dag)
                return SKIPPED
            executor_input["outputs"] = self._provision(name, component)
            caches = task.get("cachingOptions", {}).get("enableCache", False)
            print_of_it = fingerprint(executor_input, component, container) if caches else ""
            execution = records.create("Container", task=name, parent=dag.id, index=index, fingerprint=print_of_it)
            execution.inputs = resolved["parameterValues"]
            if print_of_it and (earlier := records.cache.get(print_of_it)):
                kept = records.executions[earlier]
                execution.outputs, execution.output_artifacts = dict(kept.outputs), dict(kept.output_artifacts)
                execution.state = "CACHED"
                records.update(dag)
                return SUCCEEDED
            command = by_driver(container.get("command", []), executor_input)
            command += by_driver(container.get("args", []), executor_input)
        except BackendError as error:
            return self._fails(node, f"driver: {error}")
        is_good = self._attempts(task, component, container, execution, executor_input, command, f"{node}.executor")
        records.update(dag)
        return SUCCEEDED if is_good else FAILED

    def _attempts(
        self,
        task: dict[str, Any],
        component: dict[str, Any],
        container: dict[str, Any],
        execution: Execution,
        executor_input: dict[str, Any],
        command: list[str],
        node: str,
    ) -> bool:
        """compiler/argocompiler/container.go:addContainerExecutorTemplate with its retryStrategy."""
        policy = task.get("retryPolicy")
        limit = int(policy.get("maxRetryCount", 0)) if policy else 0
        for number in range(limit + 1):
            if self._is_terminated:
                return False
            self._count()
            retry = number if policy else None
            pod = self._make_pod(f"{node}({number})" if policy else node, container, retry)
            found = execute(pod, command, copy.deepcopy(executor_input), component, self.backend.store, retry)
            self._publish(execution, found)
            if self.backend.cluster is not None:
                self.backend.cluster.end_pod(pod.name, is_good=found.is_good)
            if found.is_good:
                if execution.fingerprint:
                    self.backend.records.cache[execution.fingerprint] = execution.id
                return True
            self._fails(node, found.message)
        return False

    def _publish(self, execution: Execution, found: Result) -> None:
        """component/launcher_v2.go:publish. One that is killed publishes nothing; only its state is of no use then."""
        execution.state = "COMPLETE" if found.is_good else "FAILED"
        execution.outputs = found.parameters
        for name, artifact in found.artifacts.items():
            execution.output_artifacts[name] = self.backend.records.artifact(
                name, artifact["uri"], artifact.get("metadata", {})
            )

    def _provision(self, task: str, component: dict[str, Any]) -> dict[str, Any]:
        """driver/driver.go:provisionOutputs."""
        definitions = component.get("outputDefinitions", {})
        artifacts = dict(definitions.get("artifacts", {}))
        if self.backend.publish_logs:
            artifacts[LOGS] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        at = f"{self.root}/{task}/{uuid.uuid4()}"
        made: dict[str, Any] = {"artifacts": {}, "parameters": {}}
        for name, declared in artifacts.items():
            kind = declared["artifactType"]
            artifact = {"name": name, "uri": f"{at}/{name}", "type": kind, "metadata": declared.get("metadata", {})}
            made["artifacts"][name] = {"artifacts": [artifact]}
        pod = self._blank_pod()
        for name in definitions.get("parameters", {}):
            made["parameters"][name] = {"outputFile": pod.inside(f"/tmp/kfp/outputs/{name}")}
        made["outputFile"] = f"{pod.local_path({'uri': at})}/output_metadata.json"
        return made

    def _blank_pod(self) -> Pod:
        """Return where paths of any pod of this run are; unconfined pods share one folder."""
        shared = self.backend.shared
        if is_folder(self.backend.root):
            shared = (*shared, Path(self.backend.root))
        folder = self.backend.folder / "unconfined" / self.run_id
        return Pod("", "", folder, {}, shared, is_confined=sandbox.is_possible())

    def _make_pod(self, node: str, container: dict[str, Any], retry: int | None) -> Pod:
        name = f"{self.job.workflow}-{uuid.uuid4().int % 10**10}"
        cluster = self.backend.cluster
        uid = cluster.start_pod(name, self.workflow, self.run_id, node) if cluster else str(uuid.uuid4())
        pod = self._blank_pod()
        if pod.is_confined:
            pod.folder = self.backend.folder / name
        pod.folder.mkdir(parents=True, exist_ok=True)
        environment = base_environment() | self.backend.environment
        environment |= {each["name"]: each.get("value", "") for each in container.get("env", [])}
        environment |= {"KFP_POD_NAME": name, "KFP_POD_UID": uid, "ARGO_CONTAINER_NAME": "main"}
        if retry is not None:
            environment["KFP_RETRY_INDEX"] = str(retry)
        if cluster:
            environment |= cluster.environment
            cluster.write_account(pod.folder / sandbox.ACCOUNT)
        pod.name, pod.uid, pod.environment = name, uid, environment
        with self._lock:
            self.pods.append(pod)
        return pod

    def clean(self) -> None:
        """Remove the folders of the run's pods."""
        for pod in self.pods:
            shutil.rmtree(pod.folder, ignore_errors=True)


def _will_run(task: dict[str, Any], resolved: dict[str, Any]) -> bool:
    expression = task.get("triggerPolicy", {}).get("condition", "")
    return condition(expression, {"inputs": resolved}) if expression else True


def _add_implicit_dependencies(task: dict[str, Any]) -> None:
    """compiler/argocompiler/dag.go:addImplicitDependencies."""
    found = task.setdefault("dependentTasks", [])
    for kind, source in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact")):
        for spec in task.get("inputs", {}).get(kind, {}).values():
            producer = spec.get(source, {}).get("producerTask")
            if producer and producer not in found:
                found.append(producer)


def _importer_uri(task: dict[str, Any], importer: dict[str, Any], dag: Execution) -> str:
    """component/importer_launcher.go:ImportSpecToMLMDArtifact: a constant, or an input of the DAG."""
    uri = importer["artifactUri"]
    found = uri.get("constant")
    if found is None:
        spec = task.get("inputs", {}).get("parameters", {}).get(uri.get("runtimeParameter"), {})
        if "componentInputParameter" in spec:
            found = dag.inputs.get(spec["componentInputParameter"])
        else:
            raise BackendError("error resolving artifact URI: parent DAG does not have input parameter ")
    if not found:
        raise BackendError("empty artifact URI")
    return str(found)


def check_compiles(spec: dict[str, Any]) -> None:
    """compiler/visitor.go and compiler/argocompiler: what the API server refuses before anything runs."""
    components = {"root": spec["root"], **spec.get("components", {})}
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for name, component in components.items():
        if "executorLabel" in component:
            if component["executorLabel"] not in executors:
                raise BackendError(f"executor with label {component['executorLabel']!r} not found")
            continue
        tasks = component.get("dag", {}).get("tasks", {})
        if not any(task.get("triggerPolicy", {}).get("strategy") != _LAST for task in tasks.values()):
            raise BackendError(f"DAG {name} must contain one or more non-exit tasks")
        for key, task in tasks.items():
            if task["componentRef"]["name"] not in components:
                raise BackendError(f"component spec for {task['componentRef']['name']!r} not found")
            if "artifactIterator" in task:
                raise BackendError("artifact iterator not implemented yet")
            whole = copy.deepcopy(task)
            _add_implicit_dependencies(whole)
            for producer in whole["dependentTasks"]:
                if producer not in tasks:
                    raise BackendError(f"failed to add implicit deps: unknown producer task {producer!r} of {key!r}")
