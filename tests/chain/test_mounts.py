# SPDX-License-Identifier: Apache-2.0
"""A flow's files and credentials against its volumes."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain.api import DataFlow, FunctionType
from accelchain.chain.mounts import check_mounts
from accelchain.chain.resolve import resolve_flow
from accelchain.chain.resolved import Problem

Json = dict[str, Any]
PORT = {"name": "frames", "type": "frames", "shape": ["h", "w", 3]}
HOST = {"name": "host", "api": "host", "deviceTypes": ["cpu"], "entrypoint": "f:F"}
URI = {"name": "uri", "type": "string", "required": True}
TYPES = [
    FunctionType.parse(
        {
            "apiVersion": "accelchain.io/v1alpha1",
            "kind": "FunctionType",
            "metadata": {"name": name},
            "spec": {"version": "1.0.0", "implementations": [HOST], "parameters": [URI], **ports},
        }
    )
    for name, ports in (
        ("read", {"role": "source", "outputs": [PORT]}),
        ("write", {"role": "sink", "inputs": [PORT]}),
    )
]
DATA = {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"claimName": "c"}}
FROZEN = {**DATA, "name": "frozen", "mountPath": "/data/frozen", "readOnly": True}


def problems(
    source: Json, target: Json, *volumes: Json, confined: bool = True, other: Json | None = None
) -> tuple[Problem, ...]:
    chain = {
        "inputs": [{"name": "i"}, {"name": "j"}],
        "outputs": [{"name": "o"}],
        "functions": [
            {"name": "r", "type": "read", "parameters": {"uri": "$(inputs.i.uri)"}},
            {"name": "w", "type": "write", "parameters": {"uri": "$(outputs.o.uri)"}},
        ],
        "connections": [{"from": "r.frames", "to": "w.frames"}],
    }
    spec = {
        "chain": chain,
        "inputs": {"i": source, "j": other or source},
        "outputs": {"o": target},
        "volumes": list(volumes),
    }
    flow = DataFlow.parse(
        {"apiVersion": "accelchain.io/v1alpha1", "kind": "DataFlow", "metadata": {"name": "f"}, "spec": spec}
    )
    resolved = resolve_flow(flow, chains={}, types=TYPES, connection_types={}, strategies={})
    return check_mounts(flow.spec, resolved, confined=confined)


def at(uri: str, **more: Any) -> Json:
    return {"uri": uri, **more}


def test_files_in_volumes_and_addresses_of_networks_are_fine() -> None:
    assert problems(at("file:///data/in.mp4"), at("file:///data/out.mp4"), DATA) == ()
    assert problems(at("rtsp://camera/1"), at("s3://bucket/key")) == ()
    assert problems(at("file:///data/frozen/in.mp4"), at("file:///data/out.mp4"), DATA, FROZEN) == ()


def test_without_confinement_any_file_will_do() -> None:
    assert problems(at("file:///home/me/in.mp4"), at("file:///out.mp4"), confined=False) == ()


@pytest.mark.parametrize(
    "uri",
    ["file:///in.mp4", "file:///data", "file:///data/../in.mp4", "file:///database/x", "file:///data/%2e%2e/in.mp4"],
)
def test_a_confined_worker_reads_nothing_else(uri: str) -> None:
    (problem,) = problems(at(uri), at("s3://b/k"), DATA)
    assert (problem.reason, problem.path) == ("InvalidParameter", "spec.inputs.i.uri")
    assert "/data" in problem.message


def test_the_innermost_volume_counts() -> None:
    (problem,) = problems(at("s3://b/k"), at("file:///data/frozen/out.mp4"), DATA, FROZEN, confined=False)
    assert problem.path == "spec.outputs.o.uri" and "read-only" in problem.message


def test_one_address_has_one_secret() -> None:
    one, two = {"credentialsRef": {"name": "one"}}, {"credentialsRef": {"name": "two"}}
    assert problems(at("s3://b/in", **one), at("s3://b/out", **two)) == ()
    assert problems(at("s3://b/in", **one), at("s3://b/out", **one)) == ()
    (problem,) = problems(at("s3://b/in", **one), at("s3://b/out"), other=at("s3://b/in", **two))
    assert problem.path == "spec.inputs.j.credentialsRef" and "spec.inputs.i.credentialsRef" in problem.message
    near, far = {"s3": {"endpoint": "near:9000"}}, {"s3": {"endpoint": "far:9000"}}
    assert problems(at("s3://b/in", **near), at("s3://b/out"), other=at("s3://b/in", **near)) == ()
    (problem,) = problems(at("s3://b/in", **near), at("s3://b/out"), other=at("s3://b/in", **far))
    assert problem.path == "spec.inputs.j.s3" and "spec.inputs.i.s3" in problem.message
