# SPDX-License-Identifier: Apache-2.0
"""Objects in S3, read and written on a real server by a confined worker."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from accelchain_runtime.engine.function import FrameInfo, InputError, TensorSpec
from accelchain_runtime.engine.reach import Bucket, Reach
from accelchain_runtime.functions.encode_video.host import EncodeVideo
from accelchain_runtime.functions.files import WriteError
from accelchain_runtime.functions.publication import open_sink
from accelchain_runtime.functions.remote.failures import Refused, Unavailable

ALLOW = "127.0.0.0/8"


@pytest.fixture
def opened(context):
    sinks = []

    def start(uri, reach, **others):
        sinks.append(open_sink(uri, context(uri, reach, **others)))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.discard()


@pytest.mark.parametrize("name", ["clip.mp4", "tail.mp4", "clip.ts"])
def test_a_video_is_read_from_a_bucket(s3, s3_secret, reach, decode, clips, name):
    s3.put(f"in/{name}", (clips / name).read_bytes())
    uri = f"s3://videos/in/{name}"
    decoded = decode(uri, reach(uri, s3_secret, ALLOW))
    assert (len(decoded.pictures), decoded.warning) == (20, None)


def test_the_flow_itself_may_say_where_the_bucket_is(s3, secret, clips, decode):
    s3.put("in/flow.mp4", (clips / "clip.mp4").read_bytes())
    uri = "s3://videos/in/flow.mp4"
    bucket = {uri: Bucket(s3.endpoint, "us-east-1")}
    folder = secret(accessKeyId="AKIDTESTACCELCHAIN", secretAccessKey="a-secret-that-is-never-shown")
    assert len(decode(uri, Reach(True, (), {uri: folder}, (ALLOW,), bucket)).pictures) == 20
    with pytest.raises(InputError, match="access is denied"):
        decode(uri, Reach(True, (), {}, (ALLOW,), bucket))
    with pytest.raises(InputError, match="sessionToken is empty"):
        decode(uri, Reach(True, (), {uri: secret(sessionToken="")}, (ALLOW,), bucket))


def test_a_key_is_taken_literally(s3, s3_secret, reach, decode, clips):
    key = "in/ä 100%25 a+b?c#d.mp4"
    s3.put(key, (clips / "clip.mp4").read_bytes())
    assert len(decode(f"s3://videos/{key}", reach(f"s3://videos/{key}", s3_secret, ALLOW)).pictures) == 20


def test_the_laptop_user_s_environment_is_used_where_nothing_else_is_given(s3, decode, clips, monkeypatch):
    s3.put("in/own.mp4", (clips / "clip.mp4").read_bytes())
    own = s3.client.meta.endpoint_url
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTACCELCHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-never-shown")
    monkeypatch.setenv("AWS_ENDPOINT_URL", own)
    assert len(decode("s3://videos/in/own.mp4", Reach()).pictures) == 20


def test_a_confined_worker_does_not_use_the_machine_s_credentials(s3, reach, secret, decode, clips, monkeypatch):
    s3.put("in/own.mp4", (clips / "clip.mp4").read_bytes())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTACCELCHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-never-shown")
    uri = "s3://videos/in/own.mp4"
    with pytest.raises(InputError, match="access is denied"):
        decode(uri, reach(uri, secret(endpoint=s3.endpoint), ALLOW))


@pytest.mark.parametrize(
    ("uri", "keys", "sentence"),
    [
        ("s3://videos/nothing.mp4", {}, "no object of this key"),
        ("s3://nobucket/a.mp4", {}, "no such bucket"),
        ("s3://videos/ready", {"accessKeyId": "AKIDUNKNOWN"}, "does not know the access key"),
        ("s3://videos/ready", {"secretAccessKey": "wrong-secret-value"}, "secret access key is wrong"),
        ("s3://videos/ready", {"secretAccessKey": ""}, "accessKeyId, but not secretAccessKey"),
        ("s3://videos/ready", {"endpoint": "file:///etc/passwd"}, "endpoint"),
        ("s3://videos/ready", {"endpoint": "http://127.0.0.1:1"}, "nothing listens there"),
        ("s3://videos/ready", {"endpoint": "http://me:pw@127.0.0.1/x"}, "more than"),
        ("s3://videos/ready", {"endpoint": "http://169.254.169.254"}, "link-local"),
        ("s3://videos/ready", {"endpoint": "http://0xA9FEA9FE"}, "link-local"),
        ("s3://videos/ready", {"region": "x.evil.example/"}, "[Rr]egion"),
        ("s3://videos/ready", {"ca_crt": "no certificate"}, "ca.crt"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(s3, reach, secret, decode, caplog, uri, keys, sentence):
    caplog.set_level(logging.DEBUG, "accelchain_runtime")
    given = {"accessKeyId": "AKIDTESTACCELCHAIN", "secretAccessKey": "a-secret-that-is-never-shown"}
    folder = secret(**(given | {"endpoint": s3.endpoint} | keys))
    with pytest.raises(InputError, match=sentence) as caught:
        decode(uri, reach(uri, folder, ALLOW))
    assert caught.value.parameter == "uri"
    for text in (str(caught.value), caplog.text):
        assert "never-shown" not in text and "wrong-secret" not in text


def test_an_endpoint_that_answers_without_end_fills_no_memory(serve, secret, reach, decode):
    def endless(handler):
        handler.close_connection = True
        handler.send_response(404)
        handler.end_headers()
        while True:  # until the reader has gone
            handler.wfile.write(b"x" * 1_000_000)

    uri = "s3://videos/ready"
    folder = secret(accessKeyId="a", secretAccessKey="b", endpoint=f"http://127.0.0.1:{serve(endless)}")
    with pytest.raises(Unavailable, match="larger than any"):
        decode(uri, reach(uri, folder, ALLOW))


def test_an_endpoint_that_redirects_leads_nowhere(serve, answer, secret, reach, decode):
    def redirect(handler):
        answer(handler, b"", 307, Location="http://169.254.169.254/latest", x_amz_bucket_region="evil.example/")

    uri = "s3://videos/ready"
    folder = secret(accessKeyId="a", secretAccessKey="b", endpoint=f"http://127.0.0.1:{serve(redirect)}")
    with pytest.raises(InputError, match=r"307|[Rr]egion"):
        decode(uri, reach(uri, folder, ALLOW))


@pytest.mark.parametrize(
    "uri", ["s3://videos/../other/x", "s3://videos/a//b", "s3://videos/./x", "s3://a@b/x", "s3://"]
)
def test_addresses_that_would_end_elsewhere_are_refused(reach, decode, uri):
    with pytest.raises(InputError):
        decode(uri, reach())


@pytest.mark.parametrize("size", [0, 10, 20 << 20])
def test_a_result_is_seen_when_it_is_published(s3, s3_secret, reach, opened, size):
    uri, body = f"s3://videos/out/{size}.jsonl", os.urandom(size)
    s3.put(f"out/{size}.jsonl", b"an earlier one")
    sink = opened(uri, reach(uri, s3_secret, ALLOW))
    sink.file.write(body)
    assert sink.complete() == size
    assert s3.get(f"out/{size}.jsonl") == b"an earlier one"
    sink.publish()
    assert s3.get(f"out/{size}.jsonl") == body
    assert s3.uploads(f"out/{size}.jsonl") == []


def test_a_discarded_result_leaves_nothing(s3, s3_secret, reach, opened):
    uri = "s3://videos/out/discarded.jsonl"
    sink = opened(uri, reach(uri, s3_secret, ALLOW))
    sink.file.write(b"x" * 1000)
    sink.complete()
    assert len(s3.uploads("out/discarded.jsonl")) == 1
    sink.discard()
    assert (s3.get("out/discarded.jsonl"), s3.uploads("out/discarded.jsonl")) == (None, [])


def test_a_newer_attempt_takes_the_place_of_an_older_one(s3, s3_secret, reach, opened):
    uri = "s3://videos/out/taken.jsonl"
    older = opened(uri, reach(uri, s3_secret, ALLOW))
    older.file.write(b"older")
    older.complete()
    newer = opened(uri, reach(uri, s3_secret, ALLOW), attempt=2)
    newer.file.write(b"newer")
    newer.complete()
    with pytest.raises(WriteError, match="another attempt has taken its place"):
        older.publish()
    newer.publish()
    assert (s3.get("out/taken.jsonl"), s3.uploads("out/taken.jsonl")) == (b"newer", [])


def test_attempts_of_a_stream_have_objects_of_their_own(s3, s3_secret, reach, opened):
    uri = "s3://videos/out/stream.jsonl"
    sink = opened(uri, reach(uri, s3_secret, ALLOW), attempt=2, mode="Stream")
    sink.complete()
    sink.publish()
    assert s3.get("out/stream.2.jsonl") == b""


def test_a_killed_worker_leaves_an_upload_that_the_next_attempt_aborts(s3, s3_secret, reach, opened):
    uri = "s3://videos/out/killed.jsonl"
    code = """
        import sys, time
        from pathlib import Path
        from accelchain_runtime.devices.base import HostDevice
        from accelchain_runtime.engine.function import SetupContext
        from accelchain_runtime.engine.reach import Bucket, Reach
        from accelchain_runtime.functions.publication import open_sink
        uri, folder = sys.argv[1:]
        reach = Reach(True, (), {uri: Path(folder)}, ("127.0.0.0/8",))
        sink = open_sink(uri, SetupContext("step", {"uri": uri}, {}, HostDevice(), reach=reach))
        sink.file.write(b"x" * 1000)
        sink.complete()
        print("completed", flush=True)
        time.sleep(60)
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), uri, str(s3_secret)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "completed\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    assert (s3.get("out/killed.jsonl"), len(s3.uploads("out/killed.jsonl"))) == (None, 1)
    sink = opened(uri, reach(uri, s3_secret, ALLOW), attempt=2)
    assert len(s3.uploads("out/killed.jsonl")) == 1
    sink.complete()
    sink.publish()
    assert s3.uploads("out/killed.jsonl") == []


