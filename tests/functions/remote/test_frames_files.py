# SPDX-License-Identifier: Apache-2.0
"""load-frames, load-detections, save-frames, save-detections: a port's file, read and written at an address."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelchain_runtime.engine.function import (
    EndOfStream,
    FrameInfo,
    FunctionError,
    InputError,
    SetupContext,
    SourceInfo,
    TensorSpec,
)
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.files import WriteError
from accelchain_runtime.functions.frames_file import FramesReader, FramesWriter, Header
from accelchain_runtime.functions.load_detections.host import LoadDetections
from accelchain_runtime.functions.load_frames.host import LoadFrames
from accelchain_runtime.functions.save_detections.host import SaveDetections
from accelchain_runtime.functions.save_frames.host import SaveFrames
from accelchain_runtime.registry import find
from accelchain_runtime.step.__main__ import main

ALLOW = "127.0.0.0/8"
SPECS = {"frames": TensorSpec((6, 8, 3)), "detections": TensorSpec((100, 6), "float32")}
SOURCE = SourceInfo((64, 48), 12.5)
LOADS: dict[str, Any] = {"frames": LoadFrames, "detections": LoadDetections}
SAVES: dict[str, Any] = {"frames": SaveFrames, "detections": SaveDetections}
KINDS = pytest.mark.parametrize("kind", ["frames", "detections"])


def arrays(kind: str, count: int = 3) -> list[Any]:
    spec, noise = SPECS[kind], np.random.default_rng(7)
    return [(noise.random(spec.shape) * 255).astype(spec.dtype) for _ in range(count)]


def file_of(kind: str, frames: list[Any], *, as_kind: str = "") -> bytes:
    """A file whose frames have times that are not even, and a key of the user's own."""
    file = io.BytesIO()
    spec = TensorSpec(frames[0].shape, str(frames[0].dtype))
    writer = FramesWriter(file, Header(as_kind or kind, spec, SOURCE))
    for number, array in enumerate(frames):
        writer.write(FrameInfo(number, number**2 / 7, (64, 48), {"camera": "north"}), array)
    writer.end()
    return file.getvalue()


class Slot:
    def __init__(self, array):
        self.array = array


@pytest.fixture
def load(context):
    """``load(kind, uri, reach)``: the source that was set up, its spec, and all (frame, array) that it gives."""
    sources = []

    def run(kind: str, uri: str, reach: Reach | None = None, **others: Any) -> tuple[Any, list[tuple[FrameInfo, Any]]]:
        source = LOADS[kind]()
        sources.append(source)
        [(port, spec)] = source.setup(context(uri, reach or Reach(), parameters={"timeout": 2}, **others)).items()
        assert port == kind
        given = []
        while True:
            frame = FrameInfo(others.get("start_frame", 0) + len(given), 0.0, (0, 0))
            slot = Slot(np.zeros(spec.shape, spec.dtype))
            try:
                source.enqueue(frame, {}, {port: slot}, None, ())
            except EndOfStream:
                return source, given
            given.append((frame, slot.array))

    yield run
    for source in sources:
        source.close()


@pytest.fixture
def save(context):
    """``save(kind, uri, reach)`` is a sink that was set up."""
    sinks = []

    def start(kind: str, uri: str, reach: Reach | None = None, spec: TensorSpec | None = None, **others: Any) -> Any:
        sink = SAVES[kind]()
        sinks.append(sink)
        size, rate = SOURCE.size, SOURCE.rate
        inputs = {kind: spec or SPECS[kind]}
        told: SetupContext = context(uri, reach or Reach(), inputs=inputs, source_size=size, source_rate=rate, **others)
        assert sink.setup(told) == {}
        return sink

    yield start
    for sink in sinks:
        sink.close(discard=True)


def write(sink: Any, kind: str, frames: list[tuple[FrameInfo, Any]]) -> None:
    for frame, array in frames:
        sink.enqueue(frame, {kind: Slot(array)}, {}, None, ())


