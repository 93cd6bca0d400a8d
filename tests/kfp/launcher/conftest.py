# SPDX-License-Identifier: Apache-2.0
"""An API that launchers see with the rights that we hand out, and launchers as processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accelchain.api.crd import crds
from accelchain.kfp.core.payload import Payload, encode
from accelchain.kfp.install import Wanted, objects
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import DATA_FLOW
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import service_account

JsonObject = dict[str, Any]

NAMESPACE = "kubeflow"
SECONDS = 20.0
CHAIN = {
    "inputs": [{"name": "video"}],
    "outputs": [{"name": "lines"}],
    "functions": [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        {"name": "write", "type": "write-detections", "parameters": {"uri": "$(outputs.lines.uri)"}},
    ],
    "connections": [{"from": "decode.frames", "to": "write.detections"}],
}
PAYLOAD = Payload(
    name="count",
    spec={"chain": CHAIN, "mode": "Batch"},
    inputs={"video": {"parameter": "video"}},
    outputs={"lines": {"artifact": "lines", "ending": ".jsonl"}},
    results={"people": "write.detections"},
    types={"people": "NUMBER_INTEGER"},
    pages={"metrics": "metrics", "report": "report", "summary": "summary"},
)


@dataclass
class Process:
    """A launcher that runs."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)
    _reader: asyncio.Task[None] | None = None

    def read(self) -> None:
        """Keep what it prints."""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode().rstrip())

    async def code(self) -> int:
        """Wait for its end."""
        async with asyncio.timeout(SECONDS):
            assert self._reader is not None
            await self._reader
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def last(self) -> str:
        """What it said last."""
        return self.said[-1] if self.said else ""


@dataclass
class Api:
    """A cluster without operators: tests say what becomes of flows."""

    kube: LocalKube
    client: HttpClient
    folder: Path
    processes: list[Process] = field(default_factory=list)

    async def launch(self, *arguments: str, command: str = "run", payload: Payload | None = PAYLOAD) -> Process:
        """Start a launcher of one and the same task."""
        words = [sys.executable, "-m", "accelchain.kfp.launcher", command, "--executor-input", json.dumps(self.told())]
        words += ["--kubeconfig", str(self.folder / "kubeconfig"), "-n", NAMESPACE]
        words += ["--payload", encode(payload)] if payload else []
        started = await asyncio.create_subprocess_exec(
            *words, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        self.processes.append(Process(started))
        self.processes[-1].read()
        return self.processes[-1]

    def told(self) -> JsonObject:
        """Return what stands in place of ``{{$}}``."""
        made = {name: f"s3://bucket/{name}" for name in ("lines", "metrics", "report", "summary")}
        paths = {"metrics": "metrics", "report": "report.html", "summary": "summary.md"}
        return {
            "inputs": {"parameterValues": {"video": "s3://bucket/a.mp4"}},
            "outputs": {
                "outputFile": str(self.folder / "task/executor_output.json"),
                "parameters": {"people": {"outputFile": str(self.folder / "task/people")}},
                "artifacts": {
                    name: {
                        "artifacts": [
                            {"name": name, "uri": uri}
                            | ({"customPath": str(self.folder / "task" / paths[name])} if name in paths else {})
                        ]
                    }
                    for name, uri in made.items()
                },
            },
        }

    async def flows(self) -> list[JsonObject]:
        return (await self.client.list(DATA_FLOW, NAMESPACE))[0]

    async def until(self, holds: Callable[[list[JsonObject]], object]) -> list[JsonObject]:
        """Wait until the flows are as wanted."""
        async with asyncio.timeout(SECONDS):
            while not holds(found := await self.flows()):
                await asyncio.sleep(0.02)
            return found

    async def made(self) -> JsonObject:
        """Wait for the one flow."""
        (flow,) = await self.until(lambda flows: len(flows) == 1)
        return flow

    async def becomes(self, flow: JsonObject, phase: str, reason: str = "", message: str = "", **more: Any) -> None:
        """Say, as the operators would, what a flow is."""
        kind = phase if phase in ("Running", "Succeeded", "Failed") else "Accepted"
        condition = {
            "type": kind,
            "status": "False" if kind == "Accepted" else "True",
            "reason": reason or phase,
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {"phase": phase, "conditions": [condition], **more}
        meta = flow["metadata"]
        await self.client.patch(DATA_FLOW, meta["name"], NAMESPACE, {"status": status}, subresource="status")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A cluster, with the launchers' account and its rights."""
    kube = LocalKube()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for obj in (namespace, *crds(), *objects(Wanted(NAMESPACE))):
        kube.put(obj)
    await kube.start()
    kube.write_kubeconfig(tmp_path / "kubeconfig", kube.users.add(service_account(NAMESPACE, "pipeline-runner")))
    client = HttpClient(connection=Connection(kube.url, kube.token, ca=kube.ca))
    made = Api(kube, client, tmp_path)
    yield made
    for each in made.processes:
        if each.process.returncode is None:
            each.process.kill()
        await each.process.wait()
    await client.close()
    await kube.stop()
