# SPDX-License-Identifier: Apache-2.0
"""YAML is read as Argo reads it, and what is written is read by Argo, and by Python, as what was meant."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain.argo.core.yaml_text import UnsureError, read, write

# as go.yaml.in/yaml v2.4.4 reads them
AS_ARGO: dict[str, Any] = {
    "y": True, "N": False, "Yes": True, "off": False, "yEs": "yEs", "~": None, "": None, "NULL": None, "nUll": "nUll",
    "12:30": "12:30", "190:20:30.5": "190:20:30.5", "2001-01-01": "2001-01-01",
    "1e3": 1000.0, "1E+5": 1e5, "1.5e3": 1500.0,
    "08": 8.0, "017": 15, "0o17": 15, "0O17": 15, "-0x1F": -31, "0b1_1": 3, "1_000": 1000, "1_": 1, "_1": "_1",
    ".5_0": 0.5, "._5": "._5", "5.": 5.0, "+.5": 0.5, "+1": 1, "1e400": "1e400", "0x1p3": "0x1p3", "-.inf": -math.inf,
    "18446744073709551615": 2**64 - 1, "18446744073709551616": 2.0**64, "+18446744073709551615": float(2**64 - 1),
    "-9223372036854775808": -(2**63), "'1e3'": "1e3", '"y"': "y", "!!str 12": "12", "!!float 1": 1.0, "=": "=",
}  # fmt: skip


@pytest.mark.parametrize("text", AS_ARGO)
def test_what_is_written_without_quotes(text: str) -> None:
    (value,) = read(f"a: {text}\n")
    assert value == {"a": AS_ARGO[text]} and type(value["a"]) is type(AS_ARGO[text])


def test_keys_are_texts() -> None:
    assert read("{y: 1, 017: 2, off: 3, 'n': 4}") == [{"true": 1, "15": 2, "false": 3, "n": 4}]


def test_what_is_tagged_as_binary_is_the_text_that_it_stands_for() -> None:
    assert read("a: !!binary aGk=") == [{"a": "hi"}]


def test_a_merged_mapping_counts_where_it_stands() -> None:
    text = "a: &a {x: 1, y1: 1}\nb: &b {x: 2}\nc: {x: 3, <<: [*a, *b]}\nd: {<<: *a, x: 4}\n"
    assert read(text)[0]["c"] == {"x": 1, "y1": 1}
    assert read(text)[0]["d"] == {"x": 4, "y1": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {1.5: x}", "a key is no text"),
        ("a: {~: x}", "a key is no text"),
        ("{1: x, 01: y}", "the key '1' is there twice"),
        ("- 1\n- !!set {x}", "line 2: the tag"),
        ("a: !!binary x", "base64"),
        ("a: !!int x", "does not fit"),
        ("a: {<<: 1}", "not followed by a mapping"),
    ],
)
def test_what_nobody_can_be_sure_of_is_refused(text: str, words: str) -> None:
    with pytest.raises(UnsureError, match=words):
        read(text)


def test_a_text_that_multiplies_ends() -> None:
    rows = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]
    with pytest.raises(UnsureError, match="too large"):
        read("\n".join(rows))


# likely to be taken for something else than a text
_TEXTS = (
    st.text(st.sampled_from("0123456789+-._eExobyYnN~:#'\"{}[]&*!|>%@` \n\t\r\u00e9\u2028\u0085\U0001f600")) | st.text()
)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _TEXTS
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4), max_leaves=12
)


def _printable(value: Any) -> bool:
    """Tell whether YAML has a form for all characters of a value's texts."""
    if isinstance(value, str):
        return "\x00" not in value and not any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if isinstance(value, dict):
        return all(_printable(key) and _printable(child) for key, child in value.items())
    return all(map(_printable, value)) if isinstance(value, list) else True


@settings(max_examples=100, deadline=None)
@given(_VALUES.filter(lambda value: value is not None and _printable(value)))
def test_what_is_written_is_read_again(value: Any) -> None:
    text = write([value])
    assert read(text) == [value]
    assert yaml.safe_load(text) == value