@KINDS
@pytest.mark.parametrize("place", ["file", "s3"])
def test_what_is_loaded_and_saved_is_the_same_to_the_byte(kind, place, tmp_path, s3, s3_secret, reach, load, save):
    body = file_of(kind, arrays(kind))
    if place == "file":
        source, target, rules = (tmp_path / "in").as_uri(), (tmp_path / "out").as_uri(), Reach()
        (tmp_path / "in").write_bytes(body)
        read = (tmp_path / "out").read_bytes
    else:
        source, target = f"s3://videos/{kind}/in", f"s3://videos/{kind}/out"
        s3.put(f"{kind}/in", body)
        rules = Reach(True, (), {source: s3_secret, target: s3_secret}, (ALLOW,))
        read = lambda: s3.get(f"{kind}/out")  # noqa: E731
    loaded, given = load(kind, source, rules)
    assert loaded.info == SourceInfo((64, 48), 12.5, 3, recorded=True)
    sink = save(kind, target, rules)
    write(sink, kind, given)
    assert sink.finish() == {"frames": 3}
    with pytest.raises(FileNotFoundError) if place == "file" else pytest.MonkeyPatch.context():
        assert read() is None, "seen before it is published"
    sink.publish()
    sink.close()
    assert read() == body


@KINDS
def test_a_step_s_file_goes_in_and_a_step_takes_what_comes_out(kind, tmp_path, capsys):
    """What component Pods hand over, read and written by ``accelchain step`` on either side."""
    body = file_of(kind, arrays(kind))
    (tmp_path / "in").write_bytes(body)
    for line in (
        f"load-{kind} --uri {tmp_path}/in --output {kind}={tmp_path}/between",
        f"save-{kind} --input {kind}={tmp_path}/between --uri {tmp_path}/out",
    ):
        assert main(line.split()) == 0, capsys.readouterr().err
    assert (tmp_path / "between").read_bytes() == body == (tmp_path / "out").read_bytes()


@KINDS
def test_they_are_found_as_the_manifest_says(kind):
    found = {folder.name: folder for folder in find()}
    source, sink = found[f"load-{kind}"], found[f"save-{kind}"]
    assert (source.spec["role"], sink.spec["role"]) == ("source", "sink")
    [output], [taken] = source.outputs, sink.inputs
    assert output == taken
    assert (output["name"], output["type"], output["dtype"]) == (kind, kind, SPECS[kind].dtype)
    formats = [each.parameters[0]["format"] for each in (source, sink)]
    assert formats == ["uri-input", "uri-output"]


def test_an_http_server_s_file_is_read(serve, answer, reach, load):
    body = file_of("frames", arrays("frames"))
    port = serve(lambda handler: answer(handler, body))
    uri = f"http://127.0.0.1:{port}/decoded"
    assert len(load("frames", uri, reach(uri, None, ALLOW))[1]) == 3
    with pytest.raises(InputError, match="loopback"):
        load("frames", uri, reach(uri))


