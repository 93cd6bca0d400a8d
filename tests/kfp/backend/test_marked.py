# SPDX-License-Identifier: Apache-2.0
"""Pipelines of others with random marks: every chain is fused or refused with a reason, and nothing else changes."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from kfp_backend import local_pretended, static
from kfp_backend.backend import Backend
from kfp_backend.compiler import check_compiles
from kfp_backend.marking import (
    TWO_CAMERAS_MARKS,
    TWO_CAMERAS_TYPES,
    address,
    fed_by_tasks,
    fitting,
    function_type,
    with_marks,
)
from kfp_backend.phases import SUCCEEDED
from kfp_backend.pretended import Pretender, value_of
from kfp_backend.values import compact

from accelchain.cli.installed import function_types
from accelchain.kfp import core

IMAGE = "localhost/launcher:1"
REPOSITORY = Path(__file__).resolve().parents[3]
_FOLDERS = (REPOSITORY / "shared/data", REPOSITORY.parent / "shared/data")
FILES = sorted(path for folder in _FOLDERS for path in (folder / "kfp-ir").glob("*.yaml"))
NONSENSE: tuple[Any, ...] = (
    {"function": "there-is-none"},
    {"function": "nothing", "unknown": 1},
    {"function": "nothing", "parameters": {"x": {"input": "y"}}},
    {"function": "nothing", "inputs": {"frames": "nowhere"}},
    {"function": "nothing", "rate": -1},
    {"function": "nothing", "chain": {"name": "c", "kind": "heap"}},
    {"function": 3.0},
    {"chain": "c"},
    {},
    "text",
)
NOTHING = function_type("nothing", inputs=["frames"], outputs=["frames"])
KNOWN = [NOTHING, *function_types(())]

pytestmark = pytest.mark.skipif(not FILES, reason="shared/data/kfp-ir is not there")
Read = Callable[[Path], core.Pipeline]


@pytest.fixture(scope="module")
def read() -> Read:
    """Read a file once."""
    known: dict[Path, core.Pipeline] = {}

    def pipeline(path: Path) -> core.Pipeline:
        if path not in known:
            known[path] = core.read(path.read_text(), path.name)
        return copy.deepcopy(known[path])

    return pipeline


def normal(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec as protobuf reads it; ParseError where it can't."""
    found: dict[str, Any] = json_format.MessageToDict(json_format.ParseDict(spec, pb.PipelineSpec()))
    return found


def references(value: Any) -> Any:
    """Return a component's definition with the wires between tasks left out: fusing renames their ends."""
    if isinstance(value, dict):
        return {
            key: references(each) for key, each in value.items() if key not in ("dependentTasks", "inputs", "outputs")
        }
    return [references(each) for each in value] if isinstance(value, list) else value


def check(before: core.Pipeline, types: list[Any]) -> core.Fused | None:
    """Fuse, and see that what comes out is whole; None where it is refused with a sentence."""
    kept = copy.deepcopy(before)
    try:
        fused = core.fuse(before, types, image=IMAGE)
    except core.FuseError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.startswith(f"{before.name}."), problem
            assert problem.rstrip().endswith(".") and "Traceback" not in problem, problem
        return None
    finally:
        assert before == kept, "the argument was changed"
    spec, after = normal(before.spec), normal(fused.pipeline.spec)
    if fused.pipeline.platforms:
        json_format.ParseDict(fused.pipeline.platforms, pb.PlatformSpec())
    check_compiles(after)
    wrong = set(static.dangling(after)) - set(static.dangling(spec))
    assert not wrong
    nothing_else_changed(spec, after, fused)
    again = core.fuse(fused.pipeline, types, image=IMAGE)
    assert not again.changed and again.pipeline == fused.pipeline
    return fused


def nothing_else_changed(before: dict[str, Any], after: dict[str, Any], fused: core.Fused) -> None:
    """Tasks that were kept are as they were, and so are their components and executors, and the whole's interface."""
    gone = {(entry.dag, entry.task) for entry in fused.entries if entry.outcome == "fused"}
    assert fused.changed == bool(gone)
    told = [(entry.dag, entry.task) for entry in fused.entries]
    assert len(told) == len(set(told)), "a task is told of twice"
    for part in ("inputDefinitions", "outputDefinitions"):
        assert after["root"].get(part) == before["root"].get(part)
    assert after["pipelineInfo"] == before["pipelineInfo"]
    dags = {"root": after["root"], **after.get("components", {})}
    for name, component in {"root": before["root"], **before["components"]}.items():
        short = name.removeprefix("comp-")
        if name not in dags or "dag" not in component or "dag" not in dags[name]:
            continue
        tasks = dags[name]["dag"]["tasks"]
        for task_name, task in component["dag"]["tasks"].items():
            if (short, task_name) in gone:
                assert task_name not in tasks or tasks[task_name] != task
                continue
            assert references({**tasks[task_name], "cachingOptions": {}}) == references({**task, "cachingOptions": {}})
            called, still = before["components"][task["componentRef"]["name"]], after["components"]
            if "executorLabel" in called:
                assert still[task["componentRef"]["name"]] == called
                label = called["executorLabel"]
                executors = before["deploymentSpec"]["executors"], after["deploymentSpec"]["executors"]
                assert executors[0][label] == executors[1][label]


