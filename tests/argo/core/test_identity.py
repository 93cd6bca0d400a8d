# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelchain.argo.core.identity import WorkflowId, attempt_name, flow_name, fnv32a, node_id

TEXT = st.text(max_size=300)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("text", "value"),
    # "agent" is in the name of every agent Pod of Argo's; the others are the published test vectors of FNV-1a
    [("agent", 1340600742), ("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)],
)
def test_the_hash_is_argos(text: str, value: int) -> None:
    assert fnv32a(text) == value


def test_node_ids_are_argos() -> None:
    assert node_id("wf", "wf") == "wf"
    assert node_id("wf", "agent") == "wf-1340600742"
    assert node_id("wf", attempt_name("wf", 0)) == f"wf-{fnv32a('wf(0)')}"
    assert attempt_name("wf.detect", None) == "wf.detect"


@pytest.mark.parametrize(
    ("node", "begins"),
    [
        ("people.detect", "people-detect-"),
        ("people[0].detect(2:night)", "people-detect-2-night-"),
        ("people", "people-"),
        ("people.a.b(0:x).detect", "people-detect-"),
        ("people.onExit", "people-onexit-"),
        ("people.夜", "people-"),
    ],
)
def test_names_tell_the_workflow_and_the_step(node: str, begins: str) -> None:
    name = flow_name(WorkflowId("ns", "people", "uid"), node, 0)
    assert re.fullmatch(re.escape(begins) + "[0-9a-f]{16}", name)


@given(TEXT, TEXT, TEXT, st.integers(0, 999999))
def test_names_are_labels(workflow: str, uid: str, node: str, attempt: int) -> None:
    name = flow_name(WorkflowId("ns", workflow, uid), node, attempt)
    assert len(name) <= 63
    assert LABEL.fullmatch(name)


@given(st.sets(st.tuples(st.text(max_size=60), st.text(max_size=60), st.integers(0, 99)), min_size=2, max_size=20))
def test_no_two_steps_share_a_name(steps: set[tuple[str, str, int]]) -> None:
    assert len({flow_name(WorkflowId("ns", "w" * 60, uid), node, n) for uid, node, n in steps}) == len(steps)
