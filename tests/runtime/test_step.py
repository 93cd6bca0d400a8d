# SPDX-License-Identifier: Apache-2.0
"""Functions as processes of their own, files between them: what they make is what the chain makes, to the byte."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from accelchain_runtime import registry
from accelchain_runtime.engine.function import FrameInfo, InputError, SourceInfo, TensorSpec
from accelchain_runtime.functions.frames_file import FramesReader, FramesWriter, Header
from accelchain_runtime.step import arguments
from accelchain_runtime.step.__main__ import main

PEOPLE = Path(__file__).parents[2] / "pipelines/person-detection/people.mp4"
HEADER = Header("frames", TensorSpec((2, 3, 3)), SourceInfo((3, 2), 12.5))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Steps run in a folder of their own, with the session's compiled kernels."""
    monkeypatch.setenv("ACCELCHAIN_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def step(capsys: pytest.CaptureFixture[str]) -> Callable[[str], Any]:
    """``step("copy --input …")`` in this process; returns what it told."""

    def run(line: str) -> Any:
        assert main(line.split()) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def process(line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelchain_runtime.step", *line.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def chain(run_plan: Callable[..., Any], make_plan: Callable[..., Any], functions: Any, connections: Any) -> None:
    document = run_plan(make_plan(functions, connections))
    assert document["phase"] == "Succeeded", document["message"]


@pytest.fixture
def clip(place: Path) -> Path:
    """Seven pictures of noise whose times are not even."""
    with av.open(str(place / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(3)
        for time in (0, 1, 2, 5, 6, 9, 10):
            picture = av.VideoFrame.from_ndarray(noise.integers(0, 255, (48, 64, 3), np.uint8), "rgb24")
            picture.pts = time
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return place / "clip.mp4"


def test_steps_make_what_the_chain_makes(clip, place, step, run_plan, make_plan):
    step(f"decode-video --uri {clip} --output frames=kept/decoded")
    step("filter-resize --width=32 --height 20 --filter gaussian --input frames=kept/decoded --output frames=small")
    step("copy@1.0.0 --implementation host --input frames=small --output frames=copied")
    told = step("encode-video --input frames=copied --uri steps.mp4")
    assert told == {"frames": 7, "results": {"frames": 7, "bytes": (place / "steps.mp4").stat().st_size}}
    resize = {"width": 32, "height": 20, "filter": "gaussian"}
    functions = [
        ("decode", "decode-video", {"uri": str(clip)}, "host"),
        ("resize", "filter-resize", resize, "cpu0"),
        ("copy", "copy", {}, "host"),
        ("encode", "encode-video", {"uri": str(place / "chain.mp4")}, "host"),
    ]
    edges = ["decode.frames resize.frames", "resize.frames copy.frames", "copy.frames encode.frames"]
    chain(run_plan, make_plan, functions, edges)
    assert (place / "steps.mp4").read_bytes() == (place / "chain.mp4").read_bytes()
    assert sorted(path.name for path in place.iterdir()) == [
        "chain.mp4", "clip.mp4", "copied", "kept", "small", "steps.mp4",
    ]  # fmt: skip


@pytest.mark.slow
def test_six_processes_make_what_the_person_detection_chain_makes(place, run_plan, make_plan):
    for line in (
        f"decode-video --uri {PEOPLE} --frames 20 --output frames=decoded",
        "filter-resize --width 300 --height 300 --input frames=decoded --output frames=resized",
        "detect-person --threshold 0.4 --input frames=resized --output detections=found",
        "draw-boxes --input frames=decoded --input detections=found --output frames=drawn",
        "encode-video --input frames=drawn --uri steps.mp4",
        "write-detections --input detections=found --uri steps.jsonl",
    ):
        done = process(line)
        assert (done.returncode, done.stderr) == (0, ""), line
    functions = [
        ("decode", "decode-video", {"uri": str(PEOPLE), "frames": 20}),
        ("resize", "filter-resize", {"width": 300, "height": 300}, "cpu0"),
        ("detect", "detect-person", {"threshold": 0.4}, "cpu0"),
        ("draw", "draw-boxes"),
        ("encode", "encode-video", {"uri": str(place / "chain.mp4")}),
        ("write", "write-detections", {"uri": str(place / "chain.jsonl")}),
    ]
    edges = [
        "decode.frames resize.frames", "resize.frames detect.frames", "decode.frames draw.frames",
        "detect.detections draw.detections", "draw.frames encode.frames", "detect.detections write.detections",
    ]  # fmt: skip
    chain(run_plan, make_plan, functions, edges)
    assert (place / "steps.jsonl").read_bytes() == (place / "chain.jsonl").read_bytes()
    assert b"person" in (place / "steps.jsonl").read_bytes()
    assert (place / "steps.mp4").read_bytes() == (place / "chain.mp4").read_bytes()


def test_a_mistake_is_one_sentence_and_an_earlier_result_stays(clip, place, step):
    step(f"decode-video --uri {clip} --output frames=whole")
    before = (place / "whole").read_bytes()
    (place / "cut").write_bytes(before[:-1000])
    done = process("copy --input frames=cut --output frames=whole")
    sentence = f"accelchain step: --input frames: {place}/cut: it is truncated or damaged at frame 6 of 7.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert (place / "whole").read_bytes() == before
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4", "cut", "whole"]


def test_a_device_that_is_not_there_is_no_mistake_of_the_input(clip, step):
    step(f"decode-video --uri {clip} --output frames=frames")
    done = process("copy --device gpu7 --input frames=frames --output frames=out")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Device gpu7" in done.stderr


FUNCTIONS = registry.find()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nope", "There is no function nope; there are copy, "),
        ("copy@2.0.0", "There is no function copy@2.0.0; there are copy@1.0.0, "),
        ("copy", "copy needs --input frames=FILE."),
        ("copy --input frames=a", "copy needs --output frames=FILE, or its work is for nothing."),
        ("copy --input frame=a", "copy has no input frame; its inputs are: frames."),
        ("copy --input a", "--input a: give PORT=FILE."),
        ("copy --input frames=a --input frames=b", "--input frames is given twice."),
        ("copy input", "'input' is not understood: give --name value."),
        ("copy --input", "--input has no value."),
        ("copy --speed 3", "copy has no parameter speed; it has no parameter."),
        ("filter-resize --width 1.5", "--width is '1.5'; give a value of type integer."),
        ("filter-resize --width 16 --width 16", "--width is given twice."),
        ("detect-person --threshold x", "--threshold is 'x'; give a value of type number."),
        (
            "decode-video --output frames=a --implementation x",
            "has no implementation x; its implementations are: host.",
        ),
        ("decode-video --output frames=a --device gpu0", "decode-video has no implementation for a gpu"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said(line, sentence):
    name, *rest = line.split()
    with pytest.raises(InputError) as caught:
        arguments.parse(arguments.find(name, FUNCTIONS), rest)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "implementation", "device"),
    [("", "opencl", "cpu0"), ("--device gpu0", "opencl", "gpu0"), ("--device host", "host", "host")],
)
def test_the_manifest_s_first_implementation_for_a_device_is_taken(options, implementation, device):
    line = ["--input", "frames=a", "--output", "frames=b", *options.split()]
    found = arguments.parse(arguments.find("copy", FUNCTIONS), line)
    assert (found.implementation["name"], found.device) == (implementation, device)


def written(*frames: FrameInfo) -> bytes:
    file = io.BytesIO()
    writer = FramesWriter(file, HEADER)
    for frame in frames:
        writer.write(frame, np.full(HEADER.spec.shape, frame.number, np.uint8))
    writer.end()
    return file.getvalue()


TWO = written(FrameInfo(0, 0.1 + 0.2, (3, 2), {"camera": "gate", "gain": [1, 2.5]}), FrameInfo(1, 1 / 3, (6, 4)))


def test_a_file_keeps_all_that_travels_with_a_frame():
    reader = FramesReader(io.BytesIO(TWO), "x")
    assert reader.header == Header("frames", TensorSpec((2, 3, 3)), SourceInfo((3, 2), 12.5, 2))
    pictures = np.zeros((2, 2, 3, 3), np.uint8)
    frames = [FrameInfo(0, 0.0, (0, 0)), FrameInfo(1, 0.0, (0, 0))]
    assert [reader.read(frame, picture) for frame, picture in zip(frames, pictures, strict=True)] == [True, True]
    assert frames[0] == FrameInfo(0, 0.1 + 0.2, (3, 2), {"camera": "gate", "gain": [1, 2.5]})
    assert frames[1] == FrameInfo(1, 1 / 3, (6, 4))
    assert pictures[0].max() == 0 and pictures[1].min() == pictures[1].max() == 1
    assert reader.read(FrameInfo(2, 0.0, (0, 0)), pictures[0]) is False


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not written by accelchain step"),
        (b"\0" * 100, "not written by accelchain step"),
        (TWO[:8] + struct.pack("<I", 2) + TWO[12:], "it is of version 2"),
        (TWO[:16] + b"\xff" * 8 + TWO[24:], "never finished"),
        (TWO[:12] + struct.pack("<I", 9) + TWO[16:], "header is damaged"),
        (TWO[:12] + b"\xff" * 4 + TWO[16:], "header is damaged"),
        (TWO.replace(b"[2, 3, 3]", b"[2, 3,-3]"), "header is damaged"),
        (TWO[:-1], "truncated or damaged at frame 1 of 2"),
        (TWO + b"x", "goes on after its last frame"),
        (TWO.replace(b'"number": 1', b'"number": 3'), "frame 3 stands where frame 1 is wanted"),
        (TWO.replace(b'"number": 1', b'"nomber": 1'), "what travels with frame 1 is damaged"),
    ],
)
def test_a_damaged_file_is_told(data, sentence):
    with pytest.raises(InputError, match=sentence):
        reader = FramesReader(io.BytesIO(data), "x")
        for number in range(3):
            reader.read(FrameInfo(number, 0.0, (0, 0)), np.zeros((2, 3, 3), np.uint8))
