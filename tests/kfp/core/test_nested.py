# SPDX-License-Identifier: Apache-2.0
"""Whole graphs that become one task and keep their interface, and what functions replace by themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from accelchain.api.function_type import FunctionType
from accelchain.kfp import core

CHAIN = {"name": "people", "kind": "pipeline"}
DATA = Path(__file__).parents[4] / "shared" / "data"


def exposed(graph: Any) -> Any:
    selector = {"producerSubtask": "write", "outputParameterKey": "count"}
    lines = {"producerSubtask": "write", "outputArtifactKey": "lines"}
    graph.outputs = {
        "parameters": {"total": {"valueFromParameter": selector}},
        "artifacts": {"found": {"artifactSelectors": [lines]}},
    }
    graph.defined["outputDefinitions"] = {
        "parameters": {"total": {"parameterType": "NUMBER_INTEGER"}},
        "artifacts": {"found": {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}},
    }
    return graph


@pytest.mark.parametrize("chain", [CHAIN, None])
def test_a_graph_of_functions_keeps_its_interface(graph: Any, fused: Any, payload: Any, chain: Any) -> None:
    before = exposed(graph.chain(chain)).pipeline(nested=True)
    done = fused(before)
    inner, old = done.pipeline.spec["components"]["comp-inner"], before.spec["components"]["comp-inner"]
    assert "dag" not in inner and set(done.pipeline.spec["components"]) == {"comp-inner"}
    assert inner["inputDefinitions"] == old["inputDefinitions"]
    for kind, entries in old["outputDefinitions"].items():
        assert inner["outputDefinitions"][kind].items() >= entries.items()
    told = payload(done, "exec-inner")
    assert told.results == {"total": "write.detections"}
    assert told.outputs == {"lines": {"artifact": "found", "ending": ".jsonl"}}
    assert told.inputs == {"uri": {"parameter": "uri"}}
    assert told.parameters == {"limit": {"input": "limit"}}
    assert done.pipeline.spec["root"]["dag"]["tasks"]["inner"]["cachingOptions"] == {}


def test_a_sink_that_nobody_asks_for_still_writes(graph: Any, fused: Any, payload: Any) -> None:
    done = fused(graph.chain(CHAIN).pipeline(nested=True))
    assert payload(done, "exec-inner").outputs == {"lines": {"artifact": "write--lines", "ending": ".jsonl"}}
    outputs = done.pipeline.spec["components"]["comp-inner"]["outputDefinitions"]["artifacts"]
    assert {"write--lines", "metrics", "report", "summary"} == set(outputs)


def test_a_graph_under_a_condition_stays_one(graph: Any, fused: Any) -> None:
    pipeline = graph.chain(CHAIN).pipeline(nested=True)
    pipeline.spec["root"]["dag"]["tasks"]["inner"]["triggerPolicy"] = {"condition": "true"}
    done = fused(pipeline)
    assert list(done.pipeline.spec["components"]["comp-inner"]["dag"]["tasks"]) == ["people"]


def test_the_pipeline_itself_may_be_the_chain(graph: Any, fused: Any) -> None:
    done = fused(exposed(graph.chain(CHAIN)).pipeline())
    assert list(done.pipeline.spec["root"]["dag"]["tasks"]) == ["people"]


def test_tries_and_placeholders_go_to_the_callers(graph: Any, fused: Any, payload: Any) -> None:
    graph.chain(CHAIN, retryPolicy={"maxRetryCount": 2})
    graph.tasks["decode"]["inputs"]["parameters"]["uri"] = {"runtimeValue": {"constant": "{{$.pipeline_job_name}}"}}
    done = fused(graph.pipeline(nested=True))
    caller = done.pipeline.spec["root"]["dag"]["tasks"]["inner"]
    assert caller["retryPolicy"] == {"maxRetryCount": 2}
    assert caller["inputs"]["parameters"]["decode--uri"] == {"runtimeValue": {"constant": "{{$.pipeline_job_name}}"}}
    assert payload(done, "exec-inner").inputs == {"uri": {"parameter": "decode--uri"}}


def test_a_chain_with_an_ordinary_task_is_refused(graph: Any, types: Any) -> None:
    frames = {"taskOutputArtifact": {"producerTask": "decode", "outputArtifactKey": "frames"}}
    graph.chain(CHAIN).add("look", "look", artifacts={"frames": frames})
    with pytest.raises(core.FuseError, match=r"p\.inner\.look: it is in chain 'people' and is no function"):
        core.fuse(graph.pipeline(nested=True), types)


def test_one_of_several_outputs_is_refused(graph: Any, types: Any) -> None:
    exposed(graph.chain(CHAIN))
    other = {"producerSubtask": "detect", "outputArtifactKey": "detections"}
    graph.outputs["artifacts"]["found"]["artifactSelectors"].append(other)
    with pytest.raises(core.FuseError, match="one of several"):
        core.fuse(graph.pipeline(nested=True), types)


def test_marked_tasks_beside_others_are_kept_and_told(graph: Any, fused: Any) -> None:
    frames = {"taskOutputArtifact": {"producerTask": "decode", "outputArtifactKey": "frames"}}
    pipeline = graph.chain().add("look", "look", artifacts={"frames": frames}).pipeline()
    done = fused(pipeline)
    assert not done.changed and done.pipeline is pipeline
    rules = {entry.task: entry.rule for entry in done.entries}
    assert rules == {"decode": "chain", "resize": "chain", "detect": "chain", "write": "chain", "look": "mark"}


def replacing(types: Any, **images: str) -> list[FunctionType]:
    made = []
    for type_ in types:
        if type_.metadata.name in images.values():
            obj = type_.to_dict() | {"status": None}
            own = [image for image, name in images.items() if name == type_.metadata.name]
            obj["spec"] = copy.deepcopy(obj["spec"]) | {"replaces": [f"images/{image}:1" for image in own]}
            made.append(FunctionType.parse({k: v for k, v in obj.items() if v is not None}))
    return made


def test_what_functions_replace_is_fused_without_marks(graph: Any, fused: Any, types: Any) -> None:
    graph.chain(None, mark=False)
    graph.marks.clear()
    more = replacing(types, decode="decode-video", resize="filter-resize", detect="detect-person")
    done = fused(graph.pipeline(), *more)
    tasks = done.pipeline.spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"decode-to-detect", "write"}
    found = tasks["write"]["inputs"]["artifacts"]["detections"]["taskOutputArtifact"]
    assert found == {"producerTask": "decode-to-detect", "outputArtifactKey": "detect--detections"}


def test_the_example_of_two_cameras(types: Any, fused: Any) -> None:
    """The file's functions hand over texts; its model is nothing of a function's, so that one declares it."""
    file = DATA / "two-cameras.kfp.yaml"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    pipeline = core.read(file.read_text(), file.name)
    marks = {
        "exec-decode": {"function": "decode-video", "addresses": {"uri": {"inputParameter": "video"}}},
        "exec-filter-resize": {
            "function": "filter-resize",
            "parameters": {"height": {"value": 480.0}},
            "inputs": {"frames": "src"},
            "outputs": {"frames": "dst"},
        },
        "exec-infer": {
            "function": "find",
            "inputs": {"frames": "src"},
            "outputs": {"detections": "result"},
            "addresses": {"model": {"input": "model"}},
        },
    }
    executors = pipeline.platforms["platforms"]["dataflow"]["deploymentSpec"]["executors"]
    for label, mark in marks.items():
        executors[label] = mark | {"chain": executors[label]["chain"]}
    detect = next(type_ for type_ in types if type_.metadata.name == "detect-person").to_dict()
    detect["metadata"] = {"name": "find"}
    detect["spec"]["inputs"][0]["shape"] = ["height", "width", 3]
    detect["spec"]["parameters"].append({"name": "model", "type": "string", "format": "uri-input"})
    done = fused(pipeline, FunctionType.parse(detect))
    loop = done.pipeline.spec["components"]["comp-for-loop-2"]["dag"]["tasks"]
    assert set(loop) == {"c1", "condition-3"}
    assert pods(pipeline.spec, 2) == 28 and pods(done.pipeline.spec, 2) <= 20


def pods(spec: dict[str, Any], items: int) -> int:
    """Return the pods of a run by the formula of KFP's backend 2.17: each loop has so many items."""

    def of(component: dict[str, Any]) -> int:
        total = 0
        for task in (component.get("dag") or {}).get("tasks", {}).values():
            inner = spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                once = 1 + of(inner)
                total += 1 + items * once if "parameterIterator" in task else once
            else:
                executor = spec["deploymentSpec"]["executors"][inner["executorLabel"]]
                total += 1 if "importer" in executor else 2
        return total

    return 1 + of(spec["root"])


@pytest.mark.parametrize("file", sorted((DATA / "kfp-ir").glob("*.yaml")), ids=lambda f: f.stem)
def test_upstreams_files_stay_as_they_are(file: Path, types: Any) -> None:
    pipeline = core.read(file.read_text(), file.name)
    done = core.fuse(pipeline, types)
    assert not done.changed and done.pipeline is pipeline
    assert all(entry.outcome == "kept" for entry in done.entries)


def test_upstreams_files_are_there() -> None:
    if not DATA.exists():
        pytest.skip("the data that is shared by developers is not there")
    assert len(list((DATA / "kfp-ir").glob("*.yaml"))) > 40
