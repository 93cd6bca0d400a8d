# SPDX-License-Identifier: Apache-2.0
"""What the other tests stand on: Argo with ordinary pods, artifacts in S3, and nothing of ours."""

from __future__ import annotations

from pathlib import Path

from realkube.argo_store import Store
from realkube.argo_team import ArgoTeam, dag, node, parameters, phase, shell, summary, task, workflow

from realkube.argo import Argo


def test_a_pod_hands_an_artifact_to_another_one(pods_alone: ArgoTeam, store: Store, tmp_path: Path) -> None:
    film = {"name": "text", "path": "/tmp/text", "archive": {"none": {}}, "s3": {"key": "alone/text"}}
    write = shell("write", "echo hello > /tmp/text", outputs={"artifacts": [film]})
    said = [{"name": "said", "valueFrom": {"path": "/tmp/said"}}]
    read = shell("read", "cat /tmp/in > /tmp/said", outputs={"parameters": said})
    read["inputs"] = {"artifacts": [{"name": "text", "path": "/tmp/in"}]}
    handed = {"artifacts": [{"name": "text", "from": "{{tasks.write.outputs.artifacts.text}}"}]}
    main = dag("main", task("write"), task("read", ["write"], arguments=handed))
    ended = pods_alone.until_ended(pods_alone.submit(workflow("alone", main, write, read)))
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, "read")) == {"said": "hello"}
    assert store.get("alone/text", tmp_path / "text").read_text() == "hello\n"


def test_a_plugin_template_waits_where_nobody_serves_it(pods_alone: ArgoTeam, argo: Argo) -> None:
    """So that what serves it in the other tests is ours."""
    foreign = {"name": "main", "plugin": {"somebody-elses": {"a": "b"}}}
    name = pods_alone.submit(workflow("foreign", foreign))
    pods_alone.until_workflow(name, lambda w: node(w, name).get("phase") in ("Pending", "Error"), 60, "the node")