def same_values(before: core.Pipeline, fused: core.Fused, marks: dict[str, Any], folder: Path) -> None:
    """Run both with containers that pretend: tasks that are in both tell the same, and find the same in artifacts."""
    told = []
    kept = containers(before) - {entry.task for entry in fused.entries if entry.outcome == "fused"}
    for pipeline in (before, fused.pipeline):
        pretender = Pretender(marks)
        backend = Backend(folder, str(folder), execute=pretender.execute)
        backend.cache_disabled, backend.next_run_id = True, lambda: "one-run"
        run = backend.run(core.write(pipeline), **arguments(pipeline))
        found: Counter[str] = Counter()
        for each in backend.records.executions.values():
            if each.kind == "Container" and each.task in kept:
                artifacts = {name: pretender.contents.get(a.uri, a.uri) for name, a in each.output_artifacts.items()}
                found[compact([each.task, each.state, each.outputs, artifacts])] += 1
        told.append((run.phase, found))
    if told[0][0] == SUCCEEDED:
        assert told[0] == told[1]


def same_values_locally(before: core.Pipeline, fused: core.Fused, marks: dict[str, Any], folder: Path) -> bool:
    """Run both by kfp.local with containers that pretend; tell whether it can run what was before."""
    executors = [each.spec["deploymentSpec"]["executors"] for each in (before, fused.pipeline)]
    kept = {label for label, executor in executors[0].items() if executors[1].get(label) == executor}
    try:
        whole = local_pretended.run(before, Pretender(marks), folder / "before", kept, **arguments(before))
    except local_pretended.LocalError:
        return False
    after = local_pretended.run(fused.pipeline, Pretender(marks), folder / "after", kept, **arguments(before))
    assert after == whole
    return True


def arguments(pipeline: core.Pipeline) -> dict[str, Any]:
    """Return a value for each of a pipeline's parameters."""
    parameters = pipeline.spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: value_of(each["parameterType"], "0123") for name, each in parameters.items()}