def test_an_attempt_goes_on_where_the_one_before_ended(tmp_path, load):
    frames = arrays("frames")
    (tmp_path / "in").write_bytes(file_of("frames", frames))
    source, [(frame, array)] = load("frames", str(tmp_path / "in"), start_frame=2)
    assert source.info.frames == 1
    assert (frame.number, frame.time, frame.source_size, frame.meta) == (2, 4 / 7, (64, 48), {"camera": "north"})
    np.testing.assert_array_equal(array, frames[2])
    assert load("frames", str(tmp_path / "in"), start_frame=9)[1] == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda body: b"", "no frames file"),
        (lambda body: b"\0" * 200, "no frames file"),
        (lambda body: body[:8] + b"\x09" + body[9:], "of version 9"),
        (lambda body: body[:16] + b"\xff" * 8 + body[24:], "never finished"),
        (lambda body: body[:24] + b"{" * 40 + body[64:], "its header is damaged"),
        (lambda body: body[:-1], "truncated or damaged at frame 2 of 3"),
        (lambda body: body + b"x", "goes on after its last frame"),
        (lambda body: body.replace(b'"number": 1', b'"number": 7'), "frame 7 stands where frame 1 is wanted"),
    ],
    ids=["empty", "zeros", "version", "unfinished", "header", "cut", "longer", "numbers"],
)
def test_a_damaged_file_is_the_user_s_and_named(tmp_path, load, change, sentence):
    (tmp_path / "in").write_bytes(change(file_of("frames", arrays("frames"))))
    with pytest.raises(InputError, match=sentence) as caught:
        load("frames", str(tmp_path / "in"))
    assert caught.value.parameter == "uri"
    assert str(caught.value).startswith(f"{tmp_path}/in: ")


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        ("frames", file_of("detections", arrays("detections"))),
        ("detections", file_of("frames", arrays("frames"))),
        ("frames", file_of("frames", arrays("frames"), as_kind="tensor")),
        ("frames", file_of("frames", [np.zeros((6, 8, 1), np.uint8)])),
        ("frames", file_of("frames", [np.zeros((6, 8, 3), np.float32)])),
        ("detections", file_of("detections", [np.zeros((10, 6), np.float32)])),
    ],
    ids=["detections", "frames", "kind", "grey", "dtype", "rows"],
)
def test_a_file_of_something_else_is_refused(tmp_path, load, wanted, body):
    (tmp_path / "in").write_bytes(body)
    with pytest.raises(InputError, match=rf"it carries .*, not {wanted} \(") as caught:
        load(wanted, str(tmp_path / "in"))
    assert caught.value.parameter == "uri"


@pytest.mark.parametrize("name", ["none", "folder", "pipe"])
@pytest.mark.parametrize("confined", [True, False])
def test_what_is_no_file_is_refused_and_nobody_waits(tmp_path, reach, load, name, confined):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    rules = reach(volumes=[(str(tmp_path), tmp_path, False)]) if confined else Reach()
    with pytest.raises(InputError, match=r"[Nn]o such file|is a folder|no regular file"):
        load("frames", str(tmp_path / name), rules)


@pytest.mark.parametrize("function", [LoadFrames, SaveDetections])
@pytest.mark.parametrize("uri", ["relative", "rtsp://camera/x", "s3://bucket", "", "file:///etc/passwd"])
def test_confined_functions_open_what_the_flow_names_only(tmp_path, context, reach, function, uri):
    made = function()
    try:
        with pytest.raises(InputError) as caught:
            made.setup(context(uri, reach(), inputs={"detections": SPECS["detections"]}))
        assert caught.value.parameter == "uri"
    finally:
        made.close(discard=True)


def test_a_server_that_breaks_off_is_no_damage(serve, reach, load):
    """The frames are not taken for truncated: another attempt may help."""
    body = file_of("frames", arrays("frames"))

    def answer(handler):
        handler.close_connection = True
        if handler.headers.get("Range", "bytes=0-") != "bytes=0-":
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])

    uri = f"http://127.0.0.1:{serve(answer)}/decoded"
    with pytest.raises(Exception, match=r"broke off|503") as caught:
        load("frames", uri, reach(uri, None, ALLOW))
    assert not isinstance(caught.value, InputError)


def test_a_server_that_is_down_may_come_back(serve, answer, reach, load):
    uri = f"http://127.0.0.1:{serve(lambda handler: answer(handler, b'', 503))}/decoded"
    with pytest.raises(FunctionError, match="503"):
        load("frames", uri, reach(uri, None, ALLOW))


@KINDS
def test_another_input_than_the_manifest_s_is_refused(tmp_path, save, kind):
    with pytest.raises(InputError, match=f"input {kind} must be"):
        save(kind, str(tmp_path / "out"), spec=TensorSpec((3, 4), "int16"))
    assert os.listdir(tmp_path) == []


