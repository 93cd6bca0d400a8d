# SPDX-License-Identifier: Apache-2.0
"""The Argo plugin's server on one core: requests a second, start, memory. Prints one JSON document; MB are 10^6 bytes.

The plugin is a process of its own, held on one core; what plays Argo's agent and what plays the Kubernetes API share
the others. 64 templates are asked about at once, over and over: half of them new (a DataFlow is created), half polls of
flows that run. ``new_cpu_milliseconds`` and ``poll_cpu_milliseconds`` are what the plugin's core spends on each kind
alone. Memory is taken at rest, and after all that, with all of those flows known.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from running_up import memory_mb

TOKEN = "of-this-pod"
PARALLEL = 64
NODES = 500
"""Nodes of the Workflow that the plugin reads."""
WORKFLOW = {"name": "many", "namespace": "default", "uid": "5d5f8b4e-3c1e-4a57-9a0c-2f3f4f1d6c11"}
METHOD = "/api/v1/template.execute"
DEADLINE = 30.0
GOALS = {"requests_per_second": 300.0, "start_seconds": 0.5, "memory_mb": 60.0}


def template(number: int) -> dict[str, Any]:
    """Return a template after Argo's substitution: the demo chain by reference."""
    return {
        "name": "detect",
        "inputs": {"parameters": [{"name": "video", "value": f"s3://videos/{number}.mp4"}]},
        "outputs": {"parameters": [{"name": "frames", "valueFrom": {"supplied": {}}}]},
        "metadata": {},
        "plugin": {
            "accelchain": {
                "node": f"many(0).detect({number}:s3://videos/{number}.mp4)",
                "attempt": "{{retries}}",
                "dataflow": {
                    "chainRef": {"name": "person-detection"},
                    "parameters": {"threshold": "0.4"},
                    "inputs": {"video": {"uri": f"s3://videos/{number}.mp4"}},
                    "outputs": {
                        "annotated": {"uri": f"s3://results/{number}.mp4"},
                        "detections": {"uri": f"s3://results/{number}.jsonl"},
                    },
                },
            }
        },
    }


class Api:
    """As much of the Kubernetes API as the plugin asks for; flows run from the moment that they are created."""

    def __init__(self) -> None:
        self.version = itertools.count(1)
        self.watchers: list[asyncio.Queue[dict[str, Any]]] = []
        nodes = {
            f"many-{i}": {"id": f"many-{i}", "name": f"many[{i}]", "type": "Pod", "phase": "Running"}
            for i in range(NODES)
        }
        self.workflow = json.dumps(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": WORKFLOW,
                "spec": {},
                "status": {"phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "nodes": nodes},
            }
        ).encode()

    async def flows(self, request: web.Request) -> web.StreamResponse:
        """List or watch."""
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "0"}, "items": []})
        stream = web.StreamResponse()
        await stream.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.watchers.append(queue)
        while True:
            flow = await queue.get()
            await stream.write(json.dumps({"type": "ADDED", "object": flow}).encode() + b"\n")

    async def create(self, request: web.Request) -> web.Response:
        """Create a flow."""
        flow = await request.json()
        number = next(self.version)
        flow["metadata"] |= {
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        flow["status"] = {
            "phase": "Running",
            "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Valid", "message": ""},
                {"type": "Running", "status": "True", "reason": "WorkerRunning", "message": ""},
            ],
        }
        for queue in self.watchers:
            queue.put_nowait(flow)
        return web.json_response(flow)

    async def get_workflow(self, _: web.Request) -> web.Response:
        """Return the Workflow."""
        return web.Response(body=self.workflow, content_type="application/json")

    def serve(self, listener: socket.socket) -> None:
        """Serve until the process is ended."""
        app = web.Application()
        flows = "/apis/accelchain.io/v1alpha1/namespaces/default/dataflows"
        app.router.add_get(flows, self.flows)
        app.router.add_post(flows, self.create)
        app.router.add_get("/apis/argoproj.io/v1alpha1/namespaces/default/workflows/many", self.get_workflow)
        web.run_app(app, sock=listener, print=lambda _: None, access_log=None)


