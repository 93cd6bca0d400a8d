# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in: one answer, no exception, and no second flow for one try of a node."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain.argo.core.steps import Create, Decision, Foreign, Patch, Replace, Report, Situation, Wait, decide

Json = Any
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ANSWERS = (Foreign, Create, Replace, Patch, Wait, Report)


def places(document: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where a document holds something."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(p for key, value in items for p in places(value, (*path, key)))]


def spoiled(document: Json, path: tuple[Any, ...], value: Json) -> Json:
    """Return the document with another value at a place."""
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = spoiled(document[path[0]], path[1:], value)
    return changed


def check(decision: Decision) -> None:
    assert isinstance(decision, ANSWERS)
    if isinstance(decision, Report):
        assert decision.result["phase"] in ("Succeeded", "Failed", "Error")
        assert 0 < len(decision.result["message"]) <= 1024
        json.dumps(decision.result, allow_nan=False)


@given(JSON, JSON)
def test_any_template_has_an_answer(new_step: Any, template: Json, body: Json) -> None:
    step = new_step().begun()
    for given_template in (template, {"plugin": {"accelchain": body}}):
        check(decide(Situation(step.view(), step.id, given_template, None, None, 1.8e9)))


@settings(max_examples=300)
@given(st.data())
def test_any_part_of_a_step_may_be_anything(new_step: Any, data: st.DataObject) -> None:
    step = new_step().begun().create().end(data.draw(st.sampled_from(["", "WorkerLost"])))
    step.template["inputs"]["artifacts"] = [{"name": "video", "s3": {"key": "k"}}]
    if data.draw(st.booleans()):
        place = data.draw(st.sampled_from(places(step.template)))
        step.template = spoiled(step.template, place, data.draw(JSON))
    else:
        step.flow = spoiled(step.flow, data.draw(st.sampled_from(places(step.flow))), data.draw(JSON))
        step.flow = step.flow if isinstance(step.flow, dict) else {}
    check(step.decide(told=data.draw(st.none() | st.just({"phase": "Running"}))))


EVENTS = ("begin", "look", "look blind", "run", "succeed", "fail", "stop", "argo retry")


@settings(max_examples=300)
@given(st.lists(st.sampled_from(EVENTS), max_size=25))
def test_one_try_of_a_node_makes_one_flow(new_step: Any, events: list[str]) -> None:
    """Agents ask again after a restart, operators look whenever they like, and the Workflow is told late."""
    step, tries, now, began = new_step(), 1, 0.0, 0.0
    made: list[str] = []
    for event in events:
        now += 10
        nodes = step.workflow["status"]["nodes"]
        ended = any(n["phase"] == "Failed" for n in nodes.values())
        if event == "begin" and not nodes:
            step.begun(began)  # the Workflow is written after the TaskSet
        elif event == "stop" and nodes:
            next(iter(nodes.values()))["phase"] = "Failed"
        elif event == "argo retry" and ended:
            nodes.clear()
            tries, began = tries + 1, now
        elif event in ("run", "succeed", "fail") and step.flow and not finished(step.flow):
            {"run": step.run, "succeed": step.end, "fail": lambda: step.end("FunctionFailed")}[event]()
            if finished(step.flow):
                step.flow["status"]["completionTime"] = stamp(now)
        elif event.startswith("look"):
            follow(step, now, made, blind=event.endswith("blind"))
    assert len(made) <= tries


def follow(step: Any, now: float, made: list[str], *, blind: bool) -> None:
    """Do what the decisions say until they say wait."""
    for _ in range(4):
        decision = step.decide(after=now, **({"workflow": None} if blind else {}))
        check(decision)
        if isinstance(decision, Create | Replace):
            made.append(decision.flow["metadata"]["name"])
            step.flow = copy.deepcopy(decision.flow)
            step.flow["metadata"]["creationTimestamp"] = stamp(now)
        elif isinstance(decision, Patch):
            step.flow["metadata"]["annotations"] |= decision.metadata["annotations"]
        else:
            return
    raise AssertionError("the step does not come to rest")


def finished(flow: Json) -> bool:
    return bool(flow.get("status", {}).get("completionTime"))


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(1.8e9 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
