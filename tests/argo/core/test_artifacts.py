# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from accelchain.argo.core.identity import node_id

Json = dict[str, Any]
SECRETS = {
    "accessKeySecret": {"name": "minio", "key": "accesskey"},
    "secretKeySecret": {"name": "minio", "key": "secretkey"},
}
REPOSITORY = {"s3": {"endpoint": "minio:9000", "bucket": "artifacts", "insecure": True, **SECRETS}}
REACHED = {"endpoint": "minio:9000", "insecure": True, **SECRETS}
NODE_ID = node_id("people-x7k2p", "people-x7k2p.detect")


@pytest.fixture
def lone(step: Any) -> Any:
    """A step whose addresses are artifacts only, in a Workflow with a repository."""
    step.template["outputs"], step.body["results"] = {}, {}
    step.template["inputs"] = {"artifacts": [{"name": "video", "path": "/in", "s3": {"key": "in/street.mp4"}}]}
    step.spec["inputs"], step.spec["outputs"] = {}, {}
    step.workflow["status"]["artifactRepositoryRef"] = {"artifactRepository": dict(REPOSITORY)}
    return step


def spec(step: Any) -> Json:
    found: Json = step.decide().flow["spec"]
    return found


def message(step: Any) -> str:
    result = step.decide().result
    assert result["phase"] == "Failed"
    text: str = result["message"]
    return text


def test_a_key_alone_lies_in_the_workflows_repository(lone: Any) -> None:
    assert spec(lone)["inputs"] == {"video": {"uri": "s3://artifacts/in/street.mp4", "s3": REACHED}}
    assert "outputs" not in spec(lone)


def test_an_artifact_with_a_place_of_its_own(lone: Any) -> None:
    own = {"endpoint": "s3.eu-west-1.amazonaws.com", "region": "eu-west-1", "bucket": "mine", "key": "a b/c?.mp4"}
    lone.template["inputs"]["artifacts"][0]["s3"] = own
    assert spec(lone)["inputs"]["video"] == {
        "uri": "s3://mine/a b/c?.mp4",
        "s3": {"endpoint": "s3.eu-west-1.amazonaws.com", "region": "eu-west-1"},
    }
    lone.template["inputs"]["artifacts"][0] = {"name": "video", "http": {"url": "https://example.org/v.mp4"}}
    assert spec(lone)["inputs"]["video"] == {"uri": "https://example.org/v.mp4"}


def test_a_bucket_without_an_endpoint_is_the_repositorys(lone: Any) -> None:
    """So it is for Argo's own Pods."""
    lone.template["inputs"]["artifacts"][0]["s3"]["bucket"] = "other"
    assert spec(lone)["inputs"]["video"]["uri"] == "s3://artifacts/in/street.mp4"


def test_outputs_get_keys_and_are_told_to_argo(lone: Any) -> None:
    lone.template["outputs"]["artifacts"] = [
        {"name": "annotated", "path": "/out/a.mp4", "globalName": "video"},
        {"name": "detections", "archive": {"tar": {}}, "s3": {"key": "out/d.jsonl"}},
    ]
    key = f"people-x7k2p/{NODE_ID}/annotated.mp4"
    assert spec(lone)["outputs"] == {
        "annotated": {"uri": f"s3://artifacts/{key}", "s3": REACHED},
        "detections": {"uri": "s3://artifacts/out/d.jsonl", "s3": REACHED},
    }
    lone.create().end()
    where = {"endpoint": "minio:9000", "bucket": "artifacts", "insecure": True, **SECRETS}
    assert lone.decide().result["outputs"]["artifacts"] == [
        {
            "name": "annotated",
            "path": "/out/a.mp4",
            "globalName": "video",
            "archive": {"none": {}},
            "s3": {**where, "key": key},
        },
        {"name": "detections", "archive": {"none": {}}, "s3": {**where, "key": "out/d.jsonl"}},
    ]


@pytest.mark.parametrize(
    ("s3", "key"),
    [
        ({"keyPrefix": "team"}, f"team/people-x7k2p/{NODE_ID}/detections.jsonl"),
        (
            {"keyFormat": "{{ workflow.creationTimestamp.Y }}/{{workflow.parameters.city}}/{{pod.name}}"},
            f"2027/Ulm/{NODE_ID}/detections.jsonl",
        ),
        ({"keyFormat": "fixed"}, "fixed/detections.jsonl"),
    ],
)
def test_keys_follow_the_repositorys_format(lone: Any, s3: Json, key: str) -> None:
    lone.workflow["status"]["artifactRepositoryRef"]["artifactRepository"] = {"s3": REPOSITORY["s3"] | s3}
    lone.workflow["metadata"]["creationTimestamp"] = "2027-01-15T07:59:30Z"
    lone.workflow["spec"]["arguments"] = {"parameters": [{"name": "city", "value": "Ulm"}]}
    lone.template["outputs"]["artifacts"] = [{"name": "detections"}]
    assert spec(lone)["outputs"]["detections"]["uri"] == f"s3://artifacts/{key}"