def test_keys_that_are_no_json_are_named(tmp_path, save):
    sink = save("frames", str(tmp_path / "out"))
    with pytest.raises(FunctionError, match="what travels with frame 0 can't be kept"):
        sink.enqueue(FrameInfo(0, 0.0, (8, 6), {"x": object()}), {"frames": Slot(arrays("frames")[0])}, {}, None, ())


@pytest.mark.parametrize("place", ["file", "s3"])
def test_an_aborted_run_leaves_nothing_and_the_earlier_result_stays(place, tmp_path, s3, s3_secret, reach, save):
    uri = str(tmp_path / "out") if place == "file" else "s3://videos/aborted"
    if place == "file":
        (tmp_path / "out").write_bytes(b"earlier")
    s3.put("aborted", b"earlier")
    sink = save("frames", uri, reach(uri, s3_secret, ALLOW, confined=place == "s3"))
    write(sink, "frames", [(FrameInfo(0, 0.0, (8, 6)), arrays("frames")[0])])
    sink.finish()
    sink.close(discard=True)
    assert s3.get("aborted") == b"earlier"
    assert s3.uploads("aborted") == []
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir() if path.is_file()] == (
        [("out", b"earlier")] if place == "file" else []
    )


def test_an_upload_to_a_server_that_stalls_ends_with_a_reason(serve, answer, reach, save, monkeypatch):
    """A slow server ends the flow, it does not hang it; what was there before is not touched."""
    from accelchain_runtime.functions.remote import sinks

    monkeypatch.setattr(sinks, "_SECONDS", 0.5)
    stop, asked = threading.Event(), []

    def stalling(handler):
        asked.append(handler.command)
        if handler.command == "PUT":
            stop.wait(30)
            return
        answer(handler, b"")

    uri = f"http://127.0.0.1:{serve(stalling)}/out"
    try:
        sink = save("frames", uri, reach(uri, None, ALLOW))
        write(sink, "frames", [(FrameInfo(0, 0.0, (8, 6)), arrays("frames")[0])])
        with pytest.raises(WriteError, match=r"can't write 127\.0\.0\.1: no answer within"):
            sink.finish()
            sink.publish()
    finally:
        stop.set()
    assert "PUT" in asked


def test_a_whole_confined_worker_from_a_bucket_to_a_volume(s3, s3_secret, tmp_path):
    body = file_of("detections", arrays("detections"))
    s3.put("whole/found", body)
    (tmp_path / "claim").mkdir()
    source = "s3://videos/whole/found"
    parts = [("load", "load-detections", source), ("save", "save-detections", "file:///out/found")]
    plan = {
        "apiVersion": "plan.accelchain.io/v1",
        "flow": {"name": "copy"},
        "devices": [{"name": "host", "api": "host"}],
        "functions": [
            {"name": name, "type": kind, "implementation": "host", "device": "host", "parameters": {"uri": uri}}
            for name, kind, uri in parts
        ],
        "connections": [
            {"from": {"function": "load", "port": "detections"}, "to": {"function": "save", "port": "detections"}}
        ],
        "confined": True,
        "volumes": [{"mountPath": "/out", "readOnly": False, "environment": "OUT"}],
        "credentials": [{"uri": source, "folder": "KEYS"}],
        "allow": [f"127.0.0.1:{s3.port}"],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "accelchain_runtime.worker", "--plan", tmp_path / "plan.json"]
    done = subprocess.run(
        [*command, "--termination-log", tmp_path / "end.json"],
        env={**os.environ, "OUT": str(tmp_path / "claim"), "KEYS": str(s3_secret)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    end = json.loads((tmp_path / "end.json").read_text())
    assert (done.returncode, end["phase"]) == (0, "Succeeded"), done.stderr
    assert end["outputs"]["parameters"]["save.frames"] == 3
    assert Path(tmp_path / "claim/found").read_bytes() == body


def test_the_reader_names_the_parameter_that_it_was_given():
    with pytest.raises(InputError) as caught:
        FramesReader(io.BytesIO(b"no"), "x", "uri")
    assert caught.value.parameter == "uri"
