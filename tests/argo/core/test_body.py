# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from accelchain.argo.core.body import StepError, is_ours, parse_body, parse_duration

PATH = "plugin.accelchain"
DATAFLOW = f"{PATH}.dataflow"


def test_text_becomes_what_the_spec_wants(step: Any) -> None:
    """Argo makes text of all that it replaces."""
    step.spec.update(activeDeadlineSeconds="600", suspend="false", retries={"limit": "2"})
    body = parse_body(step.template)
    assert body.spec["rate"] == {"framesPerSecond": 8.0}
    assert body.spec["activeDeadlineSeconds"] == 600
    assert body.spec["suspend"] is False
    assert body.spec["retries"] == {"limit": 2}
    assert body.spec["parameters"] == {"threshold": "0.4"}, "its type is known to the chain only"


@pytest.mark.parametrize(
    ("attempt", "number"), [("{{retries}}", None), ("", None), (None, None), ("0", 0), ("3", 3), (2, 2)]
)
def test_attempts(step: Any, attempt: Any, number: int | None) -> None:
    step.body["attempt"] = attempt
    assert parse_body(step.template).attempt == number


def test_what_is_left_out_has_defaults(step: Any) -> None:
    body = parse_body(step.template)
    assert (body.complete_when, body.owned) == ("Finished", True)
    step.body.update(completeWhen="Running", owner="None")
    body = parse_body(step.template)
    assert (body.complete_when, body.owned) == ("Running", False)


@pytest.mark.parametrize("plugin", [None, {}, {"other": {}}, [], "accelchain", 3])
def test_foreign_templates_are_not_ours(plugin: Any) -> None:
    assert not is_ours({"name": "x", "plugin": plugin})


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"nodes": "x"}, f"{PATH}.nodes", "did you mean 'node'?"),
    ({"node": None}, f"{PATH}.node", "{{node.name}}"),
    ({"node": "{{nodename}}"}, f"{PATH}.node", "no such variable"),
    ({"node": "x" * 5000}, f"{PATH}.node", "4096"),
    ({"node": "\ud800"}, f"{PATH}.node", "no valid text"),
    ({"attempt": "first"}, f"{PATH}.attempt", "{{retries}}"),
    ({"attempt": True}, f"{PATH}.attempt", "{{retries}}"),
    ({"completeWhen": "Done"}, f"{PATH}.completeWhen", "Finished or Running"),
    ({"owner": "Me"}, f"{PATH}.owner", "Workflow or None"),
    ({"owner": "None"}, f"{PATH}.owner", "completeWhen: Running"),
    ({"results": ["count"]}, f"{PATH}.results", "mapping"),
    ({"results": {"count": 3}}, f"{PATH}.results.count", "name of a source"),
    ({"dataflow": None}, DATAFLOW, "spec of a DataFlow"),
    ({"dataflow": "a"}, DATAFLOW, "spec of a DataFlow"),
    ({"dataflow": {}}, DATAFLOW, "exactly one of chain and chainRef"),
]


@pytest.mark.parametrize(("change", "path", "says"), BAD)
def test_a_bad_body_names_the_field(step: Any, change: dict[str, Any], path: str, says: str) -> None:
    step.body.update(change)
    with pytest.raises(StepError) as caught:
        parse_body(step.template)
    assert caught.value.path == path
    assert says in caught.value.message
    assert str(caught.value) == f"{path}: {caught.value.message}"


BAD_SPEC: list[tuple[dict[str, Any], str, str]] = [
    ({"chainRef": {"name": "people"}}, DATAFLOW, "exactly one"),
    ({"dryRun": "true"}, f"{DATAFLOW}.dryRun", "take it out"),
    ({"cancel": True}, f"{DATAFLOW}.cancel", "take it out"),
    ({"ttlSecondsAfterFinished": "10"}, f"{DATAFLOW}.ttlSecondsAfterFinished", "at least 300"),
    ({"mod": "Batch"}, f"{DATAFLOW}.mod", "did you mean 'mode'?"),
    ({"mode": "batch"}, f"{DATAFLOW}.mode", "'Batch' or 'Stream'"),
    ({"rate": {"framesPerSecond": "fast"}}, f"{DATAFLOW}.rate.framesPerSecond", '"fast"'),
    ({"rate": {}}, f"{DATAFLOW}.rate.framesPerSecond", "missing"),
    ({"rate": {"framesPerSecond": "inf"}}, DATAFLOW, "not finite"),
    ({"placement": {"rules": [{"devicetypes": []}]}}, f"{DATAFLOW}.placement.rules[0].devicetypes", "deviceTypes"),
    ({"parameters": {"threshold": [1]}}, f"{DATAFLOW}.parameters.threshold", "does not fit"),
    ({"parameters": {f"p{i}": "x" * 4096 for i in range(65)}}, f"{DATAFLOW}.parameters", "64"),
    ({"inputs": {"video": "file:///x"}}, f"{DATAFLOW}.inputs.video", '"file:///x"'),
]


@pytest.mark.parametrize(("change", "path", "says"), BAD_SPEC)
def test_a_bad_spec_names_the_field(step: Any, change: dict[str, Any], path: str, says: str) -> None:
    step.spec.update(change)
    with pytest.raises(StepError) as caught:
        parse_body(step.template)
    assert caught.value.path == path
    assert says in caught.value.message


def test_a_body_has_one_key(step: Any) -> None:
    step.template["plugin"]["other"] = {}
    with pytest.raises(StepError, match="plugin: a body has one key: take other out"):
        parse_body(step.template)


def test_a_retry_strategy_needs_the_attempt(step: Any) -> None:
    """Else all attempts would share one DataFlow, and none after the first would run."""
    step.template["retryStrategy"] = {"limit": 2}
    with pytest.raises(StepError, match=r"attempt: the template has a retryStrategy"):
        parse_body(step.template)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("90", 90),
        (90, 90),
        (".5s", 0.5),
        ("1h1m1s1ms", 3661.001),
    ],
)
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-3s", "1d", "3 s", "1e3s", "٣s", "1h-3m", True, None, [], "9" * 999])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
