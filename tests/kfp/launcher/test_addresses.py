# SPDX-License-Identifier: Apache-2.0
"""Where a task's artifacts are: as KFP's own launcher finds it out in a cluster, and as files of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.addresses import addresses, whole
from accelchain.kfp.launcher.errors import LaunchError
from accelchain.kfp.launcher.task import task_of

JsonObject = dict[str, Any]
PAYLOAD = Payload(
    name="c", spec={}, inputs={"video": {"artifact": "video"}}, outputs={"lines": {"artifact": "lines", "ending": ".x"}}
)
SECRET = "mlpipeline-minio-artifact"
KEYS = {
    "accessKeySecret": {"name": SECRET, "key": "accesskey"},
    "secretKeySecret": {"name": SECRET, "key": "secretkey"},
}


def found(uri: str, providers: JsonObject | None = None, folder: Path | None = None) -> JsonObject:
    """Return the address of an output artifact."""
    told = {
        "inputs": {"artifacts": {"video": {"artifacts": [{"name": "video", "uri": uri}]}}},
        "outputs": {"artifacts": {"lines": {"artifacts": [{"name": "lines", "uri": uri}]}}, "outputFile": "/o"},
    }
    store = None if providers is None else {"providers": yaml.safe_dump(providers)}
    inputs, outputs = addresses(PAYLOAD, task_of(json.dumps(told), PAYLOAD), store, folder)
    assert inputs["video"] == {**outputs["lines"], "uri": outputs["lines"]["uri"].removesuffix(".x")}
    return outputs["lines"]


def test_a_store_that_nobody_described_is_the_one_that_kfp_brings() -> None:
    assert found("minio://mlpipeline/v2/a") == {
        "uri": "s3://mlpipeline/v2/a.x",
        "s3": {"endpoint": "seaweedfs.kubeflow:9000", "insecure": True, **KEYS},
    }


def test_s3_without_a_word_is_amazons_with_the_workers_own_rights() -> None:
    assert found("s3://bucket/a") == {"uri": "s3://bucket/a.x"}


@pytest.mark.parametrize(
    ("default", "place"),
    [
        ({"endpoint": "s3.here:9000", "disableSSL": True}, {"endpoint": "s3.here:9000", "insecure": True, **KEYS}),
        ({"endpoint": "http://s3.here:9000/"}, {"endpoint": "s3.here:9000", "insecure": True, **KEYS}),
        ({"endpoint": "https://s3.here"}, {"endpoint": "s3.here", **KEYS}),
        ({"endpoint": "s3.here", "region": "eu-1"}, {"endpoint": "s3.here", "region": "eu-1", **KEYS}),
        ({"endpoint": "s3.here", "region": "minio"}, {"endpoint": "s3.here", **KEYS}),
        ({"endpoint": "s3.here", "credentials": {"fromEnv": True}}, {"endpoint": "s3.here"}),
        (
            {"credentials": {"secretRef": {"secretName": "own", "accessKeyKey": "a", "secretKeyKey": "b"}}},
            {"accessKeySecret": {"name": "own", "key": "a"}, "secretKeySecret": {"name": "own", "key": "b"}},
        ),
    ],
)
def test_a_default_of_the_config_map(default: JsonObject, place: JsonObject) -> None:
    assert found("s3://bucket/a", {"s3": {"default": default}})["s3"] == place


def test_an_override_holds_for_its_bucket_and_prefix() -> None:
    override = {"bucketName": "bucket", "keyPrefix": "v2/", "endpoint": "there"}
    providers = {"s3": {"default": {"endpoint": "here"}, "Overrides": [override]}}
    assert found("s3://bucket/v2/a", providers)["s3"]["endpoint"] == "there"
    assert found("s3://bucket/v1/a", providers)["s3"]["endpoint"] == "here"
    assert found("s3://other/v2/a", providers)["s3"]["endpoint"] == "here"


@pytest.mark.parametrize("uri", ["gs://bucket/a", "/a/folder", "oci://registry/a"])
def test_what_functions_can_not_reach_is_named(uri: str) -> None:
    with pytest.raises(LaunchError, match="s3://") as caught:
        found(uri)
    assert caught.value.code == 2


def test_files_of_this_machine_may_be_relative(tmp_path: Path) -> None:
    assert found("runs/a", folder=tmp_path)["uri"] == f"file://{tmp_path}/runs/a.x"
    assert found("/runs/a", folder=tmp_path)["uri"] == "file:///runs/a.x"


def test_a_manifest_may_have_paths_of_this_machine(tmp_path: Path) -> None:
    spec = {"inputs": {"a": {"uri": "b.mp4"}, "c": {"uri": "s3://x/y"}}, "chainRef": {"name": "c"}}
    assert whole(spec, tmp_path)["inputs"] == {"a": {"uri": f"file://{tmp_path}/b.mp4"}, "c": {"uri": "s3://x/y"}}
    assert whole(spec, None) is spec
    assert spec["inputs"]["a"]["uri"] == "b.mp4", "what is given is not changed"


def test_providers_that_are_no_yaml_are_named() -> None:
    told = {"outputs": {"artifacts": {"lines": {"artifacts": [{"uri": "s3://a/b"}]}}}}
    payload = Payload(name="c", spec={}, outputs={"lines": {"artifact": "lines"}})
    with pytest.raises(LaunchError, match="kfp-launcher: providers"):
        addresses(payload, task_of(json.dumps(told), payload), {"providers": "{"}, None)
