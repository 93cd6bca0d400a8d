# SPDX-License-Identifier: Apache-2.0
"""Argo's own agent, where ``ACCELCHAIN_ARGOEXEC`` names its binary: not only the fake one must agree with us."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

ARGOEXEC = os.environ.get("ACCELCHAIN_ARGOEXEC", "")
TOKEN = "a-token-of-thirty-two-characters"

pytestmark = pytest.mark.skipif(
    not ARGOEXEC or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="ACCELCHAIN_ARGOEXEC names no argoexec, or there is no mount namespace to be had for its token",
)

# The token's place is fixed in Argo: /var/run/argo/<plugin>/token. It is made where nobody else sees it.
START = """
mount -t tmpfs tmpfs /var/run
mkdir -p /var/run/argo/accelchain
printf %s "$TOKEN" > /var/run/argo/accelchain/token
exec "$ARGOEXEC" agent main --namespace default --loglevel debug
"""


@asynccontextmanager
async def argoexec(argo: Any, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """``argoexec agent main`` as the agent pod runs it."""
    kubeconfig = folder / "kubeconfig"
    argo.kube.write_kubeconfig(kubeconfig)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KUBECONFIG": str(kubeconfig),
        "ARGOEXEC": ARGOEXEC,
        "TOKEN": TOKEN,
        "ARGO_WORKFLOW_NAME": argo.name,
        "ARGO_WORKFLOW_UID": argo.uid,
        "ARGO_PLUGIN_NAMES": json.dumps(["accelchain"]),
        "ARGO_PLUGIN_ADDRESSES": json.dumps([argo.url]),
        "ARGO_AGENT_PATCH_RATE": "200ms",
        "ARGO_AGENT_TASK_WORKERS": "16",
    }
    with (folder / "argoexec.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            START,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_argos_own_agent_runs_steps_to_their_end(argo: Any, tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(20)]
    bad = argo.template("bad", body={"dataflw": {}})
    await argo.create_task_set({**argo.tasks(*names), argo.node("bad"): bad})
    await argo.set_nodes([*names, "bad"])
    async with argoexec(argo, tmp_path):
        await argo.until(lambda: _count(argo, 20), "20 flows")
        for flow in await argo.flows():
            await argo.set_status(flow, "Succeeded")
        nodes = await argo.until(lambda: _ended(argo, 21), "all results")
    assert nodes.pop(argo.node("bad"))["phase"] == "Failed"
    assert {node["phase"] for node in nodes.values()} == {"Succeeded"}


async def test_argos_own_agent_replays_and_leaves_nodes_pending_meanwhile(argo: Any, tmp_path: Path) -> None:
    await argo.create_task_set(argo.tasks("detect"))
    await argo.set_node("detect")
    log = tmp_path / "argoexec.log"
    for _ in range(2):
        async with argoexec(argo, tmp_path):
            await argo.until(lambda: "Sending result" in log.read_text(), "an answer")
            flow = await argo.flow("detect")
            assert flow is not None
            assert await argo.task_status() == {}
    async with argoexec(argo, tmp_path) as agent:
        assert (await argo.flow())["metadata"]["uid"] == flow["metadata"]["uid"]
        await argo.set_status(flow, "Failed", "InvalidInput", message="no such file")
        nodes = await argo.until(argo.task_status)
        assert "no such file" in nodes[argo.node("detect")]["message"]
        await argo.complete_task_set()
        assert await asyncio.wait_for(agent.wait(), 10) == 0


async def _count(argo: Any, number: int) -> bool:
    return len(await argo.flows()) == number


async def _ended(argo: Any, number: int) -> Any:
    nodes = await argo.task_status()
    return nodes if len(nodes) == number else None
