# SPDX-License-Identifier: Apache-2.0
"""What a client of the API sees of workflows, and when: moments of steps for argo.py."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelchain_operators.kube.client import ResourceType
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import DATA_FLOW, POD, TASK_SET

_ENDED = ("Succeeded", "Failed", "Error")
_NODE = "accelchain.io/node-id"
LEFT_SECONDS = 1.0
"""So long the watch goes on after a workflow's end."""


class Watched:
    """A context manager that watches a namespace; its dictionaries have seconds of time.monotonic() by node id."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._client = HttpClient.from_kubeconfig(kubeconfig)
        self._namespace = namespace
        self._tasks: list[asyncio.Task[None]] = []
        self.asked: dict[str, float] = {}
        """The step appeared in a WorkflowTaskSet."""
        self.made: dict[str, float] = {}
        """Its DataFlow appeared."""
        self.ended: dict[str, float] = {}
        """The DataFlow ended."""
        self.told: dict[str, float] = {}
        """The WorkflowTaskSet had the result."""
        self.flows: dict[str, int] = defaultdict(int)
        """DataFlows by node: one is enough."""
        self.pods: set[str] = set()
        self.task_set_bytes = 0
        """The longest WorkflowTaskSet, as JSON without managedFields."""

    async def __aenter__(self) -> Watched:
        for kind in (TASK_SET, DATA_FLOW, POD):
            _, version = await self._client.list(kind, self._namespace)
            self._tasks.append(asyncio.create_task(self._follow(kind, version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(LEFT_SECONDS)
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def latencies(self) -> Mapping[str, list[float]]:
        """Return milliseconds of our part of every step that was seen from its begin to its end."""
        made = [(self.made[node] - self.asked[node]) * 1e3 for node in self.made if node in self.asked]
        told = [(self.told[node] - self.ended[node]) * 1e3 for node in self.told if node in self.ended]
        return {"create_ms": made, "report_ms": told}

    async def _follow(self, kind: ResourceType, version: str) -> None:
        while True:
            async for event in self._client.watch(kind, self._namespace, resource_version=version):
                obj = event.object
                version = obj["metadata"].get("resourceVersion", version)
                if event.type in ("ADDED", "MODIFIED"):
                    self._note(kind, event.type, obj, time.monotonic())

    def _note(self, kind: ResourceType, type: str, obj: Mapping[str, Any], now: float) -> None:
        if kind is POD:
            self.pods.add(obj["metadata"]["name"])
        elif kind is DATA_FLOW:
            node = (obj["metadata"].get("annotations") or {}).get(_NODE, "")
            self.made.setdefault(node, now)
            self.flows[node] += type == "ADDED"
            if obj.get("status", {}).get("phase") in _ENDED:
                self.ended.setdefault(node, now)
        else:
            for node in obj.get("spec", {}).get("tasks") or {}:
                self.asked.setdefault(node, now)
            for node, result in (obj.get("status", {}).get("nodes") or {}).items():
                if result.get("phase") in _ENDED:
                    self.told.setdefault(node, now)
            plain = {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
            self.task_set_bytes = max(self.task_set_bytes, len(json.dumps(plain, separators=(",", ":"))))
