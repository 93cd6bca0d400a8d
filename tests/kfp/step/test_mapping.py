# SPDX-License-Identifier: Apache-2.0
"""KFP's executor input as a command line, and what was told as KFP's outputs."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain.kfp.step.errors import StepError
from accelchain.kfp.step.mapping import as_text, executor_output, parameter_files, task_of


def artifact(uri: str, **fields: Any) -> dict[str, Any]:
    return {"artifacts": [{"name": "projects/x/artifacts/1", "uri": uri, "metadata": {}} | fields]}


def executor_input(**sides: Any) -> dict[str, Any]:
    """What KFP's launcher hands over: an input video in S3, an output video, one output parameter."""
    return {
        "inputs": {
            "artifacts": {"video": artifact("s3://store/run/video")},
            "parameterValues": {
                "width": 300,
                "quality": 18.0,
                "level": 0.5,
                "live": True,
                "title": "a b",
                "none": None,
            },
        },
        "outputs": {
            "artifacts": {"video": artifact("s3://store/run/out/video"), "executor-logs": artifact("s3://store/logs")},
            "parameters": {"count": {"outputFile": "/tmp/kfp/outputs/count"}},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    } | sides


MAPPING: dict[str, Any] = {
    "parameters": {"width": {"input": "width"}, "quality": {"input": "quality"}, "filter": {"value": "median"}},
    "addresses": {"uri": {"input": "video"}, "to": {"output": "video"}},
    "results": {"count": "people"},
    "endings": {"video": ".mp4"},
}


def test_parameters_addresses_and_endings() -> None:
    task = task_of("shrink@1.0.0", MAPPING, executor_input())
    assert task.arguments == (
        *("shrink@1.0.0", "--width", "300", "--quality", "18", "--filter", "median"),
        *("--uri", "/s3/store/run/video", "--to", "/s3/store/run/out/video.mp4"),
    )
    assert set(task.artifacts) == {"video"}


def test_ports_are_files_and_optional_ones_may_be_missing() -> None:
    mapping = {"inputs": {"frames": "video", "mask": "mask"}, "outputs": {"frames": "video"}, "results": {"count": "n"}}
    assert task_of("f", mapping, executor_input()).arguments == (
        *("f", "--input", "frames=/s3/store/run/video", "--output", "frames=/s3/store/run/out/video"),
    )


def test_inputs_that_were_not_given_are_left_out() -> None:
    mapping = {
        "parameters": {
            "a": {"input": "none"},
            "b": {"input": "absent"},
            "c": {"input": "live"},
            "d": {"input": "title"},
        },
        "addresses": {"uri": {"input": "absent"}, "to": {"inputParameter": "absent"}, "log": {"value": "http://x"}},
        "results": {"count": "n"},
    }
    arguments = task_of("f", mapping, executor_input()).arguments
    assert arguments == ("f", "--c", "true", "--d", "a b", "--log", "http://x")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"uri": "/tmp/store/video"}, "/tmp/store/video"),
        ({"uri": "file:///tmp/video"}, "/tmp/video"),
        ({"uri": "gs://bucket/a"}, "/gcs/bucket/a"),
        ({"uri": "minio://bucket/a"}, "/minio/bucket/a"),
        ({"uri": "https://host/a.mp4"}, "https://host/a.mp4"),
        ({"uri": "s3://bucket/a", "customPath": "/data/a"}, "/data/a"),
        ({"uri": "s3://bucket/a", "metadata": {"_kfp_workspace": True}}, "/kfp-workspace/.artifacts/s3/bucket/a"),
    ],
)
def test_where_an_artifact_lies(given: dict[str, Any], path: str) -> None:
    inputs = {"artifacts": {"video": artifact(**given)}}
    task = task_of("f", {"addresses": {"uri": {"input": "video"}}}, {"inputs": inputs})
    assert task.arguments == ("f", "--uri", path)


def test_outputs_are_told_to_kfp() -> None:
    task = task_of("f", MAPPING, executor_input())
    output = executor_output(task, {"frames": 7, "results": {"people": 3}})
    assert output == {
        "parameterValues": {"count": 3},
        "artifacts": {
            "video": {
                "artifacts": [
                    {"name": "projects/x/artifacts/1", "uri": "s3://store/run/out/video.mp4", "metadata": {"frames": 7}}
                ]
            }
        },
    }
    assert list(parameter_files(task, output)) == [("/tmp/kfp/outputs/count", "3")]


def test_strings_are_written_as_they_are() -> None:
    task = task_of("f", MAPPING, executor_input())
    output = executor_output(task, {"results": {"people": "many"}})
    assert list(parameter_files(task, output)) == [("/tmp/kfp/outputs/count", "many")]
    assert output["artifacts"]["video"]["artifacts"][0]["metadata"] == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (0.25, "0.25"),
        (True, "true"),
        (False, "false"),
        ("x", "x"),
        ([1], "[1]"),
        (1e300, str(int(1e300))),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("mapping", "given", "sentence"),
    [
        ({"ports": {}}, {}, "--map: ports is not known; there are addresses"),
        ({"outputs": {"frames": "out"}}, {}, "--map: the component has no output artifact out; it has none."),
        ({}, {"outputs": {"parameters": {"n": {"outputFile": "/x"}}}}, "results says nothing of output parameter n"),
        (
            {"inputs": {"frames": "list"}},
            {"inputs": {"artifacts": {"list": {"artifacts": [{"uri": "a"}, {"uri": "b"}]}}}},
            "artifact list: 2 artifacts came in, one is wanted",
        ),
        ({"inputs": {"frames": "a"}}, {"inputs": {"artifacts": {"a": artifact("")}}}, "artifact a has no uri"),
    ],
)
def test_what_does_not_fit(mapping: dict[str, Any], given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StepError) as caught:
        task_of("f", mapping, given)
    assert sentence in str(caught.value) and caught.value.code == 2


def test_a_result_that_was_not_told() -> None:
    task = task_of("f", MAPPING, executor_input())
    with pytest.raises(StepError, match="output count: the function told no people; it told frames, boxes") as caught:
        executor_output(task, {"frames": 1, "results": {"boxes": 2}})
    assert caught.value.code == 1
