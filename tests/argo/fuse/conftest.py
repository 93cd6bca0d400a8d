# SPDX-License-Identifier: Apache-2.0
"""Functions on lists of numbers, workflows made of them, and an executor that knows both."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accelchain.api import FunctionType
from accelchain.argo.fuse import Functions

Json = dict[str, Any]


def _load(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"fuse_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


plain = _load("plain_executor")
generated = _load("generator")

_PORT = {"name": "numbers", "type": "numbers", "dtype": "int64", "shape": ["n"]}
_HOST = [{"name": "host", "api": "host", "entrypoint": "host:Host"}]


def _type(name: str, role: str, parameters: list[Json]) -> FunctionType:
    spec: Json = {"role": role, "parameters": parameters, "implementations": _HOST, "replaces": [f"{name}@sha256:ab"]}
    spec |= {} if role == "source" else {"inputs": [_PORT]}
    spec |= {} if role == "sink" else {"outputs": [_PORT]}
    document = {"apiVersion": "accelchain.io/v1alpha1", "kind": "FunctionType", "metadata": {"name": name}}
    return FunctionType.model_validate({**document, "spec": spec})


_BY = {"name": "by", "type": "integer", "required": True, "maximum": 1000}
_FROM = {"name": "uri", "format": "uri-input", "required": True}
_TO = {"name": "uri", "format": "uri-output", "required": True}
TYPES = [
    _type("read-numbers", "source", [_FROM]),
    _type("write-numbers", "sink", [_TO]),
    _type("report", "source", [_FROM, {"name": "to", "format": "uri-output"}]),
    *(_type(name, "transform", [_BY]) for name in ("add", "scale", "fail-at")),
]


@pytest.fixture(scope="session")
def functions() -> Functions:
    """The functions of these tests."""
    return Functions(TYPES)


@pytest.fixture(scope="session")
def executor() -> ModuleType:
    """``Plain(document, store).run()`` returns phase and store."""
    return plain


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    """``make(seed)`` returns a workflow and the chains that may be fused."""
    return generated
