# SPDX-License-Identifier: Apache-2.0
"""The component's process as KFP runs it: outputs, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SLOW = """
apiVersion: accelchain.io/v1alpha1
kind: FunctionType
metadata: {name: slow}
spec:
  role: source
  outputs: [{name: frames, type: frames, dtype: uint8, shape: [height, width, 3]}]
  parameters: [{name: started, type: string}, {name: wait, type: number, default: 0}]
  implementations: [{name: host, api: host, deviceTypes: [cpu], entrypoint: "slow:Slow", framesPerSecond: 1}]
"""
CODE = '''
"""Tells that it runs, and how it was told to stop."""
import sys
import time
from pathlib import Path

from accelchain_runtime.engine.function import EndOfStream, SourceInfo, TensorSpec


class Slow:
    def setup(self, context):
        self.info = SourceInfo((4, 4), 1.0, 2)
        self._parameters = context.parameters
        return {"frames": TensorSpec((4, 4, 3), "uint8")}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        if frame.number == 2:
            raise EndOfStream
        Path(self._parameters["started"]).touch()
        print("a line of the function's own", flush=True)
        time.sleep(self._parameters["wait"])
        outputs["frames"].array[...] = frame.number

    def finish(self):
        return {"pictures": 2}

    def close(self, *, discard=False):
        pass
'''
MAPPING = {
    "parameters": {"started": {"input": "started"}, "wait": {"input": "wait"}},
    "outputs": {"frames": "frames"},
    "results": {"pictures": "pictures"},
}


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a step of the function ``slow``; none outlives the test."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "functiontype.yaml").write_text(SLOW)
    (folder / "slow.py").write_text(CODE)
    running: list[subprocess.Popen[str]] = []

    def start(wait: float = 0, function: str = "slow", mapping: Any = MAPPING) -> subprocess.Popen[str]:
        root = tmp_path / "root"
        executor_input = {
            "inputs": {"parameterValues": {"started": str(tmp_path / "started"), "wait": wait}},
            "outputs": {
                "artifacts": {"frames": {"artifacts": [{"name": "frames", "uri": str(root / "frames")}]}},
                "parameters": {"pictures": {"outputFile": str(root / "pictures")}},
                "outputFile": str(root / "executor_output.json"),
            },
        }
        command = [sys.executable, "-m", "accelchain.kfp.step", function, "--compat", "kfp.dsl.executor_main"]
        command += ["--executor-input", json.dumps(executor_input), "--map", json.dumps(mapping)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"ACCELCHAIN_FUNCTIONS": str(folder)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Tell whether the process runs; one that nobody waits for any more does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_step_ends_well(step: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = step()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines() == ["a line of the function's own"] * 2 + ["2 frames"]
    frames = tmp_path / "root" / "frames"
    assert json.loads((tmp_path / "root" / "executor_output.json").read_text()) == {
        "parameterValues": {"pictures": 2},
        "artifacts": {"frames": {"artifacts": [{"name": "frames", "uri": str(frames), "metadata": {"frames": 2}}]}},
    }
    assert frames.stat().st_size > 2 * 4 * 4 * 3
    assert (tmp_path / "root" / "pictures").read_text() == "2"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ({"function": "none"}, 2, "There is no function none"),
        ({"mapping": {}}, 2, "results says nothing of output parameter pictures"),
        ({"mapping": MAPPING | {"parameters": {"height": {"value": 3}}}}, 2, "slow has no parameter height"),
        ({"mapping": MAPPING | {"parameters": {}}}, 1, "started"),
        ({"mapping": MAPPING | {"results": {"pictures": "boxes"}}}, 1, "the function told no boxes"),
    ],
)
def test_exit_codes(
    step: Callable[..., subprocess.Popen[str]], arguments: dict[str, Any], code: int, sentence: str, tmp_path: Path
) -> None:
    process = step(**arguments)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, sentence in err) == (code, True), err
    assert not (tmp_path / "root" / "executor_output.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_function(
    step: Callable[..., subprocess.Popen[str]], number: signal.Signals, tmp_path: Path
) -> None:
    process = step(wait=60)
    until((tmp_path / "started").exists)
    (child,) = children(process.pid)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (128 + number, 143)
    assert not lives(child)
    assert not (tmp_path / "root" / "frames").exists()


def test_a_killed_step_takes_its_function_along(step: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = step(wait=60)
    until((tmp_path / "started").exists)
    (child,) = children(process.pid)
    process.kill()
    until(lambda: not lives(child))


@pytest.mark.parametrize("option", ["--executor-input", "--map"])
@pytest.mark.parametrize(("text", "sentence"), [("{{$}}", "is no JSON"), ("[]", "is no JSON object")])
def test_json_that_is_none(option: str, text: str, sentence: str) -> None:
    given = {"--executor-input": "{}", "--map": "{}"} | {option: text}
    command = [sys.executable, "-m", "accelchain.kfp.step", "copy", *(word for pair in given.items() for word in pair)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, f"{option} {sentence}" in done.stderr) == (2, True), done.stderr