def test_what_the_dataflow_names_goes_first(lone: Any) -> None:
    lone.template["outputs"]["artifacts"] = [{"name": "annotated", "gcs": {"bucket": "b", "key": "k"}}]
    lone.spec["outputs"] = {"annotated": {"uri": "s3://artifacts/own.mp4"}}
    lone.create().end()
    assert lone.decide().result["outputs"]["artifacts"][0]["s3"] == {**REACHED, "bucket": "artifacts", "key": "own.mp4"}


def test_amazon_is_where_a_bucket_is_without_an_endpoint(lone: Any) -> None:
    lone.template["outputs"]["artifacts"] = [{"name": "annotated"}]
    lone.spec["outputs"] = {"annotated": {"uri": "s3://elsewhere/own.mp4"}}
    lone.create().end()
    assert lone.decide().result["outputs"]["artifacts"][0]["s3"] == {
        "endpoint": "s3.amazonaws.com",
        "bucket": "elsewhere",
        "key": "own.mp4",
    }


def test_an_optional_input_may_be_left_out(lone: Any) -> None:
    lone.template["inputs"]["artifacts"] = [{"name": "video", "optional": True}]
    assert "inputs" not in spec(lone)


IN, OUT = "inputs.artifacts[0]", "outputs.artifacts[0]"


@pytest.mark.parametrize(
    ("side", "artifact", "says"),
    [
        ("inputs", {"name": "video", "gcs": {"bucket": "b", "key": "k"}}, f"{IN}.gcs: gcs is no place that chains"),
        ("inputs", {"name": "video", "raw": {"data": "x"}}, f"{IN}.raw: raw is no place that chains"),
        ("inputs", {"name": "video"}, f"{IN}: the artifact has no location"),
        ("inputs", {"name": "vidio", "s3": {"key": "k"}}, f"{IN}.name: the chain has no input 'vidio': did you mean"),
        ("inputs", {"s3": {"key": "k"}}, f"{IN}.name: give the artifact a name"),
        ("inputs", {"name": "video", "http": {"url": "https://x", "headers": [{}]}}, f"{IN}.http: only url"),
        (
            "inputs",
            {"name": "video", "s3": {"endpoint": "e", "bucket": "b", "key": "k", "useSDKCreds": True}},
            f"{IN}.s3.useSDKCreds: this is not supported",
        ),
        (
            "inputs",
            {"name": "video", "s3": {"endpoint": "http://minio:9000", "bucket": "b", "key": "k"}},
            f"{IN}.s3.endpoint: this can't be used",
        ),
        (
            "inputs",
            {"name": "video", "s3": {"endpoint": "e", "bucket": "b", "key": "k", "accessKeySecret": {"name": "minio"}}},
            f"{IN}.s3.accessKeySecret.key: this can't be used",
        ),
        ("outputs", {"name": "annotated", "s3": {"key": "{{x.y}}/a"}}, f"{OUT}.s3.key: {{{{x.y}}}} is not known here"),
    ],
)
def test_a_place_that_chains_cannot_use(lone: Any, side: str, artifact: Json, says: str) -> None:
    lone.template[side]["artifacts"] = [artifact]
    assert message(lone).startswith(says)


def test_a_repository_that_is_of_no_use(lone: Any) -> None:
    reference = lone.workflow["status"]["artifactRepositoryRef"]
    reference["artifactRepository"] = {"gcs": {"bucket": "b"}}
    assert "the Workflow's artifact repository is gcs: give endpoint, bucket and key" in message(lone)
    reference["artifactRepository"] = None
    assert "the Workflow has no artifact repository" in message(lone)
    assert "the Workflow can't be read" in lone.decide(workflow=None).result["message"]
    reference["artifactRepository"] = {"s3": {**REPOSITORY["s3"], "roleARN": "arn:x"}}
    assert "inputs.artifacts[0].s3.roleARN: this is not supported" in message(lone)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ({"uri": "file:///out/a.mp4"}, "file:///out/a.mp4 is no place that Argo reads from"),
        ({"uri": "s3://elsewhere/a.mp4", "credentialsRef": {"name": "s"}}, "a credentialsRef does not tell Argo"),
    ],
)
def test_an_artifact_that_argo_could_not_find(lone: Any, address: Json, says: str) -> None:
    lone.template["outputs"]["artifacts"] = [{"name": "annotated"}]
    lone.spec["outputs"] = {"annotated": address}
    assert message(lone).startswith(f"{OUT}: {says}")
