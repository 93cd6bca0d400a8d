# SPDX-License-Identifier: Apache-2.0
"""Marked components: what they are, what their tasks carry, what is refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from accelchain.kfp import AuthoringError, accelerated, chain, literal, offload

RESIZE = {"function": "filter-resize"}


@dsl.container_component
def shrink(frames: dsl.Input[dsl.Dataset], width: int, out: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image="i", command=["shrink"], args=[frames.path, str(width), out.path])


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def measure(text: str) -> NamedTuple("Out", [("count", int), ("text", str)]):
    out = NamedTuple("Out", [("count", int), ("text", str)])  # noqa: UP014  # KFP runs the function's source alone
    return out(len(text), text)


def bare(text: str, times: int = 2) -> str:
    return text * times


def bare_container(text: str):
    return dsl.ContainerSpec(image="i", command=["echo", text])


def bare_container_typed(text: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="i", command=["echo", text])


def test_a_container_component_carries_its_function(ir: Callable[[Any], Any]) -> None:
    marked = accelerated(
        "filter-resize",
        version="1.0.0",
        parameters={"width": "width", "height": 200, "filter": literal("gaussian")},
        inputs={"frames": "frames"},
        outputs={"frames": "out"},
        device_types=["gpu"],
        devices=["edge/gpu0"],
        nodes=["edge"],
        implementations=["opencl"],
        rate=8,
    )(shrink)

    @dsl.pipeline
    def main():
        made = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)
        marked(frames=made.output, width=3)

    _, marks = ir(main)
    assert marks == {
        "shrink": {
            "function": "filter-resize",
            "version": "1.0.0",
            "parameters": {"width": {"input": "width"}, "height": {"value": 200}, "filter": {"value": "gaussian"}},
            "inputs": {"frames": "frames"},
            "outputs": {"frames": "out"},
            "placement": {
                "deviceTypes": ["gpu"],
                "devices": ["edge/gpu0"],
                "nodes": ["edge"],
                "implementations": ["opencl"],
            },
            "rate": 8,
        }
    }


def test_a_marked_component_is_a_component_and_the_given_one_stays_unmarked(ir: Callable[[Any], Any]) -> None:
    marked = accelerated("measure-text", results={"count": "characters"})(measure)
    assert isinstance(marked, BaseComponent) and isinstance(marked, type(measure))
    assert marked.python_func("abc") == (3, "abc")
    assert marked.name == measure.name and marked.description == measure.description
    assert marked.component_spec is measure.component_spec
    assert marked.pipeline_spec == measure.pipeline_spec

    @dsl.pipeline
    def main(text: str) -> int:
        plain = measure(text=text)
        task = marked(text=plain.outputs["text"])
        task.set_cpu_limit("2").set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
        return task.outputs["count"]

    pipeline, marks = ir(main)
    assert marks == {"measure-2": {"function": "measure-text", "results": {"count": "characters"}}}
    executor = pipeline["deploymentSpec"]["executors"]["exec-measure-2"]["container"]
    assert executor["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"


def test_a_marked_component_runs_by_itself(here: Any) -> None:
    assert accelerated("measure-text")(measure)(text="abcd").outputs["count"] == 4


@pytest.mark.parametrize(
    ("function", "kind"),
    [(bare, "PythonComponent"), (bare_container, "PythonComponent"), (bare_container_typed, "ContainerComponent")],
)
def test_a_bare_function_becomes_a_component(function: Any, kind: str) -> None:
    marked = accelerated("repeat")(function)
    assert kind in [base.__name__ for base in type(marked).__mro__]


def test_a_bare_function_is_marked(ir: Callable[[Any], Any]) -> None:
    repeat = accelerated("repeat", parameters={"count": "times"})(bare)

    @dsl.pipeline
    def main(text: str) -> str:
        return repeat(text=text).output

    pipeline, marks = ir(main)
    assert marks == {"bare": {"function": "repeat", "parameters": {"count": {"input": "times"}}}}
    assert "kfp.dsl.executor_main" in " ".join(
        pipeline["deploymentSpec"]["executors"]["exec-bare"]["container"]["command"]
    )


def test_a_component_from_yaml(ir: Callable[[Any], Any], scale: Any) -> None:
    marked = accelerated("filter-resize", inputs={"frames": "source"}, outputs={"frames": "small"})(scale)

    @dsl.pipeline
    def main():
        made = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)
        marked(source=made.output, wide=3)

    _, marks = ir(main)
    assert marks == {"scale": RESIZE | {"inputs": {"frames": "source"}, "outputs": {"frames": "small"}}}


def test_marked_twice_the_outer_mark_counts(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(text: str):
        accelerated("second")(accelerated("first")(measure))(text=text)

    assert ir(main)[1] == {"measure": {"function": "second"}}


def test_addresses_by_what_they_name(ir: Callable[[Any], Any]) -> None:
    @dsl.container_component
    def both(video: dsl.Input[dsl.Artifact], link: str, out: dsl.Output[dsl.Artifact]):
        return dsl.ContainerSpec(image="i", command=["x"], args=[video.path, link, out.path])

    marked = accelerated(
        "mix",
        addresses={
            "from": "video",
            "also": "link",
            "to": "out",
            "log": literal("s3://logs/a"),
            "said": {"output": "out"},
        },
    )(both)

    @dsl.pipeline
    def main():
        made = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Artifact)
        marked(video=made.output, link="http://x")

    assert ir(main)[1]["both"]["addresses"] == {
        "from": {"input": "video"},
        "also": {"inputParameter": "link"},
        "to": {"output": "out"},
        "log": {"value": "s3://logs/a"},
        "said": {"output": "out"},
    }


def test_offload_marks_a_task(ir: Callable[[Any], Any], scale: Any) -> None:
    @dsl.pipeline
    def main():
        made = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)
        first = scale(source=made.output, wide=3)
        task = offload(first, "filter-resize", parameters={"width": "wide"}, devices="gpu0", rate=2.5)
        assert task is first

    placed = {"placement": {"devices": ["gpu0"]}, "rate": 2.5}
    assert ir(main)[1] == {"scale": RESIZE | {"parameters": {"width": {"input": "wide"}}} | placed}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"inputs": {"frames": "pictures"}}, "component 'shrink': inputs['frames']: there is no input 'pictures'"),
        ({"outputs": {"frames": "frames"}}, "there is no output 'frames': its outputs are out."),
        ({"parameters": {"filter": "median"}}, "for a fixed value write literal('median')"),
        ({"results": {"count": "frames"}}, "there is no output parameter 'count': it has no output parameter"),
        ({"addresses": {"uri": "s3://a/b"}}, "write literal('s3://a/b')"),
        ({"addresses": {"uri": "video"}}, "there is no input 'video'"),
        ({"device_types": ["tpu"]}, "there is no device type 'tpu': choose from cpu, gpu, fpga."),
        ({"rate": 0}, "rate is 0; give frames a second, more than 0."),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": "fast"}, "rate is 'fast'; give frames a second"),
    ],
)
def test_what_does_not_fit_the_component(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AuthoringError) as caught:
        accelerated("filter-resize", **arguments)(shrink)
    assert sentence in str(caught.value)


def test_a_pipeline_is_no_function() -> None:
    @dsl.pipeline
    def main(text: str):
        measure(text=text)

    with pytest.raises(AuthoringError, match=r"component 'main' is a pipeline.*put @chain in the place"):
        accelerated("x")(main)
    with pytest.raises(AuthoringError, match="'main' is a component already: put @chain in the place of @dsl"):
        chain(main)


def test_arguments_that_are_something_else() -> None:
    with pytest.raises(AuthoringError, match="@accelerated stands without its function"):

        @accelerated
        def nothing(frames: dsl.Input[dsl.Artifact]):
            pass

    with pytest.raises(AuthoringError, match="offload takes a task, not component 'measure': call the component"):
        offload(measure, "filter-resize")
    with pytest.raises(AuthoringError, match="offload takes a task, not 3"):
        offload(3, "filter-resize")


def test_what_is_neither_component_nor_function() -> None:
    with pytest.raises(AuthoringError, match="neither a component nor a function"):
        accelerated("x")(3)  # type: ignore[arg-type]


def test_offload_refuses_importers_pipelines_and_what_has_run(here: Any, scale: Any) -> None:
    @dsl.pipeline
    def inner(text: str):
        measure(text=text)

    with pytest.raises(AuthoringError, match="task 'importer' is an importer: it is no function"):

        @dsl.pipeline
        def one():
            offload(dsl.importer(artifact_uri="gs://a", artifact_class=dsl.Dataset), "x")

    with pytest.raises(AuthoringError, match="task 'inner' is a pipeline"):

        @dsl.pipeline
        def two():
            offload(inner(text="a"), "x")

    with pytest.raises(AuthoringError, match="has run already"):
        offload(measure(text="a"), "measure-text")
