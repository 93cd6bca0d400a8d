# SPDX-License-Identifier: Apache-2.0
"""Warm workers: ready before they are needed, replaced when used or dead, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from accelchain_operators.localkube.kubelet import Kubelet, WorkerFailed, pool
from accelchain_operators.localkube.kubelet.launcher import Commands, fits_warm
from accelchain_operators.localkube.kubelet.prepare import Preparation, fingerprint

STANDIN = Path(__file__).with_name("standin_worker.py")


async def test_a_used_worker_is_replaced(kube, start, make_pod, said):
    kubelet = await start(1)
    await kubelet.warm_ready()
    make_pod("one")
    await kube.until("one", "Succeeded")
    make_pod("two")
    await kube.until("two", "Succeeded")
    first, second = await said("one"), await said("two")
    assert first["pid"] != second["pid"]
    assert first["way"] == "warm"


async def test_a_place_is_filled_while_the_worker_still_runs(kube, start, make_pod, said, tmp_path):
    kubelet = await start(1, refill_seconds=0.05)
    await kubelet.warm_ready()
    make_pod("long", {"until": str(tmp_path / "never")})
    await said("long")
    names = iter(f"next-{number}" for number in range(100))
    async with asyncio.timeout(15):
        while True:
            name = next(names)
            make_pod(name)
            await kube.until(name, "Succeeded")
            if (await said(name))["way"] == "warm":
                break


async def test_a_pool_that_is_not_refilled_serves_once(kube, start, make_pod, said):
    kubelet = await start(1, refill_seconds=None)
    await kubelet.warm_ready()
    for name in ("one", "two"):
        make_pod(name)
        await kube.until(name, "Succeeded")
    assert [(await said(name))["way"] for name in ("one", "two")] == ["warm", "cold"]


async def test_a_warm_worker_that_dies_is_replaced(kube, start, make_pod, said, monkeypatch, warm_pids):
    monkeypatch.setattr(pool, "FIRST_BACKOFF", 0.05)
    kubelet = await start(1)
    await kubelet.warm_ready()
    (first,) = warm_pids()
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(15):
        while warm_pids() in ([], [first]):
            await asyncio.sleep(0.01)
    (second,) = warm_pids()
    make_pod("after")
    await kube.until("after", "Succeeded")
    assert (await said("after"))["pid"] == second


async def test_a_broken_worker_is_told_with_its_words(start):
    kubelet = await start(1, {"STANDIN_BROKEN": "1"})
    with pytest.raises(WorkerFailed, match=r"code 3.*no driver"):
        await kubelet.warm_ready()


async def test_a_worker_that_still_warms_up_is_taken(kube, start, make_pod, said):
    await start(1)
    make_pod("at-once")
    await kube.until("at-once", "Succeeded")
    assert (await said("at-once"))["way"] == "warm"


async def test_a_variable_that_is_read_at_the_start_makes_a_cold_one(kube, start, make_pod, said):
    kubelet = await start(1)
    await kubelet.warm_ready()
    make_pod("devices", env=[{"name": "POCL_DEVICES", "value": "basic"}])
    await kube.until("devices", "Succeeded")
    assert (await said("devices"))["way"] == "cold"


@pytest.mark.parametrize(
    ("variables", "fits"),
    [
        ({"POD_IP": "127.64.0.1", "AWS_ACCESS_KEY_ID": "x"}, True),
        ({"POCL_DEVICES": "basic"}, False),
        ({"ACCELCHAIN_FUNCTIONS": "/mine"}, True),
        ({"ACCELCHAIN_FUNCTIONS": "/others"}, False),
    ],
)
def test_which_variables_a_warm_worker_can_take_over(variables, fits):
    assert fits_warm(variables, {"ACCELCHAIN_FUNCTIONS": "/mine"}) is fits


async def test_prewarm_needs_no_api(kube, make_pod, said, warm_pids, tmp_path):
    kubelet = Kubelet(
        None, "laptop", tmp_path / "state", commands=Commands(worker=(sys.executable, str(STANDIN)), prepare=())
    )
    kubelet.prewarm()
    (pid,) = warm_pids()
    try:
        await kubelet.start(kube)
        make_pod("first")
        await kube.until("first", "Succeeded")
        assert (await said("first"))["pid"] == pid
    finally:
        await kubelet.stop()


async def test_stop_leaves_no_process_and_no_file(kube, start, make_pod, said, alive, gone, warm_pids, tmp_path):
    kubelet = await start(2, refill_seconds=0.05)
    await kubelet.warm_ready()
    make_pod("deaf", {"until": str(tmp_path / "never"), "ignore_sigterm": True, "child": True})
    words = await said("deaf")
    pids = [words["pid"], *warm_pids()]
    await kubelet.stop()
    assert not [pid for pid in pids if alive(pid)]
    await gone(words["child"])  # it is nobody's child here: killed, but not awaited
    assert not list((tmp_path / "state").iterdir())


async def test_stop_does_not_wait_for_an_api_that_is_gone(kube, start, make_pod, said, alive, tmp_path):
    kubelet = await start()
    make_pod("orphan", {"until": str(tmp_path / "never")}, terminationGracePeriodSeconds=600)
    pid = (await said("orphan"))["pid"]
    kube.down = True
    kube.break_watches()
    async with asyncio.timeout(10):
        await kubelet.stop()
    assert not alive(pid)


SURVIVOR = """
import asyncio, importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("fakes", {conftest!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
from accelchain_operators.localkube.kubelet import Kubelet
from accelchain_operators.localkube.kubelet.launcher import Commands

async def main():
    kube = fakes.MemoryKube()
    commands = Commands(worker=(sys.executable, {standin!r}), prepare=())
    kubelet = Kubelet(kube, "laptop", Path({folder!r}), 1, commands=commands, refill_seconds=0.01)
    await kubelet.start()
    fakes.make_worker_pod(kube, "long", {{"until": "/nonexistent"}})
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_nothing_survives_kill_9_of_the_kubelet(kube, start, make_pod, said, gone, children_of, tmp_path):
    folder = tmp_path / "state"
    script = SURVIVOR.format(
        conftest=str(Path(__file__).with_name("conftest.py")), standin=str(STANDIN), folder=str(folder)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        running = (await said("long"))["pid"]
        async with asyncio.timeout(15):
            while len(children := children_of(process.pid)) < 2:  # the worker of the pod and a warm one
                await asyncio.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert running in children
    for pid in children:
        await gone(pid)
    # The next kubelet cleans what is left, and works.
    assert list((folder / "pods").iterdir())
    await start(1)
    assert not list((folder / "pods").iterdir())
    make_pod("next")
    await kube.until("next", "Succeeded")


async def test_a_pod_that_ran_under_a_killed_kubelet_fails(kube, start, make_pod):
    pod = make_pod("lost", nodeName="laptop")
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    kube.put("Pod", {**pod, "status": {"phase": "Running", "podIP": "127.64.0.9", "containerStatuses": [running]}})
    await start()
    end = (await kube.until("lost", "Failed"))["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")


async def test_two_kubelets_never_share_a_folder(start, tmp_path):
    await start()
    with pytest.raises(OSError, match="in use by another accelchain"):
        Kubelet(None, "laptop", tmp_path / "state", commands=Commands(prepare=())).prewarm()


async def test_kernels_are_prepared_once(tmp_path):
    count = tmp_path / "count"
    command = [sys.executable, "-c", f"open({str(count)!r}, 'a').write('x')"]
    environment = {**os.environ, "ACCELCHAIN_CACHE": str(tmp_path / "cache")}
    for _ in range(2):
        await Preparation(command, environment).run()
    assert count.read_text() == "x"


async def test_a_failed_preparation_is_told_and_tried_again(tmp_path, caplog):
    command = [sys.executable, "-c", "raise SystemExit('no compiler')"]
    preparation = Preparation(command, {**os.environ, "ACCELCHAIN_CACHE": str(tmp_path)})
    await preparation.run()
    assert "no compiler" in caplog.text
    assert not preparation.done


def test_a_changed_function_is_prepared_again(tmp_path):
    (tmp_path / "kernel.cl").write_text("one")
    environment = {"ACCELCHAIN_FUNCTIONS": str(tmp_path)}
    before = fingerprint(environment)
    assert fingerprint(environment) == before
    (tmp_path / "kernel.cl").write_text("another")
    assert fingerprint(environment) != before
    assert fingerprint(environment | {"POCL_DEVICES": "basic"}) != fingerprint(environment)
