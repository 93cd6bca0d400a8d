# SPDX-License-Identifier: Apache-2.0
"""Chains in Workflows: used like every other template of Hera's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hera.workflows import (
    DAG,
    Artifact,
    ClusterWorkflowTemplate,
    Container,
    CronWorkflow,
    Parameter,
    Step,
    Steps,
    Task,
    Workflow,
    WorkflowTemplate,
)

from accelchain.hera import Chain, DataFlowTemplate, enable_plugin_templates


def container(name: str) -> Container:
    return Container(name=name, image="busybox", command=["true"])


def templates(workflow: Workflow) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {t["name"]: t for t in workflow.to_dict()["spec"]["templates"]}


def test_as_a_task(shrink: Callable[..., Chain], video: Artifact) -> None:
    chain = shrink()
    chain.result("frames")
    with Workflow(generate_name="w-", entrypoint="main") as workflow:
        before, after = container("before"), container("after")
        with DAG(name="main"):
            first = before()
            task = chain(
                name="work",
                arguments={"video": video, "width": 64},
                when="{{workflow.parameters.go}} == true",
            )
            last = after(arguments=[task.get_parameter("frames"), task.get_artifact("small")])
            first >> task >> last
            task.on_failure(container_task := Task(name="sorry", template=after))
    assert isinstance(task, Task)
    assert container_task.depends == "work.Failed"
    tasks = {t["name"]: t for t in templates(workflow)["main"]["dag"]["tasks"]}
    assert tasks["work"]["template"] == "shrink"
    assert tasks["work"]["depends"] == "before"
    assert tasks["work"]["when"] == "{{workflow.parameters.go}} == true"
    assert tasks["work"]["arguments"]["parameters"] == [{"name": "width", "value": "64"}]
    assert tasks["work"]["arguments"]["artifacts"][0]["name"] == "video"
    handed = tasks["after"]["arguments"]
    assert handed["parameters"] == [{"name": "frames", "value": "{{tasks.work.outputs.parameters.frames}}"}]
    assert handed["artifacts"] == [{"name": "small", "from": "{{tasks.work.outputs.artifacts.small}}"}]
    assert "plugin" in templates(workflow)["shrink"]


def test_as_steps_one_after_another_and_side_by_side(shrink: Callable[..., Chain], video: Artifact) -> None:
    one, other = shrink("one"), shrink("other")
    with Workflow(generate_name="w-", entrypoint="main") as workflow, Steps(name="main") as steps:
        step = one(arguments={"video": video})
        with steps.parallel():
            other(name="a", arguments={"video": video})
            other(name="b", arguments={"video": video}, with_items=[1, 2])
    assert isinstance(step, Step)
    groups = templates(workflow)["main"]["steps"]
    assert [[s["name"] for s in group] for group in groups] == [["one"], ["a", "b"]]
    assert groups[1][1]["withItems"] == [1, 2]
    assert sorted(templates(workflow)) == ["main", "one", "other"]


@pytest.mark.parametrize(
    ("loop", "field", "value"),
    [
        ({"with_items": ["a", "b"]}, "withItems", ["a", "b"]),
        ({"with_param": "{{workflow.parameters.list}}"}, "withParam", "{{workflow.parameters.list}}"),
        ({"with_param": ["a", "b"]}, "withParam", '["a", "b"]'),
    ],
)
def test_loops(shrink: Callable[..., Chain], video: Artifact, loop: dict[str, Any], field: str, value: object) -> None:
    with Workflow(generate_name="w-", entrypoint="main") as workflow, DAG(name="main"):
        shrink()(arguments={"video": video, "width": "{{item}}"}, **loop)
    (task,) = templates(workflow)["main"]["dag"]["tasks"]
    assert task[field] == value


def test_a_chain_as_exit_handler_and_as_entrypoint(shrink: Callable[..., Chain]) -> None:
    with Workflow(generate_name="w-", entrypoint="main") as workflow:
        shrink("main")
        workflow.on_exit = shrink("cleanup")
    assert workflow.to_dict()["spec"]["onExit"] == "cleanup"
    assert sorted(templates(workflow)) == ["cleanup", "main"]


def test_a_chain_that_is_composed_within_the_workflow(video: Artifact) -> None:
    from accelchain.hera.functions import decode_video, encode_video

    with Workflow(generate_name="w-", entrypoint="main") as workflow:
        with Chain("inside") as chain:
            encode_video(decode_video(chain.input("video")), uri=chain.output("again"))
        with DAG(name="main"):
            chain(arguments={"video": video})
    assert sorted(templates(workflow)) == ["inside", "main"]


def test_a_spec_that_is_there_already(body: Callable[[Workflow, str], dict[str, Any]]) -> None:
    dataflow = {
        "chainRef": {"name": "person-detection"},
        "inputs": {"video": {"uri": "{{inputs.parameters.video}}"}},
        "rate": {"framesPerSecond": "{{inputs.parameters.rate}}"},
    }
    with Workflow(generate_name="w-", entrypoint="main") as workflow:
        detect = DataFlowTemplate(
            "detect",
            inputs=[Parameter(name="video"), Parameter(name="rate", value=8)],
            outputs=[Artifact(name="annotated")],
            dataflow=dataflow,
            results={"frames": "frames", "people": "write.detections"},
        )
        with DAG(name="main"):
            task = detect(arguments={"video": "s3://videos/a.mp4"})
            assert task.get_parameter("people").value == "{{tasks.detect.outputs.parameters.people}}"
    assert body(workflow, "detect")["dataflow"] == dataflow
    assert body(workflow, "detect")["results"] == {"people": "write.detections"}
    assert [p["name"] for p in templates(workflow)["detect"]["outputs"]["parameters"]] == ["frames", "people"]


@pytest.mark.parametrize("kind", [Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow])
def test_yaml_and_back(shrink: Callable[..., Chain], kind: type[Workflow], video: Artifact) -> None:
    fields = {"schedules": ["0 * * * *"]} if kind is CronWorkflow else {}
    chain, inner = shrink(), shrink("inner")
    with kind(name="w", entrypoint="main", **fields) as workflow, DAG(name="main"):  # type: ignore[arg-type]
        chain(arguments={"video": video})
        Task(name="inline", inline=inner, arguments={"video": video})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what another test left to the garbage collector
        again = kind.from_yaml(workflow.to_yaml())
        assert again.to_dict() == workflow.to_dict()  # type: ignore[attr-defined]
    assert again.to_yaml().count("accelchain:") == 2  # type: ignore[attr-defined]


def test_foreign_plugins_keep_their_bodies_too() -> None:
    text = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: w-}
spec:
  entrypoint: main
  templates:
  - name: main
    plugin: {slack: {text: "{{workflow.name}} finished", channels: [a, {b: 1}]}}
"""
    again = Workflow.from_yaml(text)
    assert again.to_dict()["spec"]["templates"][0]["plugin"] == {  # type: ignore[attr-defined]
        "slack": {"text": "{{workflow.name}} finished", "channels": ["a", {"b": 1}]}
    }


def test_the_repair_is_done_once() -> None:
    assert enable_plugin_templates() is False
