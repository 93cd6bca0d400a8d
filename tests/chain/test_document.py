# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (tables: a case a line)
from __future__ import annotations

import pytest

from accelchain.api import DataFlow, FunctionChain
from accelchain.chain.document import DocumentError, load_documents

FLOW = """\
apiVersion: accelchain.io/v1alpha1
kind: DataFlow
metadata: {name: flow}
spec:
  chainRef: {name: chain}
  inputs: {video: {uri: file:///v}}
  rate: {framesPerSecond: 8}
  placement: {rules: [{function: detect, deviceTypes: [gpu, cpu]}]}
"""
CHAIN = """\
---
apiVersion: accelchain.io/v1alpha1
kind: FunctionChain
metadata: {name: chain}
spec:
  functions: [{name: detect, type: detect-person, parameters: {threshold: 0.4, on: true}}]
"""


def test_documents_come_in_order_and_empty_ones_are_skipped() -> None:
    found = load_documents(f"---\n---\n{FLOW}{CHAIN.replace(', on: true', '')}---\n", "f.yaml")
    assert [type(r) for r in found] == [DataFlow, FunctionChain]
    chain = found[1]
    assert isinstance(chain, FunctionChain)
    assert chain.spec.functions[0].parameters == {"threshold": 0.4}


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("framesPerSecond", "framesPerSeconds", "f.yaml: spec.rate.framesPerSeconds", "did you mean 'framesPerSecond'?"),
        ("[gpu, cpu]", "[gpu, tpu]", "f.yaml: spec.placement.rules[0].deviceTypes[1]", "'tpu' is not allowed: choose from cpu, gpu, fpga."),
        ("[gpu, cpu]", "gpu", "f.yaml: spec.placement.rules[0].deviceTypes", "a list is wanted"),
        ("deviceTypes", "devicetypes", "f.yaml: spec.placement.rules[0].devicetypes", "did you mean 'deviceTypes'?"),
        ("framesPerSecond: 8", "framesPerSecond: '8'", "f.yaml: spec.rate.framesPerSecond", "'8' is a string, a number is wanted."),
        ("framesPerSecond: 8", "framesPerSecond: 0", "f.yaml: spec.rate.framesPerSecond", "greater than 0"),
        ("{uri: file:///v}", "{}", "f.yaml: spec.inputs.video.uri", "missing"),
        ("{uri: file:///v}", "{url: file:///v}", "f.yaml: spec.inputs.video.url", "did you mean 'uri'?"),
        ("{uri: file:///v}", "file:///v", "f.yaml: spec.inputs.video", "a mapping is wanted"),
        ("function: detect", "function: Detect", "f.yaml: spec.placement.rules[0].function", "lower-case"),
        ("function: detect", "function: 3", "f.yaml: spec.placement.rules[0].function", "put it in quotes"),
        ("spec:", "specs:", "f.yaml: specs", "did you mean 'spec'?"),
        ("kind: DataFlow", "kind: Dataflow", "f.yaml: kind", "did you mean 'DataFlow'?"),
        ("kind: DataFlow\n", "", "f.yaml: kind", "missing"),
        ("accelchain.io/v1alpha1", "v1", "f.yaml: apiVersion", "accelchain.io/v1alpha1"),
        ("{name: flow}", "{}", "f.yaml: metadata.name", "has no name"),
        ("{name: flow}", "{name: My_flow}", "f.yaml: metadata.name", "lower-case"),
        ("{name: flow}", f"{{name: {'n' * 64}}}", "f.yaml: metadata.name", "64 characters"),
        ("name: chain}", "name: chain, name: other}", "f.yaml:5:27", "'name' is there twice"),
        ("rate: {", "rate: [", "f.yaml:7:", "no YAML"),
        ("rate:", "on:", "f.yaml: spec", "put it in quotes"),
    ],
)  # fmt: skip
def test_a_spoiled_file_is_refused_with_the_field(old: str, new: str, path: str, words: str) -> None:
    load_documents(FLOW, "f.yaml")
    with pytest.raises(DocumentError) as caught:
        load_documents(FLOW.replace(old, new), "f.yaml")
    assert caught.value.path.startswith(path)
    assert words in caught.value.message
    assert str(caught.value) == f"{caught.value.path}: {caught.value.message}" and "\n" not in str(caught.value)


def test_fields_of_other_resources_follow_their_name() -> None:
    with pytest.raises(DocumentError) as caught:
        load_documents(FLOW + CHAIN, "f.yaml")
    assert caught.value.path == "f.yaml: FunctionChain/chain spec.functions[0].parameters"
    assert "YAML reads a key as a boolean (true)" in caught.value.message


@pytest.mark.parametrize("value", ["[1]", "{a: 1}", "2026-01-31"])
def test_a_parameter_is_a_scalar(value: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_documents(CHAIN.replace("0.4, on: true", value), "f.yaml")
    assert caught.value.path == "f.yaml: FunctionChain/chain spec.functions[0].parameters.threshold"
    assert "a string, number or boolean is wanted" in caught.value.message


@pytest.mark.parametrize("text", ["", "\n\n", "---\n---\n", "# only a comment\n"])
def test_an_empty_file(text: str) -> None:
    with pytest.raises(DocumentError, match="the file is empty"):
        load_documents(text, "f.yaml")


@pytest.mark.parametrize("text", ["just text", "[1, 2]", "\x00", "a: !!python/object:os.system {}", "2026-99-99: x"])
def test_what_is_no_resource(text: str) -> None:
    with pytest.raises(DocumentError):
        load_documents(text, "f.yaml")


def test_anchors_that_multiply_are_not_followed() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(DocumentError, match="too large"):
        load_documents(
            "apiVersion: accelchain.io/v1alpha1\nkind: DataFlow\nspec:\n  " + bomb.replace("\n", "\n  "), "f"
        )
