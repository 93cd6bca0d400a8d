# SPDX-License-Identifier: Apache-2.0
"""A confined worker as a cluster runs it: its plan's volumes and credentials, its exit code, and what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import av
import pytest

from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.reach import Bucket, ReachError, reach_of

SECRET = "a-secret-that-is-never-shown"


@pytest.fixture
def work(tmp_path, clips):
    """``work(source, sink, environment, **plan)`` runs decode-video and encode-video; returns code, status and log."""

    def run(source, sink, environment, **plan):
        document = {
            "apiVersion": "plan.accelchain.io/v1",
            "flow": {"name": "copy"},
            "devices": [{"name": "host", "api": "host"}],
            "functions": [
                {"name": "decode", "type": "decode-video", "implementation": "host", "device": "host",
                 "parameters": {"uri": source, "timeout": 3}, "origins": {"uri": "spec.inputs.video.uri"}},
                {"name": "encode", "type": "encode-video", "implementation": "host", "device": "host",
                 "parameters": {"uri": sink}, "origins": {"uri": "spec.outputs.video.uri"}},
            ],
            "connections": [
                {"from": {"function": "decode", "port": "frames"}, "to": {"function": "encode", "port": "frames"}}
            ],
            "confined": True,
            **plan,
        }  # fmt: skip
        (tmp_path / "plan.json").write_text(json.dumps(document))
        end = tmp_path / "end.json"
        command = [sys.executable, "-m", "accelchain_runtime.worker", "--plan", tmp_path / "plan.json"]
        worker = subprocess.run(
            [*command, "--termination-log", end],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return worker.returncode, json.loads(end.read_text()), worker.stdout + worker.stderr

    return run


@pytest.fixture
def volumes(tmp_path, clips):
    (tmp_path / "claim").mkdir()
    volume = {"mountPath": "/data", "readOnly": True, "environment": "ACCELCHAIN_VOLUME_0"}
    written = {"mountPath": "/out", "readOnly": False, "environment": "ACCELCHAIN_VOLUME_1"}
    environment = {"ACCELCHAIN_VOLUME_0": str(clips), "ACCELCHAIN_VOLUME_1": str(tmp_path / "claim")}
    return [volume, written], environment


def test_from_a_volume_to_another(work, volumes, tmp_path):
    found, environment = volumes
    code, status, log = work("file:///data/clip.mp4", "file:///out/copy.mp4", environment, volumes=found)
    assert (code, status["phase"]) == (0, "Succeeded"), log
    with av.open(str(tmp_path / "claim" / "copy.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 20


def test_from_a_bucket_to_a_bucket(work, s3, s3_secret, clips):
    s3.put("whole/in.mp4", (clips / "tail.mp4").read_bytes())
    source, sink = "s3://videos/whole/in.mp4", "s3://videos/whole/out.mp4"
    credentials = [{"uri": uri, "folder": "ACCELCHAIN_CREDENTIALS_0"} for uri in (source, sink)]
    code, _, log = work(
        source,
        sink,
        {"ACCELCHAIN_CREDENTIALS_0": str(s3_secret)},
        credentials=credentials,
        allow=[f"127.0.0.1:{s3.port}"],
    )
    assert code == 0, log
    body = s3.get("whole/out.mp4")
    assert body is not None and body[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("file:///etc/passwd", "in no volume"),
        ("file:///data/../../etc/passwd", "not allowed"),
        ("http://127.0.0.1:1/a.mp4", "loopback"),
        ("http://me:a-secret-that-is-never-shown@169.254.169.254/a?x=a-secret-that-is-never-shown", "link-local"),
        ("rtsp://me:a-secret-that-is-never-shown@[::1]/a", "loopback"),
    ],
)
def test_the_user_is_told_which_field_is_wrong(work, volumes, source, sentence):
    found, environment = volumes
    code, status, log = work(source, "file:///out/copy.mp4", environment, volumes=found)
    assert (code, status["reason"], status["parameter"]) == (2, "InvalidInput", "spec.inputs.video.uri")
    assert sentence in status["message"]
    assert SECRET not in json.dumps(status) + log


def test_a_server_that_breaks_off_is_no_fault_of_the_user_s(work, volumes, serve, answer):
    found, environment = volumes
    port = serve(lambda handler: answer(handler, b"", 503))
    code, status, log = work(
        f"http://127.0.0.1:{port}/a.mp4", "file:///out/copy.mp4", environment, volumes=found, allow=["127.0.0.1"]
    )
    assert (code, status["reason"]) == (1, "FunctionFailed"), log
    assert "503" in status["message"]


def test_folders_are_looked_up_in_the_environment():
    plan = Plan.model_validate(
        {
            "flow": {"name": "x"},
            "devices": [{"name": "host", "api": "host"}],
            "functions": [{"name": "f", "type": "copy", "implementation": "host", "device": "host"}],
            "volumes": [{"mountPath": "/data", "readOnly": True, "environment": "ACCELCHAIN_VOLUME_0"}],
            "credentials": [
                {"uri": "s3://b/k", "folder": "ACCELCHAIN_CREDENTIALS_0"},
                {"uri": "s3://c/k", "s3": {"endpoint": "minio:9000", "insecure": True}},
                {"uri": "s3://d/k", "s3": {"endpoint": "s3.amazonaws.com", "region": "eu-west-1"}},
            ],
        }
    )
    reach = reach_of(plan, {"ACCELCHAIN_VOLUME_0": "/pods/1/data", "ACCELCHAIN_CREDENTIALS_0": "/pods/1/secret"})
    assert (str(reach.volumes[0].folder), reach.volumes[0].mount, reach.volumes[0].read_only) == (
        "/pods/1/data",
        "/data",
        True,
    )
    assert str(reach.credentials["s3://b/k"]) == "/pods/1/secret"
    assert reach.buckets == {"s3://c/k": Bucket("http://minio:9000"), "s3://d/k": Bucket("", "eu-west-1")}
    with pytest.raises(ReachError, match="ACCELCHAIN_VOLUME_0"):
        reach_of(plan, {"ACCELCHAIN_CREDENTIALS_0": "/x"})
