# SPDX-License-Identifier: Apache-2.0
"""Graphs of tasks: compiler/argocompiler/dag.go as Argo's controller runs it, driver/dag.go, importers."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kfp_backend import executor, inputs
from kfp_backend.compiler import LAST, add_implicit_dependencies
from kfp_backend.expressions import will_run
from kfp_backend.phases import FAILED, OMITTED, SKIPPED, SUCCEEDED
from kfp_backend.records import Execution
from kfp_backend.store import is_folder, parse
from kfp_backend.values import BackendError, Value

if TYPE_CHECKING:
    from kfp_backend.backend import Run


class Walker:
    """Walks the graphs of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def run_dag(self, component: dict[str, Any], dag: Execution, node: str) -> str:
        """Run a DAG's tasks (compiler/argocompiler/dag.go:DAG) with failFast, as Argo does."""
        tasks: dict[str, dict[str, Any]] = copy.deepcopy(component["dag"]["tasks"])
        for task in tasks.values():
            add_implicit_dependencies(task)
        hooks = {
            dependent: name
            for name, task in sorted(tasks.items())
            if task.get("triggerPolicy", {}).get("strategy") == LAST
            for dependent in task.get("dependentTasks", [])
        }
        last = set(hooks.values())
        futures: dict[str, Future[str]] = {name: Future() for name in tasks if name not in last}
        failed = threading.Event()

        def work(name: str) -> None:
            try:
                phases = [futures[other].result() for other in tasks[name].get("dependentTasks", [])]
                if any(phase != SUCCEEDED for phase in phases) or failed.is_set() or self._run.is_terminated:
                    phase = OMITTED
                else:
                    phase = self._run_task(name, tasks[name], dag, f"{node}.{name}")
                    if name in hooks and not self._run.is_terminated:
                        exit_task = hooks[name]
                        self._run_task(exit_task, tasks[exit_task], dag, f"{node}.{name}.onExit.{exit_task}")
                if phase == FAILED:
                    failed.set()
                self._run.states[f"{node}.{name}"] = phase
                futures[name].set_result(phase)
            except BaseException as error:
                futures[name].set_exception(error)

        threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in futures]
        for thread in threads:
            thread.start()
        phases = [future.result() for future in futures.values()]
        return FAILED if FAILED in phases or self._run.is_terminated else SUCCEEDED

    def _run_task(self, name: str, task: dict[str, Any], dag: Execution, node: str, index: int | None = None) -> str:
        component = self._run.spec["components"][task["componentRef"]["name"]]
        if index is None and "parameterIterator" in task:
            return self._run_loop(name, task, component, dag, node)
        if "dag" in component:
            return self._run_sub_dag(name, task, component, dag, node, index)
        found = self._run.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in found:
            return self._run_importer(name, task, component, found["importer"], dag, node)
        return executor.Task(self._run, name, task, component, found["container"], dag, index).run(node)

    def _drive_dag(
        self, name: str, task: dict[str, Any], component: dict[str, Any], dag: Execution, index: int | None
    ) -> Execution:
        """driver/dag.go:DAG."""
        self._run.count_pod()
        records = self._run.backend.records
        resolved = inputs.resolve(records, self._run.job, inputs.Asked(name, task, component, dag, index, is_dag=True))
        is_triggered = will_run(task, resolved)
        is_loop = "parameterIterator" in task and index is None
        count = None
        if is_triggered and is_loop:
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
            state="RUNNING" if is_triggered else "CANCELED",
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
            return self._run.fails(node, f"driver: {error}")
        if execution.state == "CANCELED":
            return SKIPPED
        return self.run_dag(component, execution, node)

    def _run_loop(self, name: str, task: dict[str, Any], component: dict[str, Any], dag: Execution, node: str) -> str:
        """compiler/argocompiler/dag.go:iteratorTask: a loop that isn't triggered has succeeded."""
        try:
            execution = self._drive_dag(name, task, component, dag, None)
        except BackendError as error:
            return self._run.fails(node, f"driver: {error}")
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
            self._run.backend.records.update(execution)
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
        self._run.count_pod()
        records = self._run.backend.records
        try:
            uri = _importer_uri(task, importer, dag)
            if not is_folder(uri):
                parse(uri)
        except BackendError as error:
            return self._run.fails(node, str(error))
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
