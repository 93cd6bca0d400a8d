# SPDX-License-Identifier: Apache-2.0
"""Functions of users that break the contract: the run ends with one sentence that names the function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accelchain_runtime.engine.function import TensorSpec
from accelchain_runtime.engine.specs import check_outputs, check_results
from accelchain_runtime.registry import FunctionFolder

MANIFEST = """
apiVersion: accelchain.io/v1alpha1
kind: FunctionType
metadata: {{name: {name}}}
spec:
  version: 1.0.0
  {ports}
  implementations:
    - {{name: {kind}, api: {kind}, deviceTypes: [cpu], {code}}}
"""
PORT = "[{name: frames, type: frames, dtype: uint8, shape: [height, width, 3]}]"
CODE = """
class F:
    def __init__(self{init}):
        pass

    def setup(self, context):
        {setup}
        return {{"frames": context.inputs["frames"]}}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        {enqueue}

    def finish(self):
        return {finish}

    def close(self, *, discard=False):
        pass
"""


@pytest.fixture
def mistake(start_worker, make_plan, tmp_path):
    """Run a chain with a function that is written wrongly; return exit code and termination log."""

    def run(kind: str = "host", kernel: str | bytes = "", **parts: str) -> tuple[int, dict]:
        folder = tmp_path / "a folder" / "wrong"
        folder.mkdir(parents=True)
        code = "kernel: {file: k.cl, name: k}" if kernel else 'entrypoint: "f:F"'
        ports = f"inputs: {PORT}\n  outputs: {PORT}"
        (folder / "functiontype.yaml").write_text(MANIFEST.format(name="wrong", ports=ports, kind=kind, code=code))
        if kernel:
            (folder / "k.cl").write_bytes(kernel if isinstance(kernel, bytes) else kernel.encode())
        else:
            defaults = {"init": "", "setup": "pass", "enqueue": "pass", "finish": "{}"}
            (folder / "f.py").write_text(CODE.format(**defaults | parts))
        plan = make_plan(
            [("source", "count-source", {"frames": 3}), ("mine", "wrong", {}, "host" if kind == "host" else "cpu0")],
            ["source.frames mine.frames"],
        )
        environment = {"ACCELCHAIN_FUNCTIONS": f"{Path(__file__).parent / 'functions'}:{folder.parent}"}
        code_, _ = start_worker(plan, env=environment).end()
        return code_, json.loads((tmp_path / "end.json").read_text())

    return run


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"init": ", more"}, "missing 1 required positional argument"),
        ({"setup": "raise SystemExit(0)"}, "SystemExit"),
        ({"setup": "return None"}, "setup must return specs of"),
        ({"setup": "return {'frames': (4, 4, 3)}"}, "a TensorSpec for output frames"),
        ({"enqueue": "from accelchain_runtime.engine.function import EndOfStream; raise EndOfStream"}, "only a source"),
        ({"finish": "None"}, "finish must return a mapping"),
        ({"finish": "{'x': {1, 2}}"}, "x is none"),
        ({"kind": "opencl", "enqueue": "return 42"}, "int"),
    ],
)
def test_python_that_breaks_the_contract_is_named(mistake, parts, words):
    code, end = mistake(**parts)
    assert (code, end["phase"], end["reason"]) == (1, "Failed", "FunctionFailed")
    assert end["message"].startswith("mine: ")
    assert words in end["message"]


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("__kernel void k(__global uchar *a) {\n  nonsense;\n}", "k.cl:2"),
        (b"\xff\xfe", "no text in UTF-8"),
        ("__kernel void other(__global uchar *a) {}", "no kernel named k"),
    ],
)
def test_a_kernel_that_is_none_is_the_users_mistake_in_the_compilers_words(mistake, kernel, words):
    code, end = mistake(kind="opencl", kernel=kernel)
    assert (code, end["reason"]) == (2, "InvalidInput")
    assert words in end["message"]
    assert "\n" not in end["message"]


FOLDER = FunctionFolder(
    Path(),
    {"spec": {"outputs": [{"name": "frames", "dtype": "uint8", "shape": ["height", "width", 3]}]}},
    None,
)


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec((0, 4, 3)),
        TensorSpec((-1, 4, 3)),
        TensorSpec((4.5, 4, 3)),  # type: ignore[arg-type]
        TensorSpec((4, 4)),
        TensorSpec((4, 4, 1)),
        TensorSpec((4, 4, 3), "float32"),
        TensorSpec((4, 4, 3), "nonsense"),
    ],
)
def test_a_spec_that_the_manifest_does_not_promise_is_refused(spec):
    assert check_outputs(FOLDER, {"frames": TensorSpec((4, 4, 3))}) == {"frames": TensorSpec((4, 4, 3))}
    with pytest.raises(ValueError, match="output frames"):
        check_outputs(FOLDER, {"frames": spec})


def test_results_are_json():
    assert check_results({"frames": 3, "names": ["a"]}) == {"frames": 3, "names": ["a"]}
    for wrong in ({"x": float("nan")}, {"x": b""}, {1: 2}, [1]):
        with pytest.raises((TypeError, ValueError), match="finish must return"):
            check_results(wrong)
