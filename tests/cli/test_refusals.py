# SPDX-License-Identifier: Apache-2.0

"""What the command line refuses before anything is started: exit 2, one sentence with the field's path, no change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

F, C = "spec.chain.functions", "spec.chain.connections"
REMOVE = object()

SPOILT: list[tuple[str, Any, str, str]] = [
    # field, new value, the field that the sentence names, words of the sentence
    ("spec.chain.functions.1.type", "filter-resise", f"{F}[1].type", "did you mean 'filter-resize'?"),
    ("spec.chain.connections.1.to", "detect.pictures", f"{C}[1].to", "no input 'pictures'"),
    ("spec.chain.connections.1.from", "resise.frames", f"{C}[1].from", "did you mean 'resize'?"),
    ("spec.chain.connections.5.from", "decode.frames", f"{C}[5]", "type frames"),
    ("spec.chain.connections.0.from", "draw.frames", f"{C}[0]", "→"),
    ("spec.chain.connections.0", REMOVE, f"{F}[1]", "resize.frames"),
    ("spec.chain.functions.3.name", "resize", f"{F}[3].name", "'resize'"),
    ("spec.chain.functions.1.name", "Re_size", f"{F}[1].name", "is no name"),
    ("spec.chain.functions.1.parameters.width", "wide", f"{F}[1].parameters.width", "an integer is wanted"),
    ("spec.chain.functions.1.parameters.width", 1, f"{F}[1].parameters.width", "minimum"),
    ("spec.chain.functions.1.parameters.colour", 1, f"{F}[1].parameters.colour", "no parameter 'colour'"),
    ("spec.parameters.threshold", 2, "spec.parameters.threshold", "maximum"),
    ("spec.parameters.threshold", float("nan"), "spec.parameters.threshold", ""),
    ("spec.parameters.threshold", [1], "spec.parameters.threshold", "a list"),
    ("spec.inputs.video", REMOVE, "spec.inputs.video", "address"),
    ("spec.outputs.detections.uri", "annotated.mp4", "spec.outputs.detections.uri", "'annotated'"),
    ("spec.inputs.video.uri", "", "video", "empty"),
    ("spec.placement.rules.0.function", "dect", "spec.placement.rules[0].function", "'detect'"),
    ("spec.mode", "Sometimes", "spec.mode", "Batch"),
    ("spec.colour", "red", "spec.colour", "unknown field"),
    ("spec", REMOVE, "spec", "missing"),
    ("metadata.name", "Person Detection", "metadata.name", "is no name"),
    ("metadata.name", "x" * 64, "metadata.name", "63"),
    ("metadata.name", REMOVE, "metadata.name", "name"),
    ("kind", "DateFlow", "kind", "did you mean 'DataFlow'?"),
    ("apiVersion", "v1", "apiVersion", "accelchain.io/v1alpha1"),
]


def spoil(flow: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    flow = copy.deepcopy(flow)
    *path, last = field.split(".")
    target: Any = flow
    for part in path:
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    key = int(last) if last.isdigit() else last
    if value is REMOVE:
        del target[key]
    else:
        target[key] = value
    return flow


def one_sentence(output: str) -> str:
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1, output
    assert lines[0].startswith("Error: ") and lines[0].endswith((".", "?")), lines[0]
    return lines[0]


@pytest.mark.parametrize(("field", "value", "path", "words"), SPOILT)
def test_a_spoilt_file(call, demo, field, value, path, words):
    Path("flow.yaml").write_text(yaml.safe_dump(spoil(demo(), field, value)))
    result = call("run", "flow.yaml")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    first = result.stderr.splitlines()[0]
    assert path in first and words in first, first
    assert [p.name for p in Path.cwd().iterdir()] == ["flow.yaml"]
    checked = call("validate", "flow.yaml")
    assert (checked.exit_code, checked.stderr) == (2, result.stderr)


NO_FLOWS: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "empty"),
    ("only comments", "# nothing\n---\n", "empty"),
    ("a list", "- 1\n- 2\n", "no resource"),
    ("a string", "hello", "no resource"),
    ("somebody else's", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "apiVersion"),
    ("bad syntax", "a: [1, 2\nb: }", "flow.yaml:"),
    ("a tab", "a:\n\tb: 1\n", "flow.yaml:"),
    ("a key twice", "kind: DataFlow\nkind: DataFlow\n", "twice"),
    ("python's own tags", "!!python/object/apply:os.system ['true']", "flow.yaml"),
    (
        "a bomb",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "flow.yaml",
    ),
    ("binary", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "no text file"),
    ("control characters", "a: \x00\x01", "flow.yaml"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in NO_FLOWS], ids=[case[0] for case in NO_FLOWS])
def test_a_file_that_is_no_flow(call, text, words):
    Path("flow.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = call("run", "flow.yaml")
    assert result.exit_code == 2 and result.stdout == ""
    assert words in one_sentence(result.stderr)


def test_no_file_a_folder_and_standard_input(call, demo):
    assert "No such file" in one_sentence(call("run", "nowhere.yaml").stderr)
    assert "directory" in one_sentence(call("run", ".").stderr)
    assert "empty" in one_sentence(call("validate", "-", stdin="").stderr)
    assert call("validate", "-", stdin=yaml.safe_dump(demo())).exit_code == 0
    assert "no text" in one_sentence(call("validate", "-", stdin=b"\xff\xfe\x00").stderr)


def test_two_flows_and_none(call, demo):
    flow = demo()
    Path("two.yaml").write_text(yaml.safe_dump_all([flow, spoil(flow, "metadata.name", "other")]))
    assert "2 DataFlows" in one_sentence(call("run", "two.yaml").stderr)
    chain = {
        "apiVersion": flow["apiVersion"],
        "kind": "FunctionChain",
        "metadata": {"name": "c"},
        "spec": flow["spec"]["chain"],
    }
    Path("none.yaml").write_text(yaml.safe_dump(chain))
    assert "0 DataFlows" in one_sentence(call("run", "none.yaml").stderr)


OPTIONS: list[tuple[list[str], str]] = [
    (["-p", "threshold"], "-p threshold"),
    (["-p", "=1"], "-p =1"),
    (["-p", "treshold=0.5"], "spec.parameters.treshold"),
    (["-p", "threshold=high"], "spec.parameters.threshold"),
    (["-p", "threshold=.inf"], "spec.parameters.threshold"),
    (["-p", "threshold=true"], "spec.parameters.threshold"),
    (["-p", "threshold="], "spec.parameters.threshold"),
    (["--input", "video"], "--input video"),
    (["--input", "vidoe=/a.mp4"], "spec.inputs.vidoe"),
    (["--input", "video="], "--input video"),
    (["--input", "a b=/a.mp4"], "spec.inputs"),
    (["--output", "detections=annotated.mp4", "--output", "annotated=annotated.mp4"], "spec.outputs"),
    (["--functions", "nowhere"], "--functions"),
    (["--report", "nowhere/report.html"], "--report nowhere/report.html"),
    (["--graph", "nowhere/graph.svg"], "--graph nowhere/graph.svg"),
    (["--kubeconfig", "nowhere"], "nowhere"),
    (["--context", "nowhere"], "kubeconfig"),
]


@pytest.mark.parametrize(("options", "words"), OPTIONS)
def test_a_wrong_option(call, demo, options, words):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    result = call("run", "flow.yaml", *options)
    assert result.exit_code == 2 and result.stdout == ""
    assert words in one_sentence(result.stderr)
    assert [p.name for p in Path.cwd().iterdir()] == ["flow.yaml"]


def test_options_that_click_refuses(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    for arguments in (["run"], ["run", "flow.yaml", "--timeout", "0"], ["bogus"], ["up", "--workers", "-1"]):
        assert call(*arguments).exit_code == 2


def test_a_function_folder_with_a_broken_manifest(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    Path("mine/broken").mkdir(parents=True)
    Path("mine/broken/functiontype.yaml").write_text("kind: FunctionType\nmetadata: {name: x}\nspec: {inputs: 3}\n")
    result = call("run", "flow.yaml", "--functions", "mine")
    assert result.exit_code == 2
    assert "mine/broken" in one_sentence(result.stderr)


def test_namespaces_that_disagree(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(spoil(demo(), "metadata.namespace", "one")))
    result = call("run", "flow.yaml", "-n", "two")
    assert result.exit_code == 2
    assert "metadata.namespace" in one_sentence(result.stderr)


@pytest.mark.parametrize("arguments", [["get"], ["describe", "x"], ["logs", "x"], ["delete", "x"]])
def test_no_cluster(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert "accelchain up" in one_sentence(result.stderr)


def test_a_kind_that_is_none(call):
    assert "Did you mean dataflow?" in call("get", "dataflow5").stderr


def test_a_picture_that_cannot_be_written(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    result = call("graph", "flow.yaml", "-o", "nowhere/graph.svg", "--no-placement")
    assert result.exit_code == 2
    assert "nowhere/graph.svg" in one_sentence(result.stderr)
