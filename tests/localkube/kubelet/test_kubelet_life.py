# SPDX-License-Identifier: Apache-2.0
"""The life of a pod on a laptop, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.kinds import POD


def state_of(pod):
    return pod["status"]["containerStatuses"][0]["state"]


@pytest.mark.parametrize(("pool_size", "way"), [(0, "cold"), (1, "warm")])
async def test_a_worker_pod_runs_and_succeeds(kube, start, make_pod, said, tmp_path, pool_size, way):
    kubelet = await start(pool_size)
    if pool_size:
        await kubelet.warm_ready()
    release = tmp_path / "release"
    make_pod("flow-laptop", {"until": str(release), "message": '{"phase": "Succeeded"}'})

    running = await kube.until("flow-laptop", "Running")
    words = await said("flow-laptop")
    assert words["way"] == way
    assert words["token"] == "s3cret"
    assert words["address"] == f"{running['status']['podIP']}:9090"
    assert running["spec"]["nodeName"] == "laptop"
    assert state_of(running)["running"]["startedAt"]
    assert {c["type"]: c["status"] for c in running["status"]["conditions"]}["Ready"] == "True"

    release.touch()
    end = state_of(await kube.until("flow-laptop", "Succeeded"))["terminated"]
    assert (end["exitCode"], end["reason"], end["message"]) == (0, "Completed", '{"phase": "Succeeded"}')
    assert end["finishedAt"] >= end["startedAt"]
    # One write to bind, one to say that it runs, one to say how it ended.
    assert [write for write in kube.writes if write[1] == "Pod"] == [
        ("bind", "Pod", "flow-laptop"),
        ("status", "Pod", "flow-laptop"),
        ("status", "Pod", "flow-laptop"),
    ]


async def test_a_failure_carries_code_and_message(kube, start, make_pod):
    await start()
    make_pod("bad", {"code": 2, "message": "x" * 5000})
    pod = await kube.until("bad", "Failed")
    end = state_of(pod)["terminated"]
    assert (end["exitCode"], end["reason"], end["message"]) == (2, "Error", "x" * 4096)


async def test_the_log_stands_in_for_an_empty_message(kube, start, make_pod):
    await start()
    make_pod(
        "bad", {"code": 1, "message": "", "lines": 3}, container={"terminationMessagePolicy": "FallbackToLogsOnError"}
    )
    assert state_of(await kube.until("bad", "Failed"))["terminated"]["message"].endswith("line 2\n")


async def test_kill_9_is_exit_code_137(kube, start, make_pod, said, tmp_path):
    await start()
    make_pod("killed", {"until": str(tmp_path / "never"), "child": True})
    words = await said("killed")
    await kube.until("killed", "Running")
    os.kill(words["pid"], signal.SIGKILL)
    end = state_of(await kube.until("killed", "Failed"))["terminated"]
    assert (end["exitCode"], end["signal"], end["reason"]) == (137, 9, "Error")


async def test_what_a_worker_left_in_its_group_ends_with_it(kube, start, make_pod, said, gone):
    await start()
    make_pod("parent", {"child": True})
    child = (await said("parent"))["child"]
    await kube.until("parent", "Succeeded")
    await gone(child)


async def test_deleting_a_running_pod_ends_it_and_leaves_nothing(kube, start, make_pod, said, alive, tmp_path):
    kubelet = await start()
    make_pod("doomed", {"until": str(tmp_path / "never")})
    pid = (await said("doomed"))["pid"]
    await kube.until("doomed", "Running")
    await kube.delete(POD, "doomed", "default")
    await kube.until("doomed")
    assert not alive(pid)
    assert kube.statuses["doomed"][-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert not list((tmp_path / "state" / "pods").iterdir())
    with pytest.raises(ApiError, match="404"):
        await anext(kubelet.logs("default", "doomed"))


async def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace(kube, start, make_pod, said, alive, tmp_path):
    await start()
    make_pod("deaf", {"until": str(tmp_path / "never"), "ignore_sigterm": True})
    pid = (await said("deaf"))["pid"]
    await kube.until("deaf", "Running")
    await kube.delete(POD, "deaf", "default", grace_seconds=1)
    await kube.until("deaf")
    assert not alive(pid)
    assert kube.statuses["deaf"][-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_a_pod_that_is_forced_away_is_killed_without_grace(kube, start, make_pod, said, gone, tmp_path):
    await start()
    make_pod("forced", {"until": str(tmp_path / "never"), "ignore_sigterm": True})
    pid = (await said("forced"))["pid"]
    await kube.delete(POD, "forced", "default", grace_seconds=60)
    await kube.delete(POD, "forced", "default", grace_seconds=0)
    await gone(pid)


async def test_the_deadline_of_a_pod_fails_it(kube, start, make_pod, tmp_path):
    await start()
    make_pod("slow", {"until": str(tmp_path / "never")}, activeDeadlineSeconds=1)
    pod = await kube.until("slow", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "activeDeadlineSeconds (1 s)" in pod["status"]["message"]
    assert state_of(pod)["terminated"]["exitCode"] == 143


async def test_a_missing_config_map_is_waited_for(kube, start, make_pod, config_map_of):
    await start()
    make_pod("early", config=False)
    waiting = await kube.until("early", "Pending")
    async with asyncio.timeout(10):
        while not waiting["status"].get("containerStatuses"):
            await asyncio.sleep(0.01)
            waiting = await kube.until("early", "Pending")
    assert state_of(waiting)["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'ConfigMap "early" not found in the namespace of the pod',
    }
    kube.put("ConfigMap", config_map_of("early", {}))
    await kube.until("early", "Succeeded")


async def test_a_pod_is_deleted_while_it_waits(kube, start, make_pod, tmp_path):
    await start()
    make_pod("early", config=False)
    async with asyncio.timeout(10):
        while not kube.statuses.get("early"):
            await asyncio.sleep(0.01)
    await kube.delete(POD, "early", "default")
    await kube.until("early")
    assert not list((tmp_path / "state" / "pods").iterdir())


async def test_files_of_a_pod_are_readable_by_the_user_alone(kube, start, make_pod, said, tmp_path):
    await start()
    make_pod("private", {"until": str(tmp_path / "never")})
    await said("private")
    (folder,) = (tmp_path / "state" / "pods").iterdir()
    modes = {path.relative_to(folder): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes[Path("volumes/token/token")] == 0o600
    assert modes[Path("worker.log")] == 0o600
    assert modes[Path()] == 0o700
    assert all(mode & 0o077 == 0 for path, mode in modes.items() if path.parts[:1] in ((), ("volumes",)))


async def test_other_images_are_refused_in_a_sentence(kube, start, make_pod):
    await start()
    make_pod("web", container={"image": "nginx"})
    pod = await kube.until("web", "Pending")
    async with asyncio.timeout(10):
        while not kube.statuses.get("web"):
            await asyncio.sleep(0.01)
    pod = await kube.until("web", "Pending")
    assert state_of(pod)["waiting"]["reason"] == "ErrImagePull"
    assert '"nginx"' in state_of(pod)["waiting"]["message"]
    await kube.delete(POD, "web", "default")
    await kube.until("web")


async def test_pods_have_different_addresses(kube, start, make_pod, tmp_path):
    await start()
    release = tmp_path / "release"
    for number in range(3):
        make_pod(f"pod-{number}", {"until": str(release)})
    pods = [await kube.until(f"pod-{number}", "Running") for number in range(3)]
    addresses = {pod["status"]["podIP"] for pod in pods}
    assert len(addresses) == 3
    assert all(address.startswith("127.") for address in addresses)


async def test_an_outage_of_the_api_loses_no_end(kube, start, make_pod, tmp_path):
    await start()
    release = tmp_path / "release"
    make_pod("patient", {"until": str(release)})
    await kube.until("patient", "Running")
    kube.down = True
    kube.break_watches()
    release.touch()
    await asyncio.sleep(0)
    kube.down = False
    await kube.until("patient", "Succeeded")


async def test_a_deletion_that_the_watch_missed_ends_the_worker(kube, start, make_pod, said, gone, tmp_path):
    await start()
    make_pod("missed", {"until": str(tmp_path / "never")})
    pid = (await said("missed"))["pid"]
    await kube.until("missed", "Running")
    kube.drop("missed")
    kube.break_watches()
    await gone(pid)


async def test_a_pod_for_another_node_is_left_alone(kube, start, make_pod):
    await start()
    make_pod("elsewhere", nodeSelector={"kubernetes.io/hostname": "other"})
    make_pod("here")
    await kube.until("here", "Succeeded")
    assert "nodeName" not in kube.objects["Pod", "default", "elsewhere"]["spec"]


async def test_at_rest_nothing_is_written(kube, start, make_pod):
    await start(1)
    make_pod("one")
    await kube.until("one", "Succeeded")
    before = list(kube.writes)
    assert [write for write in before if write[1] == "Node"] == [
        ("apply", "Node", "laptop"),
        ("status", "Node", "laptop"),
    ]
    kube.break_watches()  # makes it list everything again
    make_pod("two")
    await kube.until("two", "Succeeded")
    assert [write for write in kube.writes[len(before) :] if write[2] != "two"] == []