def test_uploads_of_other_keys_are_left_alone(s3, s3_secret, reach, opened):
    first, second = "s3://videos/out/same.jsonl", "s3://videos/out/same.jsonl.more"
    opened(second, reach(second, s3_secret, ALLOW))
    opened(first, reach(first, s3_secret, ALLOW))
    assert len(s3.uploads("out/same.jsonl.more")) == 1


def test_credentials_are_read_again_when_they_are_rotated(s3, s3_secret, reach, opened):
    uri = "s3://videos/out/rotated.jsonl"
    sink = opened(uri, reach(uri, s3_secret, ALLOW))
    (s3_secret / "secretAccessKey").write_text("rotated-away")
    with pytest.raises(WriteError, match="secret access key is wrong"):
        sink.complete()
    (s3_secret / "secretAccessKey").write_text("a-secret-that-is-never-shown")


def test_a_video_is_encoded_into_a_bucket(s3, s3_secret, reach, decode, context):
    uri = "s3://videos/out/made.mp4"
    rules = reach(uri, s3_secret, ALLOW)
    sink = EncodeVideo()
    sink.setup(context(uri, rules, inputs={"frames": TensorSpec((48, 64, 3))}, source_rate=10.0))
    for number in range(5):
        picture = SimpleNamespace(array=np.full((48, 64, 3), 40 * number, np.uint8))
        sink.enqueue(FrameInfo(number, number / 10, (64, 48)), {"frames": picture}, {}, None, ())
    assert sink.finish()["frames"] == 5
    sink.publish()
    sink.close()
    assert len(decode(uri, rules).pictures) == 5


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(s3, s3_secret, reach, clips):
    from accelchain_runtime.functions.addresses import parse
    from accelchain_runtime.functions.remote.sources import open_source

    uri = "s3://videos/in/replaced"
    s3.put("in/replaced", b"a" * 4_000_000)
    source = open_source(parse(uri, ("s3",)), uri, reach(uri, s3_secret, ALLOW), 3)
    assert source.file.read(10) == b"a" * 10
    s3.put("in/replaced", b"b" * 4_000_000)
    source.file.seek(3_000_000)
    assert source.file.read(10) == b""
    assert isinstance(source.failure, Refused) and "replaced" in str(source.failure)
    source.close()
