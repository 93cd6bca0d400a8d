# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from accelchain.api import ComputeResource, ConnectionType, DataFlow, FunctionChain, FunctionType, SchedulingStrategy
from accelchain.chain.document import load_documents
from accelchain.chain.resolve import ChainError, resolve_flow
from accelchain.chain.resolved import Problem, ResolvedFlow

Json = dict[str, Any]
FUNCTIONS = Path(__file__).parents[2] / "runtime" / "accelchain_runtime" / "functions"

CHAIN: Json = {
    "parameters": [{"name": "threshold", "type": "number", "default": 0.4}],
    "inputs": [{"name": "video"}],
    "outputs": [{"name": "annotated"}, {"name": "detections"}],
    "functions": [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        {"name": "resize", "type": "filter-resize", "parameters": {"width": 300, "height": 300}},
        {"name": "detect", "type": "detect-person", "parameters": {"threshold": "$(parameters.threshold)"}},
        {"name": "draw", "type": "draw-boxes"},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.annotated.uri)"}},
        {"name": "write", "type": "write-detections", "parameters": {"uri": "$(outputs.detections.uri)"}},
    ],
    "connections": [
        {"from": "decode.frames", "to": "resize.frames"},
        {"from": "resize.frames", "to": "detect.frames"},
        {"from": "decode.frames", "to": "draw.frames"},
        {"from": "detect.detections", "to": "draw.detections"},
        {"from": "draw.frames", "to": "encode.frames"},
        {"from": "detect.detections", "to": "write.detections"},
    ],
}
SPEC: Json = {
    "chain": CHAIN,
    "parameters": {"threshold": 0.5},
    "inputs": {"video": {"uri": "file:///data/street.mp4"}},
    "outputs": {"annotated": {"uri": "file:///out/a.mp4"}, "detections": {"uri": "file:///out/d.jsonl"}},
    "rate": {"framesPerSecond": 8},
    "placement": {"rules": [{"function": "detect", "deviceTypes": ["cpu"]}]},
}


def function_type(name: str, version: str = "1.0.0", **spec: Any) -> FunctionType:
    """Return a FunctionType that runs on the host unless told otherwise."""
    spec.setdefault("implementations", [{"name": "host", "api": "host", "entrypoint": "host:F", "framesPerSecond": 50}])
    spec["role"] = spec.get("role") or (
        "source" if not spec.get("inputs") else "transform" if spec.get("outputs") else "sink"
    )
    obj = {"metadata": {"name": f"{name}.{version}"}, "spec": {"function": name, "version": version, **spec}}
    return FunctionType.parse(obj)


@pytest.fixture(scope="session")
def types() -> list[FunctionType]:
    """The function types that the demo chain needs, as they are shipped."""
    found: list[FunctionType] = []
    for path in sorted(FUNCTIONS.glob("*/functiontype.yaml")):
        found += [r for r in load_documents(path.read_text(), str(path)) if isinstance(r, FunctionType)]
    return found


@pytest.fixture
def spec() -> Json:
    """The demo's DataFlow, to be changed at will."""
    return copy.deepcopy(SPEC)


@pytest.fixture
def make_type() -> Callable[..., FunctionType]:
    return function_type


@pytest.fixture
def resolve(types: list[FunctionType]) -> Callable[..., ResolvedFlow]:
    """Return a function that resolves a DataFlow's spec against the shipped types, or those given."""

    def run(
        spec: Json,
        *more: FunctionChain | FunctionType | ConnectionType | SchedulingStrategy,
        only: Sequence[FunctionType] | None = None,
    ) -> ResolvedFlow:
        return resolve_flow(
            DataFlow.parse({"metadata": {"name": "flow"}, "spec": spec}),
            chains={r.metadata.name: r for r in more if isinstance(r, FunctionChain)},
            types=[*(types if only is None else only), *(r for r in more if isinstance(r, FunctionType))],
            connection_types={r.metadata.name: r for r in more if isinstance(r, ConnectionType)},
            strategies={r.metadata.name: r for r in more if isinstance(r, SchedulingStrategy)},
        )

    return run


@pytest.fixture
def problems(resolve: Callable[..., ResolvedFlow]) -> Callable[..., tuple[Problem, ...]]:
    """Return a function that gives what is wrong with a spec; nothing wrong fails the test."""

    def run(*args: Any, **options: Any) -> tuple[Problem, ...]:
        with pytest.raises(ChainError) as caught:
            resolve(*args, **options)
        return caught.value.problems

    return run


@pytest.fixture
def laptop() -> ComputeResource:
    devices = [{"name": "host", "type": "cpu", "api": "host"}, {"name": "cpu0", "type": "cpu", "api": "opencl"}]
    return ComputeResource.parse({"metadata": {"name": "laptop"}, "spec": {"nodeName": "laptop", "devices": devices}})
