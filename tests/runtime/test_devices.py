# SPDX-License-Identifier: Apache-2.0
"""OpenCL devices: which there are, compiled kernels in the cache, chains over them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelchain_runtime.devices.binding import bind
from accelchain_runtime.devices.identity import Listing, distinct
from accelchain_runtime.devices.pool import DevicePool
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.plan import DevicePlan

Document = dict[str, Any]
ROOT = Path(__file__).parents[2]

KERNEL = "__kernel void set(__global uchar *out) { out[get_global_id(0)] = 7; }"


def test_each_physical_device_is_listed_once() -> None:
    listings = [
        Listing(0, "a/0", "EPYC", "cpu"),
        Listing(1, "b/0", "EPYC by another driver", "cpu"),
        Listing(1, "b/1", "H100", "gpu"),
        Listing(1, "b/2", "H100", "gpu"),
        Listing(2, "c/0", "H100", "gpu"),
        Listing(2, "c/1", "H100", "gpu"),
        Listing(2, "c/2", "U250", "fpga"),
    ]
    found = {name: listing.identity for name, listing in distinct(listings).items()}
    assert found == {"cpu0": "a/0", "gpu0": "b/1", "gpu1": "b/2", "fpga0": "c/2"}


HERE = {
    "cpu0": Listing(0, "a/0", "EPYC", "cpu"),
    "gpu0": Listing(1, "b/0", "H100", "gpu"),
    "gpu1": Listing(1, "b/1", "H100", "gpu"),
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"gpu0": "b/0", "gpu1": "b/1"}, {"gpu0": "gpu0", "gpu1": "gpu1"}),
        ({"gpu5": "b/1"}, {"gpu5": "gpu1"}),  # known by its identity, whatever the inventory called it
        ({"gpu5": "b/5"}, {"gpu5": "gpu0"}),  # the device plugin gave another one
        ({"gpu5": "b/5", "gpu0": "b/0"}, {"gpu5": "gpu1", "gpu0": "gpu0"}),  # not one that another is bound to
        ({"gpu5": "b/5", "gpu6": "b/6", "gpu7": "b/7"}, {"gpu5": "gpu0", "gpu6": "gpu1", "gpu7": None}),
        ({"fpga0": "c/0"}, {"fpga0": None}),  # of the same type only
        ({"gpu1": ""}, {"gpu1": "gpu1"}),
        ({"gpu5": ""}, {"gpu5": None}),  # somebody named it by hand
    ],
)
def test_devices_of_a_plan_are_bound_to_what_is_visible(wanted: dict[str, str], found: dict[str, str | None]) -> None:
    plans = [DevicePlan(name=name, api="opencl", device_id=identity) for name, identity in wanted.items()]
    assert bind(plans, HERE) == found


def test_a_worker_reports_which_devices_it_was_given(run_plan: Any, make_plan: Any, pool: DevicePool) -> None:
    plan = make_plan(
        [("x", "count-source"), ("a", "copy", {}, "cpu7"), ("sink", "collect")],
        ["x.frames a.frames", "a.frames sink.frames"],
    )
    plan["devices"] = [{"name": "cpu7", "api": "opencl", "deviceId": "gone/7"}, {"name": "host", "api": "host"}]
    document = run_plan(plan)
    assert document["phase"] == "Succeeded", document["message"]
    cpu = pool.opencl().listings["cpu0"]
    given = {device["name"]: device for device in document["devices"]}
    assert given["cpu7"] == {"name": "cpu7", "id": cpu.identity, "model": cpu.model}
    assert given["host"]["id"] == "host" and given["host"]["model"]
    plan["devices"].append({"name": "cpu8", "api": "opencl", "deviceId": "gone/8"})
    document = run_plan(plan)
    assert document["reason"] == "DeviceFailed"
    assert document["message"].startswith("Device cpu8 (gone/8) is not on this machine, nor another one of its type")


def test_inventory_names_every_device_that_the_driver_offers(cache: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "runtime"),
        "POCL_DEVICES": "pthread basic pthread",
        "ACCELCHAIN_CACHE": str(cache),
    }
    printed = subprocess.run(
        [sys.executable, "-m", "accelchain_runtime.devices"],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    document = json.loads(printed)
    assert [device["name"] for device in document["devices"]] == ["host", "cpu0", "cpu1", "cpu2"]
    assert len({device["id"] for device in document["devices"]}) == 4
    assert all(device["memoryBytes"] > 0 and device["computeUnits"] > 0 for device in document["devices"])
    assert document["links"] == ["same-buffer", "shared-host", "peer-copy", "host-copy"]


def test_two_devices_in_one_chain(start_worker: Any, make_plan: Callable[..., Document], tmp_path: Path) -> None:
    """Host, two OpenCL devices, a branch and a join across all of them."""
    functions = [
        ("x", "count-source", {"frames": 20, "width": 64, "height": 16}),
        ("one", "increment-kernel", {"step": 0}, "cpu0"),
        ("two", "increment-kernel", {"step": 0}, "cpu1"),
        ("three", "increment-kernel", {"step": 0}, "cpu0"),
        ("merge", "merge"),
        ("sink", "collect"),
    ]
    connections = [
        "x.frames one.frames",
        "one.frames two.frames",
        "two.frames three.frames",
        "three.frames merge.a",
        "two.frames merge.b",
        "x.frames merge.c",
        "merge.frames sink.frames",
    ]
    worker = start_worker(make_plan(functions, connections), env={"POCL_DEVICES": "pthread pthread"})
    code, logged = worker.end(60)
    assert code == 0, logged
    end = json.loads((tmp_path / "end.json").read_text())
    assert end["outputs"]["parameters"]["sink.values"] == list(range(20))
    for kinds, mechanism in (("pthread pthread", "peer-copy"), ("pthread basic", "host-copy")):
        plan = make_plan(functions, connections)
        for connection in plan["connections"][1:3]:
            connection["mechanisms"] = [mechanism]
        worker = start_worker(plan, env={"POCL_DEVICES": kinds})
        code, logged = worker.end(60)
        assert code == 0, logged
        end = json.loads((tmp_path / "end.json").read_text())
        assert end["outputs"]["parameters"]["sink.values"] == list(range(20))
        assert [edge["mechanism"] for edge in end["edges"]].count(mechanism) >= 2


@pytest.mark.parametrize("frames", [0, 1, 30])
def test_a_kernel_of_the_users_own(run_plan: Any, make_plan: Any, frames: int) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": frames}),
                ("add", "increment-kernel", {"step": 3, "factor": 2}, "cpu0"),
                ("take", "increment-kernel", {"negate": True}, "cpu0"),
                ("sink", "collect"),
            ],
            ["x.frames add.frames", "add.frames take.frames", "take.frames sink.frames"],
        )
    )
    assert document["phase"] == "Succeeded", document["message"]
    assert document["outputs"]["parameters"]["sink.values"] == [2 * n + 2 for n in range(frames)]
    mechanisms = {edge["from"]: (edge["mechanism"], edge["copies"]) for edge in document["edges"]}
    assert mechanisms["add.frames"] == ("same-buffer", 0)


def test_a_chain_that_lives_on_a_device_alone(run_plan: Any, make_plan: Any) -> None:
    """Nothing on the host waits for it, and still every frame is counted and the end is heard of."""
    document = run_plan(
        make_plan(
            [
                ("x", "cl-source", {"frames": 200}, "cpu0"),
                ("a", "copy", {}, "cpu0"),
                ("b", "increment-kernel", {}, "cpu0"),
                ("c", "copy", {}, "cpu0"),
            ],
            [
                ("x.frames a.frames", {"slots": 2}),
                ("x.frames b.frames", {"slots": 3}),
                ("b.frames c.frames", {"slots": 2}),
            ],
        )
    )
    assert document["phase"] == "Succeeded", document["message"]
    assert document["frames"] == document["total"] == 200
    assert {function["frames"] for function in document["functions"]} == {200}


def test_latency_behind_a_device_shows_on_its_edge_only(run_plan: Any, make_plan: Any) -> None:
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": 6}),
                ("a", "copy", {}, "cpu0"),
                ("b", "copy", {}, "cpu0"),
                ("sink", "collect"),
            ],
            [
                "x.frames a.frames",
                ("a.frames b.frames", {"latencyMicroseconds": 100_000}),
                "b.frames sink.frames",
            ],
        )
    )
    assert document["outputs"]["parameters"]["sink.values"] == list(range(6))
    figures = {edge["from"]: edge["microseconds"] for edge in document["edges"]}
    assert figures.pop("a.frames") >= 100_000
    assert max(figures.values()) < 50_000


def test_the_copy_function_on_host_and_device(run_plan: Any, make_plan: Any) -> None:
    document = run_plan(
        make_plan(
            [("x", "count-source"), ("a", "copy", {}, "cpu0"), ("b", "copy"), ("sink", "collect")],
            ["x.frames a.frames", "a.frames b.frames", "b.frames sink.frames"],
        )
    )
    assert document["outputs"]["parameters"]["sink.values"] == list(range(5))


def test_a_device_that_is_not_here(run_plan: Any, make_plan: Any) -> None:
    document = run_plan(make_plan([("x", "cl-source", {}, "gpu7")], []))
    assert document["reason"] == "DeviceFailed"
    assert document["message"].startswith("Device gpu7 is not on this machine; its OpenCL devices are: cpu0")


def test_an_implementation_on_the_wrong_device(run_plan: Any, make_plan: Any) -> None:
    plan = make_plan([("x", "count-source")], [])
    plan["functions"][0]["device"] = "cpu0"
    plan["devices"] = [{"name": "cpu0", "api": "opencl"}]
    document = run_plan(plan)
    assert document["reason"] == "InvalidInput"
    assert document["message"] == "x: implementation host needs a device of api host, but cpu0 is of api opencl."


def test_a_kernel_comes_from_the_cache_and_survives_a_damaged_one(tmp_path: Path) -> None:
    def run() -> int:
        device = DevicePool(tmp_path).open_all()[0]
        kernel = device.kernel(device.build(KERNEL, (), tmp_path), "set")
        buffer = device.allocate(16)
        kernel.set_args(buffer)
        found = np.zeros(16, np.uint8)
        device.launch(device.queue, kernel, (16,)).wait()
        device.read(device.queue, buffer, found).wait()
        return int(found.sum())

    assert run() == 7 * 16
    (binary,) = (tmp_path / "opencl").iterdir()
    written = binary.stat().st_mtime_ns
    assert run() == 7 * 16
    assert binary.stat().st_mtime_ns == written
    binary.write_bytes(b"garbage")
    assert run() == 7 * 16
    assert binary.read_bytes() != b"garbage"


def test_a_kernel_that_does_not_compile_says_why(pool: DevicePool) -> None:
    device = pool.open_all()[0]
    with pytest.raises(InputError, match="does not compile"):
        device.build("__kernel void broken( {", ())
    with pytest.raises(InputError, match="no kernel named other"):
        device.kernel(device.build(KERNEL, ()), "other")
