# SPDX-License-Identifier: Apache-2.0
"""Chains: as pipelines, as blocks, and what can't be one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from kfp.dsl import pipeline_context
from kfp.dsl.types.type_utils import InconsistentTypeException

from accelchain.kfp import AuthoringError, chain, compile, offload
from accelchain.kfp.core import decode
from accelchain.kfp.functions import (
    decode_video,
    decode_video_uri,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def train(lines: dsl.Input[dsl.Artifact]) -> int:
    return 3


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def uris() -> list:
    return ["a", "b"]


@chain
def count_people(uri: str, threshold: float = 0.5) -> int:
    """Count people."""
    frames = decode_video_uri(uri=uri).outputs["frames"]
    small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    return write_detections(detections=found).outputs["count"]


def names(marks: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {label: (mark["chain"]["name"], mark["chain"]["kind"]) for label, mark in marks.items() if "chain" in mark}


def test_a_chain_is_a_pipeline_whose_tasks_know_it(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(uri: str):
        count_people(uri=uri)

    pipeline, marks = ir(main)
    assert set(pipeline["components"]["comp-count-people"]["dag"]["tasks"]) == set(marks)
    assert names(marks) == dict.fromkeys(
        ["decode-video-uri", "filter-resize", "detect-person", "write-detections"], ("count-people", "pipeline")
    )
    assert count_people.description == "Count people."


@pytest.mark.parametrize("name", ["positional", "keyword"])
def test_a_chain_with_options(ir: Callable[[Any], Any], name: str) -> None:
    options: dict[str, Any] = {
        "rate": 8,
        "device_types": ["gpu"],
        "retries": 1,
        "deterministic": True,
        "active_deadline_seconds": 600,
    }
    decorate = chain("people", **options) if name == "positional" else chain(name="people", **options)

    @decorate
    def function(uri: str):
        encode_video(frames=decode_video_uri(uri=uri).outputs["frames"])

    assert ir(function)[1]["encode-video"]["chain"] == {
        "name": "people",
        "kind": "pipeline",
        "rate": 8,
        "placement": {"deviceTypes": ["gpu"]},
        "retries": 1,
        "deterministic": True,
        "activeDeadlineSeconds": 600,
    }


def test_frames_are_no_detections_for_kfp() -> None:
    with pytest.raises(InconsistentTypeException, match=r"'system.Frames@0.0.1' is incompatible"):

        @dsl.pipeline
        def main(uri: str):
            write_detections(detections=decode_video_uri(uri=uri).outputs["frames"])


def test_a_block_marks_only_its_own(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(uri: str):
        before = decode_video_uri(uri=uri)
        with chain("people", rate=4):
            small = filter_resize(frames=before.outputs["frames"], width=300, height=300)
            found = detect_person(frames=small.outputs["frames"])
        after = write_detections(detections=found.outputs["detections"])
        train(lines=after.outputs["lines"])

    marks = ir(main)[1]
    assert names(marks) == {"filter-resize": ("people", "group"), "detect-person": ("people", "group")}
    assert marks["detect-person"]["chain"]["rate"] == 4
    assert set(marks) == {"decode-video-uri", "filter-resize", "detect-person", "write-detections"}


def test_a_block_in_a_loop_of_python_makes_several_chains(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(uri: str):
        for _ in range(3):
            with chain("people"):
                encode_video(frames=decode_video_uri(uri=uri).outputs["frames"])

    found = sorted({name for name, _ in names(ir(main)[1]).values()})
    assert found == ["people", "people-2", "people-3"]


def test_chains_in_loops_and_conditions(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(threshold: float):
        with dsl.ParallelFor(uris().output) as uri:
            with chain("people"):
                frames = decode_video_uri(uri=uri)
                found = detect_person(
                    frames=filter_resize(frames=frames.outputs["frames"], width=300, height=300).outputs["frames"],
                    threshold=threshold,
                )
                people = write_detections(detections=found.outputs["detections"])
            with dsl.If(people.outputs["count"] > 0), chain("boxes"):
                drawn = draw_boxes(frames=frames.outputs["frames"], detections=found.outputs["detections"])
                encode_video(frames=drawn.outputs["frames"])

    assert set(names(ir(main)[1]).values()) == {("people", "group"), ("boxes", "group")}


def test_components_that_a_function_replaces_need_no_mark(
    ir: Callable[[Any], Any], scale: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {
        "kind": "FunctionType",
        "metadata": {"name": "shrink"},
        "spec": {
            "inputs": [{"name": "source", "type": "frames"}],
            "implementations": [{"name": "host", "api": "host", "entrypoint": "a:A"}],
            "replaces": ["pictures/scale:3"],
        },
    }
    (tmp_path / "functiontype.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setenv("ACCELCHAIN_FUNCTIONS", str(tmp_path))

    @dsl.pipeline
    def main():
        made = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)
        with chain("people"):
            scale(source=made.output, wide=300)

    assert ir(main)[1] == {"scale": {"function": "shrink", "chain": {"name": "people", "kind": "group"}}}


def test_another_kfp_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pipeline_context.Pipeline, "get_default_pipeline")
    with pytest.raises(AuthoringError, match=r"KFP .* keeps the pipeline that is being built elsewhere than KFP 2\.15"):
        chain("people").__enter__()


def _unaccelerated(uri: str) -> None:
    train(lines=decode_video_uri(uri=uri).outputs["frames"])


def _importer(uri: str) -> None:
    encode_video(frames=dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Artifact).output)


def _pipeline(uri: str) -> None:
    count_people(uri=uri)


def _condition(uri: str) -> None:
    frames = decode_video_uri(uri=uri)
    with dsl.If(uri == "a"):
        encode_video(frames=frames.outputs["frames"])


def _loop(uri: str) -> None:
    with dsl.ParallelFor(["a", "b"]) as item:
        decode_video_uri(uri=item)


def _else(uri: str) -> None:
    with dsl.If(uri == "a"):
        pass
    with dsl.Else():
        decode_video_uri(uri=uri)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (_unaccelerated, "chain 'people', task 'train' is not accelerated: put @accelerated"),
        (_importer, "chain 'people', task 'importer' is an importer"),
        (_pipeline, "chain 'people', task 'count-people' is a pipeline of its own"),
    ],
)
@pytest.mark.parametrize("form", ["pipeline", "block"])
def test_tasks_that_are_no_functions(body: Callable[[str], None], sentence: str, form: str) -> None:
    with pytest.raises(AuthoringError) as caught:
        if form == "pipeline":
            chain("people")(body)
        else:

            @dsl.pipeline
            def main(uri: str):
                with chain("people"):
                    body(uri)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind", "task"),
    [
        (_condition, "condition", "encode-video"),
        (_loop, "for-loop", "decode-video-uri"),
        (_else, "condition-branches", "decode-video-uri"),
    ],
)
def test_control_flow_goes_around_chains(body: Callable[[str], None], kind: str, task: str) -> None:
    with pytest.raises(AuthoringError, match=f"chain 'people' has a {kind} in it"):
        chain("people")(body)
    with pytest.raises(AuthoringError, match=f"chain 'people', task '{task}': it is under the chain's own"):

        @dsl.pipeline
        def main(uri: str):
            with chain("people"):
                body(uri)


def test_edges_are_checked_by_ports() -> None:
    @dsl.container_component
    def vague(frames: dsl.Input[dsl.Artifact], out: dsl.Output[dsl.Artifact]):
        return dsl.ContainerSpec(image="i", command=["x"], args=[frames.path, out.path])

    with pytest.raises(AuthoringError) as caught:

        @chain("people")
        def main(uri: str):
            made = offload(vague(frames=decode_video_uri(uri=uri).outputs["frames"]), "copy", outputs={"frames": "out"})
            write_detections(detections=made.outputs["out"])

    assert str(caught.value) == (
        "chain 'people', task 'write-detections', input 'detections': 'vague.out' carries frames, detections are "
        "wanted: put a function between them, or feed it from another task."
    )


def test_a_task_is_in_one_chain() -> None:
    with pytest.raises(AuthoringError, match="task 'decode-video-uri' is in chain 'inner' already"):

        @dsl.pipeline
        def main(uri: str):
            with chain("outer"), chain("inner"):
                decode_video_uri(uri=uri)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "Detect People"}, "chain 'Detect People': a name has small letters"),
        ({"name": "a" * 41}, "up to 40 characters"),
        ({"name": "a", "retries": -1}, "retries is -1; give a whole number from 0 to 100."),
        ({"name": "a", "retries": True}, "retries is True"),
        ({"name": "a", "active_deadline_seconds": 0.5}, "active_deadline_seconds is 0.5"),
        ({"name": "a", "rate": -2}, "chain 'a': rate is -2"),
        ({"name": "a", "device_types": ["tpu"]}, "chain 'a': there is no device type 'tpu'"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AuthoringError) as caught:
        chain(**options)
    assert sentence in str(caught.value)


def test_blocks_that_are_none() -> None:
    with pytest.raises(AuthoringError, match="chain 'people' stands outside of a pipeline"), chain("people"):
        pass
    with pytest.raises(AuthoringError, match="needs a name"), chain():
        pass
    with pytest.raises(AuthoringError, match="chain 'people' has no tasks"):

        @dsl.pipeline
        def main():
            with chain("people"):
                pass


def test_what_goes_wrong_in_a_block_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):

        @dsl.pipeline
        def main(uri: str):
            with chain("people"):
                decode_video_uri(uri=uri)
                raise ZeroDivisionError


def test_chains_of_the_same_components_keep_their_own_marks(tmp_path: Path) -> None:
    """KFP lays what platforms say of one nested pipeline upon what they say of another one."""

    @dsl.container_component
    def scale(source: dsl.Input[dsl.Artifact], wide: int, small: dsl.Output[dsl.Artifact]):  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image="scale:3", command=["scale"], args=[source.path, wide, small.path])

    def nested(width: int, **options: Any) -> Any:
        @chain(f"to-{width}", **options)
        def made(video: dsl.Input[dsl.Artifact]) -> dsl.Artifact:
            frames = decode_video(video=video).outputs["frames"]
            small = scale(source=frames, wide=width)
            offload(
                small,
                "filter-resize",
                inputs={"frames": "source"},
                outputs={"frames": "small"},
                parameters={"width": "wide", "height": width // 2},
            )
            return encode_video(frames=small.outputs["small"]).outputs["video"]  # type: ignore[no-any-return]

        return made

    one, two = nested(64, deterministic=True), nested(32)

    @dsl.pipeline
    def both(uri: str) -> None:
        video = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact)
        one(video=video.output)
        two(video=video.output)
        scale(source=video.output, wide=3)  # which nobody marked, under a label of marked ones

    @dsl.pipeline
    def outer(uri: str) -> None:
        both(uri=uri)

    for pipeline in (both, outer):
        compile(pipeline, str(tmp_path / "fused.yaml"))
        executors = next(yaml.safe_load_all((tmp_path / "fused.yaml").read_text()))["deploymentSpec"]["executors"]
        arguments = [each["container"]["args"] for each in executors.values() if "container" in each]
        payloads = [decode(words[words.index("--payload") + 1]) for words in arguments if "--payload" in words]
        heights = {
            payload.name: function["parameters"]["height"]
            for payload in payloads
            for function in payload.spec["chain"]["functions"]
            if function["type"] == "filter-resize"
        }
        assert heights == {"to-64": 32, "to-32": 16}
        assert [words for words in arguments if words[0] != "run"], "what nobody marked stays"
