# SPDX-License-Identifier: Apache-2.0
"""What the emulated backend makes of a container's command and args."""

from __future__ import annotations

from typing import Any

import pytest
from kfp_backend.placeholders import by_driver, by_kubelet, by_launcher
from kfp_backend.values import BackendError, driver_text, from_text, to_text

INPUT: dict[str, Any] = {
    "inputs": {
        "parameterValues": {"text": 'say "hi"', "count": 3.0, "share": 1234567.5, "flags": ["<a>", 1.0], "none": None},
        "artifacts": {"video": {"artifacts": [{"uri": "s3://bucket/video"}]}},
    },
    "outputs": {
        "parameters": {"Output": {"outputFile": "/tmp/kfp/outputs/Output"}},
        "artifacts": {"film": {"artifacts": [{"uri": "s3://bucket/film"}]}},
    },
}


def path(artifact: Any) -> str:
    """Return an artifact's path."""
    return str(artifact["uri"]).replace("s3://", "/s3/")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("{{$.inputs.parameters['count']}}", ["3"]),
        ("a {{$.inputs.parameters['text']}} b", ['a say "hi" b']),  # text, without escapes
        ("{{$.inputs.parameters['share']}}", ["1.2345675e+06"]),
        ("{{$.inputs.parameters['flags']}}", [r'["\u003ca\u003e",1]']),
        ('{"IfPresent": {"InputName": "count", "Then": ["--n", "{{$.inputs.parameters[\'count\']}}"]}}', ["--n", "3"]),
        ('{"IfPresent": {"InputName": "none", "Then": ["--n"], "Else": "no"}}', ["no"]),
        ('{"IfPresent": {"InputName": "absent", "Then": ["--n"]}}', []),
        ("{{$.inputs.parameters['x']}} {{$.outputs.parameters['Output'].output_file}}", None),  # left for the launcher
    ],
)
def test_driver(argument: str, expected: list[str] | None) -> None:
    assert by_driver([argument], INPUT) == ([argument] if expected is None else expected)


def test_driver_fails_on_an_input_that_is_not_there() -> None:
    with pytest.raises(BackendError, match="'unknown' not found"):
        by_driver(["--x={{$.inputs.parameters['unknown']}}"], INPUT)


def test_kubelet_expands_variables() -> None:
    assert by_kubelet(["$(NAME)-$(OTHER)", "$$(NAME)", "{{$}} $1"], {"NAME": "pod"}) == [
        "pod-$(OTHER)",
        "$(NAME)",
        "{{$}} $1",
    ]


def test_launcher() -> None:
    given = {**INPUT, "inputs": {**INPUT["inputs"], "parameterValues": {"share": 1234567.5, "count": 3.0}}}
    command = [
        "{{$.inputs.parameters['count']}}",
        "{{$.inputs.artifacts['video'].path}}",
        "{{$.outputs.artifacts['film'].uri}}={{$.inputs.parameters['share']}}",
        "{{$.outputs.parameters['Output'].output_file}}",
    ]
    assert by_launcher(command, given, path) == [
        "{{$.inputs.parameters['count']}}",  # the command itself stays as it is
        "/s3/bucket/video",
        "s3://bucket/film=1234567.5",
        "/tmp/kfp/outputs/Output",
    ]


@pytest.mark.parametrize("number", [0.5, 3.0, -2.25, 1e-7, 1e21])
def test_numbers_come_back(number: float) -> None:
    assert from_text(to_text(number), "NUMBER_DOUBLE") == float(driver_text(number)) == number
