# SPDX-License-Identifier: Apache-2.0
"""A run that Kubeflow Pipelines terminates: its Workflow gets a deadline of 0 s, and may linger long after that."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain_operators.reconcile.owner import how_it_ended, look, owners_of

WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "run", "uid": "u"}
TERMINATED = "Workflow run was terminated (spec.activeDeadlineSeconds: 0)"


def flow(node: str = "") -> dict[str, Any]:
    annotations = {"accelchain.io/node-id": node, "accelchain.io/node-name": "run.step"} if node else {}
    meta = {"namespace": "team", "annotations": annotations, "ownerReferences": [WORKFLOW]}
    return {"metadata": {**meta, "creationTimestamp": "2027-01-15T08:00:00Z"}}


def judged(of: dict[str, Any], spec: dict[str, Any], phase: str = "Running", **nodes: str) -> str:
    (owner,) = owners_of(of)
    status = {"phase": phase, "nodes": {id_: {"phase": node} for id_, node in nodes.items()}}
    live = {"metadata": {"name": "run", "uid": "u", "resourceVersion": "7"}, "spec": spec, "status": status}
    return how_it_ended(owner, look(owner, live), of)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"activeDeadlineSeconds": 0}, TERMINATED),
        (
            {"activeDeadlineSeconds": 0, "shutdown": "Terminate"},
            "Workflow run was told to stop (spec.shutdown: Terminate)",
        ),
        ({"activeDeadlineSeconds": 3600}, ""),
        ({"activeDeadlineSeconds": None}, ""),
        ({}, ""),
    ],
)
def test_a_launchers_flow_ends_with_the_run_though_its_workflow_lingers(spec: dict[str, Any], words: str) -> None:
    assert judged(flow(), spec) == words


def test_the_workflows_own_end_is_told_before_how_it_came() -> None:
    assert judged(flow(), {"activeDeadlineSeconds": 0}, "Failed") == "Workflow run has ended (Failed)"


def test_a_step_of_argo_goes_on_until_argo_ends_it() -> None:
    """It may be one of a handler on exit, which the deadline spares."""
    spec = {"activeDeadlineSeconds": 0}
    assert judged(flow("n"), spec, n="Running") == ""
    assert judged(flow("n"), spec, n="Failed") == "step run.step of Workflow run has ended (Failed)"
