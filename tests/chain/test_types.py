# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (tables: a case a line)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accelchain.api import FunctionType
from accelchain.chain.resolve import check_type

PORT = {"name": "p", "shape": [4]}
KERNEL = {"name": "k", "api": "opencl", "kernel": {"file": "k.cl", "name": "k"}}
HOST = {"name": "h", "api": "host", "entrypoint": "h:H"}


def test_the_shipped_types_are_sound(types: list[FunctionType]) -> None:
    assert len(types) >= 6
    assert [check_type(t) for t in types] == [()] * len(types)


@pytest.mark.parametrize(
    ("change", "reason", "path"),
    [
        ({"role": "source"}, "InvalidParameter", "inputs"),
        ({"outputs": []}, "InvalidParameter", "outputs"),
        ({"inputs": [PORT, PORT]}, "DuplicateName", "inputs[1].name"),
        ({"inputs": [PORT | {"dtype": "uint9"}]}, "InvalidParameter", "inputs[0].dtype"),
        ({"inputs": [PORT | {"shape": [0]}]}, "InvalidParameter", "inputs[0].shape[0]"),
        ({"outputs": [PORT | {"shape": ["$size"]}]}, "UnknownParameter", "outputs[0].shape[0]"),
        ({"parameters": [{"name": "a"}, {"name": "a"}]}, "DuplicateName", "parameters[1].name"),
        ({"parameters": [{"name": "a", "required": True, "default": "x"}]}, "InvalidParameter", "parameters[0].default"),
        ({"parameters": [{"name": "a", "type": "integer", "default": 0.5}]}, "InvalidParameter", "parameters[0].default"),
        ({"parameters": [{"name": "a", "enum": ["x", 1]}]}, "InvalidParameter", "parameters[0].enum[1]"),
        ({"parameters": [{"name": "a", "type": "number", "minimum": 2, "maximum": 1}]}, "InvalidParameter", "parameters[0].minimum"),
        ({"parameters": [{"name": "a"}], "implementations": [KERNEL]}, "InvalidParameter", "parameters[0].type"),
        ({"implementations": [KERNEL | {"api": "host"}]}, "InvalidParameter", "implementations[0].api"),
        ({"implementations": [HOST | {"deviceTypes": ["gpu"]}]}, "InvalidParameter", "implementations[0].deviceTypes"),
        ({"implementations": [HOST, HOST]}, "DuplicateName", "implementations[1].name"),
        ({"implementations": [{"name": "h", "api": "host"}]}, "InvalidParameter", "implementations[0]"),
    ],
)  # fmt: skip
def test_a_type_that_contradicts_itself(
    make_type: Callable[..., FunctionType], change: Any, reason: str, path: str
) -> None:
    good = {"role": "transform", "inputs": [PORT], "outputs": [PORT], "implementations": [HOST]}
    assert check_type(make_type("t", **good)) == ()
    found = check_type(make_type("t", **(good | change)))
    assert (reason, f"FunctionType/t.1.0.0 spec.{path}") in [(p.reason, p.path) for p in found]
