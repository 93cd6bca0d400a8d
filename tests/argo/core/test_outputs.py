# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from accelchain.argo.core.outputs import RESULT_BYTES

Json = dict[str, Any]


def outputs(step: Any) -> Json:
    if step.flow is None:
        step.create().end()
    found: Json = step.decide().result["outputs"]
    return found


def message(step: Any) -> str:
    result = step.decide().result
    assert result["phase"] == "Failed"
    text: str = result["message"]
    return text


def declare(step: Any, *parameters: Json, **results: str) -> None:
    step.template["outputs"] = {"parameters": list(parameters)}
    step.body["results"] = results


def test_every_source(step: Any) -> None:
    sources = {
        "a": ("annotated", "file:///out/street.mp4"),
        "b": ("outputs.annotated.uri", "file:///out/street.mp4"),
        "c": ("namespace", "videos"),
        "d": ("frames", "120"),
        "e": ("seconds", "13"),
        "f": ("framesPerSecond", "24.5"),
        "g": ("endpoint", ""),
        "h": ("write.detections", "17"),
    }
    declare(step, *({"name": name} for name in sources), **{name: source for name, (source, _) in sources.items()})
    assert {p["name"]: p["value"] for p in outputs(step)["parameters"]} == {n: v for n, (_, v) in sources.items()}


def test_what_was_declared_is_echoed(step: Any) -> None:
    """Argo takes the answer as it is: a global name that is left out is lost."""
    declare(
        step,
        {"name": "frames", "globalName": "total", "valueFrom": {"supplied": {}}},
        {"name": "version", "value": "7"},
        {"name": "late", "valueFrom": {"default": "none"}},
        late="write.latest",
    )
    assert outputs(step)["parameters"] == [
        {"name": "frames", "globalName": "total", "valueFrom": {"supplied": {}}, "value": "120"},
        {"name": "version", "value": "7"},
        {"name": "late", "valueFrom": {"default": "none"}, "value": "none"},
    ]


def test_a_value_that_never_came_fails_the_step(step: Any) -> None:
    declare(step, {"name": "late"}, late="write.latest")
    step.create().end()
    assert message(step).startswith("outputs.parameters[0]: the flow gave no value for 'write.latest'")


@pytest.mark.parametrize(
    ("parameter", "results", "says"),
    [
        ("fames", {}, "outputs.parameters[0].name: the chain has no output 'fames': did you mean 'frames'?"),
        ("x", {"x": "wrote.count"}, "plugin.accelchain.results.x: the chain has no output 'wrote.count'"),
        ("x", {"x": "outputs.detection.uri"}, "plugin.accelchain.results.x: the chain has no output"),
        ("frames", {"count": "frames"}, "plugin.accelchain.results.count: outputs.parameters declares no such"),
        ("", {}, "outputs.parameters[0].name: give the parameter a name."),
    ],
)
def test_what_the_chain_cannot_give_fails_at_once(
    step: Any, parameter: str, results: dict[str, str], says: str
) -> None:
    declare(step, {"name": parameter}, **results)
    assert message(step).startswith(says)


def test_a_chain_elsewhere_may_have_any_function(step: Any) -> None:
    step.spec["chainRef"] = {"name": "people"}
    del step.spec["chain"]
    declare(step, {"name": "count"}, count="any.thing")
    assert "spec" in step.decide().flow
    declare(step, {"name": "thing"})
    assert "the chain has no output 'thing'" in message(step)


def test_the_result_is_short(step: Any) -> None:
    step.create().end()
    many = [{"name": f"write.p{i}", "value": "x" * 900} for i in range(20)]
    step.flow["status"]["outputs"]["parameters"] += many
    text = outputs(step)["result"]
    assert len(text) <= RESULT_BYTES
    assert json.loads(text)["outputs"]["annotated"] == "file:///out/street.mp4"
    assert "results" not in json.loads(text)


def test_a_step_that_completes_when_running_has_no_artifacts(step: Any) -> None:
    step.body["completeWhen"] = "Running"
    step.template["outputs"] = {
        "artifacts": [{"name": "annotated", "s3": {"endpoint": "e", "bucket": "b", "key": "k"}}]
    }
    step.spec["outputs"] = {"detections": {"uri": "file:///out/d.jsonl"}}
    step.body["results"] = {}
    assert message(step).startswith("outputs.artifacts: a step that completes when its flow runs")
