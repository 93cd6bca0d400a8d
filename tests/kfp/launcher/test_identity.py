# SPDX-License-Identifier: Apache-2.0
"""The same task has the same flow, whichever try it is; another one has another."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accelchain.kfp.launcher.identity import of_files, of_pod

OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w"}


def pod(node: str, workflow: str = "w-uid", name: str = "p") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"{name}-uid",
            "annotations": {"workflows.argoproj.io/node-name": node},
            "labels": {"pipeline/runid": "r", "pipelines.kubeflow.org/v2_component": "true"},
            "ownerReferences": [
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Workflow",
                    "name": "w",
                    "uid": workflow,
                    "controller": True,
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("w.root.a.executor(0)", "w.root.a.executor(1)", True),
        ("w.root.a.executor", "w.root.a.executor(12)", True),
        ("w.root.loop(0:x).a.executor(0)", "w.root.loop(0:x).a.executor(1)", True),
        ("w.root.loop(0:x).a.executor(0)", "w.root.loop(1:y).a.executor(0)", False),
        ("w.root.a.executor(0)", "w.root.b.executor(0)", False),
        ("w.root(0).a.executor", "w.root(1).a.executor", True),
    ],
)
def test_tries_and_tasks(one: str, other: str, same: bool) -> None:
    names = [of_pod(pod(node, name=node)).flow_name("chain") for node in (one, other)]
    assert (names[0] == names[1]) is same


def test_another_run_has_another_flow_and_its_workflow_owns_it() -> None:
    identity = of_pod(pod("w.a"))
    assert identity.flow_name("c") != of_pod(pod("w.a", workflow="other")).flow_name("c")
    assert identity.owner == OWNER | {"uid": "w-uid"}
    assert identity.labels == {"pipeline/runid": "r", "accelchain.io/workflow-uid": "w-uid"}


def test_a_pod_of_no_workflow_owns_its_flow() -> None:
    alone = pod("w.a")
    del alone["metadata"]["ownerReferences"]
    assert (of_pod(alone).owner or {})["kind"] == "Pod"


@pytest.mark.parametrize("chain", ["a", "A chain_of many.words" * 9, "--", "ünï"])
def test_names_are_dns_labels(chain: str) -> None:
    assert re.fullmatch(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", of_files("/runs/x/executor_output.json").flow_name(chain)
    )
