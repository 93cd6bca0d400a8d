# SPDX-License-Identifier: Apache-2.0
"""What only the worker can see: videos and results that are none. Exit 2 before the first frame, no result touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

INPUT, OUTPUT = "spec.inputs.video.uri", "spec.outputs.soft.uri"


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def text(path: Path) -> Path:
    path.write_text("no video\n")
    return path


def nothing(path: Path) -> Path:
    path.touch()
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


INPUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.mp4": (lambda path: path, "no such file"),
    "folder.mp4": (folder, "folder"),
    "text.mp4": (text, "no video"),
    "empty.mp4": (nothing, "empty"),
    "sound.wav": (sound, "no video"),
}


@pytest.fixture
def refused(busy_machine, repository, video):
    """Run two-branches on the busy machine, and return the sentence with which it is refused."""

    def run(*options: object) -> str:
        flow = repository / "pipelines" / "two-branches" / "dataflow.yaml"
        addresses = ["--input", f"video={video}", "--output", "soft=soft.mp4", "--output", "crisp=crisp.mp4"]
        result = busy_machine.call(
            "run", flow, *addresses, *options, "--report", "report.html", "--kubeconfig", busy_machine.kubeconfig
        )
        assert result.returncode == 2, result.stderr
        assert result.stdout == "" and "Traceback" not in result.stderr
        assert list(busy_machine.work.glob("*.mp4")) == [] and not (busy_machine.work / "report.html").exists()
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, result.stderr
        return errors[0]

    return run


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_no_video(refused, tmp_path, name):
    make, words = INPUTS[name]
    make(tmp_path / name)
    sentence = refused("--input", f"video={tmp_path / name}")
    assert INPUT in sentence and words in sentence, sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes everything")
def test_files_without_permission(refused, tmp_path, video):
    closed = tmp_path / "closed.mp4"
    closed.write_bytes(video.read_bytes())
    closed.chmod(0)
    assert INPUT in refused("--input", f"video={closed}")
    (tmp_path / "sealed").mkdir(mode=0o500)
    assert OUTPUT in refused("--output", f"soft={tmp_path}/sealed/soft.mp4")


def test_an_output_that_cannot_be_written(refused, tmp_path):
    sentence = refused("--output", f"soft={tmp_path}/nowhere/soft.mp4")
    assert OUTPUT in sentence and "nowhere does not exist" in sentence
    (tmp_path / "folder.mp4").mkdir()
    sentence = refused("--output", f"soft={tmp_path}/folder.mp4")
    assert OUTPUT in sentence and "folder" in sentence
    assert OUTPUT in refused("--output", f"soft={tmp_path}/soft.txt")


def test_an_earlier_result_survives_a_refusal(refused, tmp_path):
    (tmp_path / "soft.mp4").write_text("precious")
    refused("--output", f"soft={tmp_path}/soft.mp4", "--input", f"video={tmp_path}/missing.mp4")
    assert (tmp_path / "soft.mp4").read_text() == "precious"


def test_a_truncated_video_is_processed_as_far_as_it_goes(busy_machine, repository, make_video, tmp_path):
    whole = make_video(tmp_path / "whole.mkv", 200, 320, 240).read_bytes()
    short = tmp_path / "short.mkv"
    short.write_bytes(whole[: len(whole) * 2 // 3])
    result = busy_machine.call(
        "run",
        repository / "pipelines" / "two-branches" / "dataflow.yaml",
        *("--input", f"video={short}", "--output", f"soft={tmp_path}/s.mp4", "--output", f"crisp={tmp_path}/c.mp4"),
        *("--no-report", "--json", "--kubeconfig", busy_machine.kubeconfig),
    )
    assert result.returncode == 0, result.stderr
    status = json.loads(result.stdout)["status"]
    assert 0 < status["progress"]["frames"] < 200
    assert status["warnings"] and f"Warning: {status['warnings'][0]}" in result.stderr


def test_device_problems_are_refused_by_the_operators(busy_machine, repository, tmp_path):
    flow = (repository / "pipelines" / "two-devices" / "dataflow.yaml").read_text()
    flow = flow.replace("../person-detection", str(repository / "pipelines" / "person-detection"))
    cases = {
        flow.replace("cpu1", "cpu7"): "spec.placement.rules[1].devices[0]",
        flow.replace("cpu1", "cpu0") + "  rate: {framesPerSecond: 1000000}\n": "spec.rate",
    }
    for text, path in cases.items():
        file = tmp_path / "flow.yaml"
        file.write_text(text)
        result = busy_machine.call(
            "run", file, "--output", f"detections={tmp_path}/d.jsonl", "--json", "--kubeconfig", busy_machine.kubeconfig
        )
        assert result.returncode == 2, result.stderr
        assert path in result.stderr
        assert json.loads(result.stdout)["status"]["phase"] == "Refused"
        assert not (tmp_path / "d.jsonl").exists()
