# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelchain.argo.core.workflow import nodes_of, view


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def test_a_workflow_as_it_runs(step: Any) -> None:
    step.workflow["spec"] |= {"activeDeadlineSeconds": 60, "parallelism": 2, "shutdown": "Stop"}
    step.workflow["status"]["artifactRepositoryRef"] = {"default": True, "artifactRepository": {"s3": {"bucket": "b"}}}
    seen = step.view()
    assert (seen.id, seen.phase, seen.shutdown, seen.service_account) == (step.id, "Running", "Stop", "authors")
    assert seen.deadline == seen.started + 60
    assert seen.parallelism == 2
    assert seen.repository == {"s3": {"bucket": "b"}}
    assert [node["name"] for node in seen.nodes.values()] == ["people-x7k2p.detect"]


def test_a_reference_to_a_template_is_read_where_argo_stores_it(step: Any) -> None:
    step.workflow["spec"] = {"workflowTemplateRef": {"name": "people"}}
    step.workflow["status"]["storedWorkflowTemplateSpec"] = {
        "serviceAccountName": "others",
        "parallelism": 3,
        "templates": [{"name": "main", "parallelism": 1}],
    }
    step.workflow["status"]["storedTemplates"] = {"namespaced/shared/loop": {"name": "loop", "parallelism": 4}}
    seen = step.view()
    assert (seen.service_account, seen.parallelism) == ("others", 3)
    assert seen.template_of({"templateName": "main", "templateScope": "local/x"})["parallelism"] == 1
    assert seen.template_of({"templateName": "loop", "templateScope": "namespaced/shared"})["parallelism"] == 4
    assert seen.template_of({"templateRef": {"name": "shared", "template": "loop"}})["parallelism"] == 4
    assert seen.template_of({"templateRef": {"name": "shared", "template": "loop", "clusterScope": True}}) is None
    assert seen.template_of({}) is None


@given(st.dictionaries(st.text(max_size=20), st.dictionaries(st.text(max_size=9), st.text(max_size=20))))
def test_compressed_nodes_are_unpacked(nodes: dict[str, dict[str, str]]) -> None:
    assert nodes_of({"compressedNodes": packed(json.dumps(nodes))}) == nodes


def test_where_nodes_are() -> None:
    assert nodes_of({}) == {}
    assert nodes_of({"nodes": {"a": {}}}) == {"a": {}}
    assert nodes_of({"offloadNodeStatusVersion": "fnv:123"}) is None


@pytest.mark.parametrize("text", ["%", "QUJD", packed("[]"), packed("{"), packed('{"a": {}}')[:-8]])
def test_nodes_that_cannot_be_unpacked(text: str) -> None:
    with pytest.raises(ValueError, match=r"status\.compressedNodes can't be read"):
        nodes_of({"compressedNodes": text})


def test_handlers_on_exit(step: Any) -> None:
    nodes = step.workflow["status"]["nodes"] = {
        "e": {"displayName": "people.onExit"},
        "in-e": {"displayName": "[0]", "boundaryID": "e"},
        "deep": {"displayName": "notify", "boundaryID": "in-e"},
        "a": {"displayName": "onExit", "boundaryID": ""},
        "round": {"displayName": "x", "boundaryID": "round"},
    }
    seen = step.view()
    assert {id_ for id_ in nodes if seen.is_on_exit(id_, "?")} == {"e", "in-e", "deep"}
    assert seen.is_on_exit("unknown", "people.onExit(0)")
    assert seen.is_on_exit("unknown", "people.detect.onExit[0].notify")
    assert not seen.is_on_exit("unknown", "people.onExitus")


def test_a_view_needs_only_metadata() -> None:
    seen = view({"metadata": {"namespace": "n", "name": "w", "uid": "u"}})
    assert (seen.phase, seen.nodes, seen.deadline, seen.service_account) == ("", {}, None, "default")
