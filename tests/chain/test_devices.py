# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accelchain.api import ComputeResource
from accelchain.chain.resolve import check_devices
from accelchain.chain.resolved import ResolvedFlow

Resolve = Callable[..., ResolvedFlow]


def test_what_runs_is_no_problem(spec: Any, resolve: Resolve, laptop: ComputeResource) -> None:
    spec["placement"]["rules"] = [
        {"function": "detect", "devices": ["cpu0"], "nodes": ["laptop"]},
        {"function": "resize", "devices": ["laptop/cpu0"]},
    ]
    assert check_devices(resolve(spec), [laptop]) == ()


def test_an_empty_inventory_rules_out_nothing(spec: Any, resolve: Resolve) -> None:
    spec["rate"] = {"framesPerSecond": 1e9}
    assert check_devices(resolve(spec), []) == ()


@pytest.mark.parametrize(
    ("rule", "field", "words"),
    [
        ({"devices": ["cpu7"]}, "devices[0]", "did you mean 'cpu0'?"),
        ({"devices": ["cpu0", "laptp/cpu0"]}, "devices[1]", "did you mean 'laptop/cpu0'?"),
        ({"excludeDevices": ["gpu9"]}, "excludeDevices[0]", "'gpu9'"),
        ({"nodes": ["laptob"]}, "nodes[0]", "did you mean 'laptop'?"),
        ({"excludeNodes": ["n1"]}, "excludeNodes[0]", "'n1'"),
    ],
)
def test_a_name_that_does_not_exist(
    spec: Any, resolve: Resolve, laptop: ComputeResource, rule: Any, field: str, words: str
) -> None:
    spec["placement"]["rules"] = [{"function": "detect", "nodes": ["laptop"]}, {"function": "detect", **rule}]
    (problem,) = check_devices(resolve(spec), [laptop])
    assert (problem.reason, problem.path) == ("UnknownDevice", f"spec.placement.rules[1].{field}")
    assert words in problem.message


def test_rules_that_leave_nothing(spec: Any, resolve: Resolve, laptop: ComputeResource) -> None:
    spec["placement"]["rules"] = [{"function": "detect", "deviceTypes": ["gpu"]}]
    (problem,) = check_devices(resolve(spec), [laptop])
    assert (problem.reason, problem.path) == ("UnknownDevice", "spec.chain.functions[2]")
    assert "rules leave no device" in problem.message


def test_a_function_that_no_device_runs(spec: Any, resolve: Resolve) -> None:
    host = {"spec": {"nodeName": "n", "devices": [{"name": "host", "type": "cpu", "api": "host"}]}}
    (problem,) = check_devices(resolve(spec), [ComputeResource.parse(host)])
    assert problem.path == "spec.chain.functions[1]"
    assert "no device can run function 'resize'" in problem.message and "n/host (host, cpu)" in problem.message


def test_a_rate_beyond_the_fastest_implementation(spec: Any, resolve: Resolve, laptop: ComputeResource) -> None:
    flow = resolve(spec)
    top = max(i.frames_per_second for i in flow.function("detect").implementations)
    spec["rate"] = {"framesPerSecond": 1, "functions": [{"function": "detect", "framesPerSecond": top}]}
    assert check_devices(resolve(spec), [laptop]) == ()
    spec["rate"]["functions"][0]["framesPerSecond"] = top + 0.5
    (problem,) = check_devices(resolve(spec), [laptop])
    assert (problem.reason, problem.path) == ("RateUnreachable", "spec.rate.functions[0].framesPerSecond")
    assert "implementation 'opencl' on laptop/cpu0" in problem.message