@contextmanager
def api() -> Iterator[int]:
    """Serve the API in a process of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=Api().serve, args=(listener,), daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()  # it keeps nothing
            process.join(5)


class Plugin:
    """The plugin's process."""

    def __init__(self, folder: Path, api_port: int, core: int | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        (folder / "token").write_text(TOKEN)
        # In a pod the connection comes from the ServiceAccount's files: nothing of kubeconfigs is imported.
        code = (
            "from accelchain.cli import argo_plugin; from accelchain_operators.kube.connection import Connection; "
            f"argo_plugin._connection = lambda *_: Connection('http://127.0.0.1:{api_port}', 't'); argo_plugin.plugin()"
        )
        command = [sys.executable, "-c", code, "--port", str(self.port), "--token-file", str(folder / "token")]
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})

    def until_listening(self) -> float:
        """Return the seconds from the process's start until it takes a connection."""
        while time.perf_counter() - self.begun < DEADLINE:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return time.perf_counter() - self.begun
            except OSError:
                time.sleep(0.002)
        raise SystemExit(f"the plugin does not listen after {DEADLINE:.0f} s")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def plugin_process(folder: Path, api_port: int, core: int | None) -> Iterator[Plugin]:
    """Run the plugin."""
    plugin = Plugin(folder, api_port, core)
    try:
        yield plugin
    finally:
        plugin.stop()


async def first(plugin: Plugin) -> None:
    """Ask for one step, so that the plugin has imported everything."""
    async with aiohttp.ClientSession() as session:
        await ask(session, f"http://127.0.0.1:{plugin.port}{METHOD}", [-1])


async def ask(session: aiohttp.ClientSession, url: str, numbers: list[int]) -> list[float]:
    """Ask about templates, 64 at once; return each one's seconds."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(body: bytes) -> float:
        async with gate:
            begun = time.perf_counter()
            async with session.post(url, data=body, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                reply = await answer.json()
            if answer.status != 200 or reply.get("node") != {}:
                raise SystemExit(f"unexpected answer {answer.status}: {reply}")
            return time.perf_counter() - begun

    bodies = [
        json.dumps({"workflow": {"metadata": WORKFLOW}, "template": template(number)}).encode() for number in numbers
    ]
    return await asyncio.gather(*map(one, bodies))


async def load(plugin: Plugin, requests: int) -> dict[str, Any]:
    """Measure throughput and what a request costs."""
    url = f"http://127.0.0.1:{plugin.port}{METHOD}"
    new = itertools.count()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        old = list(itertools.islice(new, PARALLEL // 2))
        await ask(session, url, old)
        turns = itertools.cycle(old)
        mixed = [next(new) if i % 2 else next(turns) for i in range(requests)]
        begun = time.perf_counter()
        latencies = await ask(session, url, mixed)
        seconds = time.perf_counter() - begun
        costs = {}
        for kind, numbers in (
            ("poll", list(itertools.islice(turns, requests))),
            ("new", list(itertools.islice(new, requests // 2))),
        ):
            before = plugin.cpu_seconds()
            await ask(session, url, numbers)
            costs[f"{kind}_cpu_milliseconds"] = round(1e3 * (plugin.cpu_seconds() - before) / len(numbers), 3)
    return {
        "requests": requests,
        "requests_per_second": round(requests / seconds, 1),
        "milliseconds_median": round(1e3 * statistics.median(latencies), 1),
        "milliseconds_p95": round(1e3 * statistics.quantiles(latencies, n=20)[-1], 1),
        **costs,
    }


def measure(requests: int, starts: int) -> dict[str, Any]:
    """Measure everything."""
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if len(cores) > 1 else None
    if core is not None:
        os.sched_setaffinity(0, set(cores) - {core})  # and the API's process, which is made of this one
    with tempfile.TemporaryDirectory() as name, api() as port:
        folder, begun = Path(name), []
        for _ in range(starts):
            with plugin_process(folder, port, core) as plugin:
                begun.append(plugin.until_listening())
        with plugin_process(folder, port, core) as plugin:
            plugin.until_listening()
            asyncio.run(first(plugin))
            at_rest = memory_mb(plugin.process.pid)["rss"]
            figures = asyncio.run(load(plugin, requests))
            memory = memory_mb(plugin.process.pid)["rss"]
    return {
        **figures,
        "flows_known": PARALLEL // 2 + requests // 2 + requests // 2,
        "start_seconds": round(statistics.median(begun), 3),
        "memory_at_rest_mb": at_rest,
        "memory_mb": memory,
        "goals": GOALS,
        "ratios": {
            "requests_per_second": round(figures["requests_per_second"] / GOALS["requests_per_second"], 2),
            "start_seconds": round(statistics.median(begun) / GOALS["start_seconds"], 2),
            "memory_mb": round(memory / GOALS["memory_mb"], 2),
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=7)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.requests, arguments.starts), indent=2))


if __name__ == "__main__":
    main()
