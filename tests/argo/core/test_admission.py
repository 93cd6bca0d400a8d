# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accelchain.argo.core.admission import OpenStep, admit, open_steps
from accelchain.argo.core.workflow import view

Json = dict[str, Any]
OURS = {"name": "ours", "plugin": {"accelchain": {}}}


def workflow(nodes: Json, parallelism: int | None = None, within: int | None = None) -> Any:
    loop = {"name": "loop"} | ({} if within is None else {"parallelism": within})
    spec = {"templates": [OURS, loop, {"name": "other", "plugin": {"other": {}}}]}
    return view(
        {
            "metadata": {"namespace": "n", "name": "w", "uid": "u"},
            "spec": spec | ({} if parallelism is None else {"parallelism": parallelism}),
            "status": {"nodes": {"w": {"type": "DAG", "phase": "Running", "templateName": "loop"}} | nodes},
        }
    )


def node(type_: str = "Plugin", phase: str = "Pending", at: int = 0, **more: Any) -> Json:
    started = f"2027-01-15T08:00:{at:02}Z"
    return {"type": type_, "phase": phase, "boundaryID": "w", "templateName": "ours", "startedAt": started} | more


def waiting(*ids: str) -> list[OpenStep]:
    return [OpenStep(id_, False) for id_ in ids]


def test_without_a_limit_all_are_admitted() -> None:
    assert admit(workflow({}), waiting("a", "b", "c")) == {"a", "b", "c"}


def test_those_that_began_first_come_first() -> None:
    seen = workflow({"a": node(at=3), "b": node(at=1), "c": node(at=2)}, parallelism=2)
    assert admit(seen, waiting("a", "b", "c")) == {"b", "c"}


def test_flows_that_are_there_keep_their_place() -> None:
    seen = workflow({"a": node(at=1), "b": node(at=2)}, parallelism=1)
    assert admit(seen, [OpenStep("a", False), OpenStep("b", True)]) == {"b"}


def test_argos_own_pods_count_unless_they_wait_for_a_lock() -> None:
    pods = {
        "p": node("Pod", "Running"),
        "q": node("Pod", "Succeeded"),
        "r": node("Pod", "Pending", synchronizationStatus={"waiting": "videos/Mutex/m"}),
    }
    assert len(admit(workflow(pods, parallelism=2), waiting("a", "b"))) == 1


def test_a_templates_limit_holds_within_it() -> None:
    nodes = {
        "inner": node("Steps", "Running", boundaryID="w", templateName="loop"),
        "a": node(),
        "b": node(),
        "c": node(boundaryID="inner"),
        "d": node(boundaryID="inner"),
        "p": node("Pod", "Running", boundaryID="inner"),
    }
    # w holds the inner steps, and so has room for one; inner holds a Pod, and so has room for one
    assert admit(workflow(nodes, within=2), waiting("a", "b", "c", "d")) == {"a", "c"}


def test_a_node_that_the_workflow_does_not_have_yet_waits_where_templates_have_limits() -> None:
    """The TaskSet is written before the Workflow: whose limit holds for such a node is not known."""
    assert admit(workflow({}, within=1), waiting("a", "b")) == frozenset()
    assert admit(workflow({"a": node(at=1), "b": node(at=2)}, within=1), waiting("a", "b")) == {"a"}
    assert admit(workflow({}, parallelism=1), waiting("a", "b")) == {"a"}


def test_open_steps_are_those_of_ours_that_have_not_ended() -> None:
    nodes = {
        "a": node(),
        "b": node(phase="Succeeded"),
        "c": node(templateName="other"),
        "d": node(synchronizationStatus={"waiting": "videos/Semaphore/s"}),
        "e": node("Pod"),
        "f": node(phase="Running"),
    }
    flows = [flow("f"), flow("b"), flow("g", uid="another"), flow("h", ended=True)]
    assert open_steps(workflow(nodes), flows, ["n"]) == [
        OpenStep("a", False),
        OpenStep("f", True),
        OpenStep("n", False),
    ]


def flow(id_: str, uid: str = "u", *, ended: bool = False) -> Json:
    labels, annotations = {"accelchain.io/workflow-uid": uid}, {"accelchain.io/node-id": id_}
    conditions = [{"type": "Succeeded", "status": "True" if ended else "False"}]
    return {"metadata": {"labels": labels, "annotations": annotations}, "status": {"conditions": conditions}}


LIMIT = st.none() | st.integers(0, 5)
STEPS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), max_size=12)


@given(LIMIT, LIMIT, STEPS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_limits_are_never_exceeded_and_fronts_agree(
    parallelism: int | None, within: int | None, steps: list[tuple[bool, bool, int]], pods: int, shuffle: random.Random
) -> None:
    """Steps in two templates of one Workflow, some known to it, some with flows, beside Pods."""
    nodes: Json = {"inner": node("Steps", "Running", boundaryID="", templateName="loop")}
    nodes |= {f"p{i}": node("Pod", "Running") for i in range(pods)}
    nodes |= {f"s{i}": node(at=at, boundaryID="w" if i % 2 else "inner") for i, (_, _, at) in enumerate(steps)}
    open_ = [OpenStep(f"s{i}", active) for i, (active, _, _) in enumerate(steps)]
    seen = workflow(nodes, parallelism, within)
    admitted = admit(seen, open_)
    active = {step.node_id for step in open_ if step.has_flow_active}
    new = admitted - active
    assert active <= admitted
    assert parallelism is None or not new or len(admitted) + pods <= parallelism
    for boundary, taken in (("w", pods), ("inner", 0)):
        mine = {id_ for id_ in admitted if nodes[id_]["boundaryID"] == boundary}
        assert within is None or not (mine & new) or len(mine) + taken <= within
    shuffle.shuffle(open_)
    assert admit(seen, open_) == admitted
    if parallelism is None and within is None:
        assert len(admitted) == len(steps)
