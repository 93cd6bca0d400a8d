# SPDX-License-Identifier: Apache-2.0
"""``compile`` and ``fused``: KFP's compiler, with one task for each chain."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, dsl

from accelchain.kfp import AuthoringError, Compiler, FuseError, chain, compile, component_of, fused
from accelchain.kfp.functions import decode_video_uri, detect_person, encode_video, filter_resize, write_detections

OWN = Path(__file__).parents[3] / "pipelines" / "own-function" / "functions"


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def judge(people: int, limit: int = 10) -> str:
    """Say how crowded it is."""
    return "crowded" if people > limit else "quiet"


@dsl.pipeline(name="plain")
def plain(people: int, limit: int = 3) -> str:
    """Judge a number."""
    return judge(people=people, limit=limit).output


@chain(rate=8)
def find_people(uri: str, threshold: float = 0.5) -> int:
    frames = decode_video_uri(uri=uri).outputs["frames"]
    small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    return write_detections(detections=found).outputs["count"]


@dsl.pipeline(name="street")
def street(uri: str, threshold: float = 0.4) -> str:
    """Find people in a street.

    Then judge.
    """
    found = find_people(uri=uri, threshold=threshold)
    return judge(people=found.output).output


def documents(file: Path) -> list[dict[str, Any]]:
    return [*yaml.safe_load_all(file.read_text())]


def by_kfp(pipeline: Any, file: Path, **options: Any) -> str:
    compiler.Compiler().compile(pipeline, str(file), **options)
    return file.read_text()


def test_what_has_no_function_is_written_by_kfp(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pipeline_name": "other", "pipeline_parameters": {"limit": 7}}
    (entry,) = compile(plain, str(tmp_path / "ours.yaml"), **options)
    assert (entry.task, entry.outcome) == ("judge", "kept")
    assert (tmp_path / "ours.yaml").read_text() == by_kfp(plain, tmp_path / "kfp.yaml", **options)
    assert fused(plain) is plain


def test_fusing_can_be_left_out(tmp_path: Path) -> None:
    assert compile(street, str(tmp_path / "ours.yaml"), fuse=False) == ()
    assert (tmp_path / "ours.yaml").read_text() == by_kfp(street, tmp_path / "kfp.yaml")


def test_a_chain_becomes_one_task(tmp_path: Path) -> None:
    file, report = tmp_path / "street.yaml", tmp_path / "report.json"
    entries = compile(street, str(file), image="registry/launcher:1", report=report)
    pipeline, *platforms = documents(file)
    component = pipeline["components"]["comp-find-people"]
    container = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    assert container["image"] == "registry/launcher:1"
    assert container["command"] == ["python3", "-m", "accelchain.kfp.launcher"]
    assert "dataflow" not in json.dumps(platforms)
    assert set(pipeline["components"]) == {"comp-find-people", "comp-judge"}
    assert [entry.task for entry in entries if entry.outcome == "fused"] == [
        "decode-video-uri",
        "filter-resize",
        "detect-person",
        "write-detections",
    ]
    assert json.loads(report.read_text()) == {"steps": [entry.to_dict() for entry in entries]}
    by_kfp(street, tmp_path / "kfp.yaml")
    unfused = documents(tmp_path / "kfp.yaml")[0]
    assert pipeline["root"]["inputDefinitions"] == unfused["root"]["inputDefinitions"]
    assert pipeline["components"]["comp-judge"] == unfused["components"]["comp-judge"]


def test_a_fused_file_is_kfps_and_fusing_it_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "street.yaml"
    compile(street, str(file))
    loaded = components.load_component_from_file(str(file))
    assert sorted(loaded.component_spec.inputs) == ["threshold", "uri"]
    assert "# Description: Find people in a street." in file.read_text()
    entries = {entry.task: entry.sentence for entry in compile(loaded, str(tmp_path / "again.yaml"))}
    assert entries["find-people"] == "it is no function: it runs a DataFlow already."
    assert documents(tmp_path / "again.yaml") == documents(file)


def test_kfps_own_options_hold(tmp_path: Path) -> None:
    file = tmp_path / "street.yaml"
    Compiler().compile(street, str(file), "other-street", "A street", {"threshold": 0.9})
    pipeline = documents(file)[0]
    assert pipeline["pipelineInfo"]["name"] == "other-street"
    assert pipeline["pipelineInfo"]["displayName"] == "A street"
    assert pipeline["root"]["inputDefinitions"]["parameters"]["threshold"]["defaultValue"] == 0.9
    assert "executorLabel" in pipeline["components"]["comp-find-people"]


def test_as_kubernetes_objects(tmp_path: Path) -> None:
    file = tmp_path / "street.yaml"
    options = compiler.KubernetesManifestOptions(
        pipeline_name="street", pipeline_version_name="street-1", namespace="kubeflow", include_pipeline_manifest=True
    )
    compile(street, str(file), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
    kinds = {document["kind"]: document for document in documents(file)}
    assert set(kinds) == {"Pipeline", "PipelineVersion"}
    assert "executorLabel" in kinds["PipelineVersion"]["spec"]["pipelineSpec"]["components"]["comp-find-people"]


def test_a_chain_that_is_none_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    @dsl.pipeline
    def around(uri: str):
        with chain("people"):
            frames = decode_video_uri(uri=uri).outputs["frames"]
            small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
            found = write_detections(detections=detect_person(frames=small).outputs["detections"])
            last = encode_video(frames=frames)
        last.after(judge(people=found.outputs["count"]))

    file = tmp_path / "around.yaml"
    with pytest.raises(FuseError, match="judge"):
        compile(around, str(file))
    assert not file.exists()


def test_functions_of_ones_own(tmp_path: Path) -> None:
    invert = component_of("invert", [OWN])

    @dsl.pipeline
    def negative(uri: str):
        with chain("negative"):
            frames = decode_video_uri(uri=uri).outputs["frames"]
            encode_video(frames=invert(frames=frames).outputs["frames"])

    with pytest.raises(FuseError, match="invert"):
        compile(negative, str(tmp_path / "negative.yaml"))
    entries = compile(negative, str(tmp_path / "negative.yaml"), functions=[OWN])
    assert [entry.outcome for entry in entries] == ["fused"] * 3
    with pytest.raises(AuthoringError, match="nowhere"):
        compile(negative, str(tmp_path / "negative.yaml"), functions=[tmp_path / "nowhere"])


def test_a_report_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(AuthoringError, match=r"report: .* can't be written"):
        compile(plain, str(tmp_path / "plain.yaml"), report=tmp_path / "no" / "report.json")