def containers(pipeline: core.Pipeline) -> set[str]:
    """Return the names of all tasks that are containers, wherever they are."""
    known = pipeline.spec["components"]
    graphs = [each.get("dag", {}).get("tasks", {}) for each in (pipeline.spec["root"], *known.values())]
    called = {(name, task["componentRef"]["name"]) for tasks in graphs for name, task in tasks.items()}
    return {name for name, _ in called} - {name for name, other in called if "dag" in known[other]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_nobody_marked_stays_as_it_is(path: Path, read: Read) -> None:
    fused = check(read(path), KNOWN)
    assert fused is not None and not fused.changed
    assert fused.pipeline == read(path)


EXAMPLES = int(os.environ.get("KFP_MARK_EXAMPLES", "150"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == 150,  # more of them are drawn at random
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_random_marks(data: st.DataObject, read: Read, tmp_path: Path) -> None:
    before = read(data.draw(st.sampled_from(FILES), label="file"))
    types, marks, fit = draw_marks(data, before)
    marked = core.Pipeline(before.spec, with_marks(before.platforms, marks) if marks else before.platforms)
    fused = check(marked, types)
    event("refused" if fused is None else "changed" if fused.changed else "unchanged")
    if fused is not None and fused.changed:
        known = {label: marks[label] for label in fit}
        same_values(marked, fused, known, tmp_path)
        event(f"compared in kfp.local: {same_values_locally(marked, fused, known, tmp_path)}")
    if fused is not None:
        told = {entry.task for entry in fused.entries}
        for component in {"root": before.spec["root"], **before.spec["components"]}.values():
            for name, task in component.get("dag", {}).get("tasks", {}).items():
                called = before.spec["components"][task["componentRef"]["name"]]
                assert called.get("executorLabel") not in marks or name in told, f"nothing is told of {name}"


def draw_marks(data: st.DataObject, before: core.Pipeline) -> tuple[list[Any], dict[str, Any], set[str]]:
    """Return functions, marks by executor, and the executors whose mark fits: all in one graph, or anywhere."""
    components = before.spec["components"]
    by_label = {each["executorLabel"]: each for each in components.values() if "executorLabel" in each}
    graphs = [
        {components[task["componentRef"]["name"]].get("executorLabel") for task in each["dag"]["tasks"].values()}
        for each in (before.spec["root"], *components.values())
        if "dag" in each
    ]
    groups = [sorted(labels - {None}) for labels in graphs if len(labels - {None}) > 1]
    anywhere = data.draw(st.booleans(), label="anywhere") or not groups
    chosen = sorted(by_label) if anywhere else data.draw(st.sampled_from(groups), label="graph")
    labels = data.draw(st.sets(st.sampled_from(chosen)), label="marked") if chosen else set()
    fed = fed_by_tasks(before.spec)
    types, marks, fit = [*KNOWN], {}, set()
    for label in sorted(labels):
        made = fitting(label, by_label[label], fed.get(label, frozenset()))
        if made is None or (anywhere and data.draw(st.integers(0, 9), label="nonsense") == 0):
            marks[label] = data.draw(st.sampled_from([each for each in NONSENSE if isinstance(each, dict)]))
            continue
        type_, mark = made
        types.append(type_)
        fit.add(label)
        chain = data.draw(st.sampled_from([None, {"name": "a"}, {"name": "b"}]), label="chain")
        marks[label] = mark | ({"chain": chain} if chain else {})
    return types, marks, fit


def test_two_cameras_take_fewer_pods(read: Read) -> None:
    path = next((folder / "two-cameras.kfp.yaml" for folder in _FOLDERS if folder.exists()), _FOLDERS[0])
    before = read(path)
    marked = core.Pipeline(before.spec, with_marks(before.platforms, TWO_CAMERAS_MARKS), before.header)
    fused = check(marked, list(TWO_CAMERAS_TYPES))
    assert fused is not None
    assert (static.pods(normal(before.spec)), static.pods(normal(fused.pipeline.spec))) == (28, 20)
    components.load_component_from_text(core.write(fused.pipeline))


def test_a_whole_nested_pipeline_becomes_one_task() -> None:
    """The two-function chain and a report task of the fact sheet: 8 pods, then 5."""
    made = {"outputDefinitions": {"artifacts": {"frames": {"artifactType": {"schemaTitle": "system.Artifact"}}}}}
    taken = {"inputDefinitions": {"artifacts": {"frames": {"artifactType": {"schemaTitle": "system.Artifact"}}}}}
    given_uri = {"inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}}}

    def task(name: str, **inputs: Any) -> dict[str, Any]:
        return {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}, "inputs": inputs}

    def of(name: str) -> dict[str, Any]:
        return {"taskOutputArtifact": {"producerTask": name, "outputArtifactKey": "frames"}}

    inner = {
        "tasks": {
            "read": task("read", parameters={"uri": {"componentInputParameter": "uri"}}),
            "change": task("change", artifacts={"frames": of("read")}),
        },
        "outputs": {
            "artifacts": {
                "frames": {"artifactSelectors": [{"producerSubtask": "change", "outputArtifactKey": "frames"}]}
            }
        },
    }
    outer = {
        "tasks": {
            "both": task("both", parameters={"uri": {"componentInputParameter": "uri"}}),
            "report": task("report", artifacts={"frames": of("both")}),
        }
    }
    names = ("read", "change", "report")
    spec = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "nested"},
        "root": {"dag": outer, **given_uri},
        "components": {
            "comp-both": {"dag": inner, **given_uri, **made},
            "comp-read": {"executorLabel": "exec-read", **given_uri, **made},
            "comp-change": {"executorLabel": "exec-change", **taken, **made},
            "comp-report": {"executorLabel": "exec-report", **taken},
        },
        "deploymentSpec": {"executors": {f"exec-{name}": {"container": {"image": name}} for name in names}},
    }
    types = [
        *KNOWN,
        function_type("read", outputs=["frames"], parameters=[address("uri", "input")]),
        function_type("change", inputs=["frames"], outputs=["frames"]),
    ]
    marks = {f"exec-{name}": {"function": name} for name in ("read", "change")}
    fused = check(core.Pipeline(spec, with_marks(None, marks)), types)
    assert fused is not None and fused.changed
    assert (static.pods(normal(spec)), static.pods(normal(fused.pipeline.spec))) == (8, 5)
