# SPDX-License-Identifier: Apache-2.0
"""Simulated nodes: kubelets that run Pods by script, lose them, freeze and thaw."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.localkube.errors import StatusError
from accelchain_operators.localkube.store.store import Change
from accelchain_operators.node import heartbeat
from accelchain_operators.reconcile.times import rfc3339
from faultkit import zygote
from faultkit.api import Api, node_inventory
from faultkit.scripts import Script
from faultkit.workers import GRANT_SECONDS, Node, ToldToEnd, Worker, WorkerServer

HEARTBEAT = 0.5
NOT_READY_AFTER = 2.0
"""Seconds until the control plane calls a frozen node not ready."""
THAWED_RUNS_ON = 0.5
"""Seconds that a worker whose Pod was deleted meanwhile goes on after its machine thawed."""
TAINT_EVICTION = zygote.STALE_AFTER + 0.5
"""Seconds until it deletes the Pods of a frozen node."""
EXIT_CODES = {"InvalidInput": 2, "succeed": 0, "Stopped": 143}


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt's Pod ended, as the simulation knows it."""

    flow: str
    attempt: int
    pod: str
    end: str
    """An ``End`` of scripts; ``told``: it was told to end; ``lost``: its node was lost."""
    heard: bool
    """Whether an operator had heard of its worker, so that its loss is the loss of a worker."""
    reported: bool
    """Whether its Pod's status told of the end."""
    time: float


class Kubelets:
    """All nodes of a cluster.

    Args:
        api: The API.
        server: Where workers' status is served.
        script_of: Returns what the worker of a flow's attempt does (namespace, name, attempt).
        rng: For delays.
    """

    def __init__(
        self, api: Api, server: WorkerServer, script_of: Callable[[str, str, int], Script], rng: random.Random
    ) -> None:
        self._api = api
        self._server = server
        self._script_of = script_of
        self._rng = rng
        self.nodes: dict[str, Node] = {}
        self.ended: list[Ended] = []
        self.workers: dict[str, Worker] = {}
        """Those that run, by uid of their Pods."""
        self.begun: dict[tuple[str, int], str] = {}
        """The Pod of each attempt whose worker began, by flow and number."""
        self.disrupted: set[str] = set()
        """Names of the Pods that the control plane deleted."""
        self.failures: list[str] = []
        self._told: dict[str, asyncio.Event] = {}
        self._gone: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, names: list[str]) -> None:
        """Have nodes join the cluster."""
        for name in names:
            self.nodes[name] = Node(name)
            ready = [{"type": "Ready", "status": "True"}]
            self._api.kube.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
            self._api.patch(kinds.NODE, None, name, {"status": {"conditions": ready}}, "status")
            self._api.kube.put(node_inventory(name))
            self._api.kube.put(heartbeat.lease(name, zygote.HOME, time.time(), None))
            self._task(self._beat(self.nodes[name]), f"heartbeat of {name}")
            self._task(self._watch_over(self.nodes[name]), f"health of {name}")
        self._api.listen(kinds.POD, self._changed)

    async def close(self) -> None:
        """End everything."""
        for node in self.nodes.values():
            node.awake.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self, name: str) -> None:
        """Have a machine stand still."""
        self.nodes[name].freeze()

    def thaw(self, name: str) -> None:
        """Have it go on where it stood."""
        node = self.nodes[name]
        node.frozen_at = None
        node.awake.set()
        ready = [{"type": "Ready", "status": "True"}]
        self._api.patch(kinds.NODE, None, name, {"status": {"conditions": ready}}, "status")

    def not_ready(self) -> set[str]:
        """Return the nodes that the API says are not ready."""
        nodes = self._api.all(kinds.NODE)
        return {n["metadata"]["name"] for n in nodes if n["status"]["conditions"][0]["status"] != "True"}

    def busy(self) -> list[Worker]:
        """Return the workers that are in the midst of their work, on nodes that are awake."""
        return [
            worker
            for worker in self.workers.values()
            if worker.heard and worker.document["phase"] == "Running" and worker.node.awake.is_set()
        ]

    def _task(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(f"{task.get_name()}: {error!r}")

    async def _beat(self, node: Node) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await node.awake.wait()
            lease = heartbeat.lease(node.name, zygote.HOME, time.time(), None)
            meta = lease["metadata"]
            self._api.patch(kinds.LEASE, meta["namespace"], meta["name"], {"spec": lease["spec"]})

    async def _watch_over(self, node: Node) -> None:
        """Do what the control plane does for a node that is not heard of."""
        while True:
            await asyncio.sleep(0.2)
            if node.frozen_at is None:
                continue
            away = time.monotonic() - node.frozen_at
            if away > NOT_READY_AFTER:
                silent = [{"type": "Ready", "status": "Unknown"}]
                self._api.patch(kinds.NODE, None, node.name, {"status": {"conditions": silent}}, "status")
            if away > TAINT_EVICTION:
                for pod in self._api.all(kinds.POD):
                    there = pod["spec"].get("nodeName") == node.name and "deletionTimestamp" not in pod["metadata"]
                    # Of one that has ended the result would be lost if all operators are away just then.
                    if there and pod["status"]["phase"] not in ("Succeeded", "Failed"):
                        self.disrupt(pod, "DeletionByTaintManager")

    def disrupt(self, pod: JsonObject, reason: str) -> None:
        """Delete a Pod as the control plane does, which says why."""
        meta = pod["metadata"]
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "simulated"}
        conditions = [*(pod.get("status") or {}).get("conditions", ()), condition]
        self.disrupted.add(meta["name"])
        with suppress(StatusError):
            self._api.patch(
                kinds.POD, meta["namespace"], meta["name"], {"status": {"conditions": conditions}}, "status"
            )
            self._api.delete(kinds.POD, meta["namespace"], meta["name"])

    def _changed(self, change: Change) -> None:
        pod = change.object
        uid = pod["metadata"]["uid"]
        if change.type == "ADDED":
            self._told[uid], self._gone[uid] = asyncio.Event(), asyncio.Event()
            self._task(self._live(pod), f"Pod {pod['metadata']['name']}")
        elif uid in self._told:
            if change.type == "DELETED":
                self._gone[uid].set()
            if change.type == "DELETED" or "deletionTimestamp" in pod["metadata"]:
                self._tell(uid, self.nodes[pod["spec"]["nodeSelector"]["kubernetes.io/hostname"]])

    def _tell(self, uid: str, node: Node) -> None:
        """Have a worker told to end; one that thaws runs on for a while before its kubelet comes to it."""
        told = self._told[uid]
        if node.awake.is_set():
            told.set()
            return

        async def later() -> None:
            await node.awake.wait()
            await asyncio.sleep(THAWED_RUNS_ON)
            told.set()

        self._task(later(), f"end of Pod {uid}")

    async def _live(self, pod: JsonObject) -> None:
        meta = pod["metadata"]
        uid = meta["uid"]
        node = self.nodes[pod["spec"]["nodeSelector"]["kubernetes.io/hostname"]]
        try:
            await node.awake.wait()
            await asyncio.sleep(self._rng.uniform(0.0, 0.03))
            if self._gone[uid].is_set():
                return
            self._api.bind(pod, node.name)
            worker = await self._prepare(pod, node)
            if worker is not None:
                await self._run(pod, worker)
            if not self._gone[uid].is_set():
                await self._confirm(pod, node)
        except StatusError as error:
            if error.code not in (404, 409):
                raise  # it was deleted under our hands, which is what happens to Pods
        finally:
            del self._told[uid], self._gone[uid]

    async def _prepare(self, pod: JsonObject, node: Node) -> Worker | None:
        """Mount plan and token; None: the Pod was deleted before."""
        meta = pod["metadata"]
        while not self._told[meta["uid"]].is_set():
            await node.awake.wait()
            config_map = self._api.get(kinds.CONFIG_MAP, meta["namespace"], meta["name"])
            secret = self._api.get(kinds.SECRET, meta["namespace"], meta["name"])
            if config_map is None or secret is None:
                await asyncio.sleep(0.05)
                continue
            plan = json.loads(config_map["data"]["plan.json"])
            flow = plan["flow"]
            worker = Worker(
                pod,
                node,
                plan,
                base64.b64decode(secret["data"]["token"]).decode(),
                self._script_of(flow["namespace"], flow["name"], plan["attempt"]["number"]),
                told=self._told[meta["uid"]],
            )
            return worker
        return None

    async def _run(self, pod: JsonObject, worker: Worker) -> None:
        meta = pod["metadata"]
        now = rfc3339(time.time())
        running = {"name": "worker", "ready": True, "state": {"running": {"startedAt": now}}}
        self._server.add(worker)
        self.workers[meta["uid"]] = worker
        self.begun[worker.flow, worker.number] = meta["name"]
        try:
            self._status(pod, {"phase": "Running", "podIP": self._server.ip, "startTime": now}, running)
            try:
                end, message = await self._work(worker)
            except ToldToEnd:
                end, message = self._stop(worker)
            await worker.node.awake.wait()
            lost = self._gone[meta["uid"]].is_set() and end != "told"
            self._note(worker, "lost" if lost else end, not self._gone[meta["uid"]].is_set())
            if not self._gone[meta["uid"]].is_set():
                self._end(pod, end, message)
        finally:
            del self.workers[meta["uid"]]
            self._server.remove(worker)

    def _note(self, worker: Worker, end: str, reported: bool) -> None:
        name = worker.pod["metadata"]["name"]
        self.ended.append(Ended(worker.flow, worker.number, name, end, worker.heard, reported, time.monotonic()))

    async def _work(self, worker: Worker) -> tuple[str, str]:
        """Do what the script says; returns the end and the termination message."""
        script = worker.script
        await worker.rest(self._rng.uniform(0.0, 0.05))
        worker.began = time.monotonic()
        worker.say("Running")
        seconds = script.seconds if script.end not in ("never", "deleted", "drained") else 1e9
        left = worker.plan.get("deadlineSeconds")
        if left is not None and script.heeds_deadline and left < seconds:
            await worker.rest(max(0.0, left))
            return self._fail(worker, "DeadlineExceeded")
        await worker.rest(seconds, worker.source_ended)
        match script.end:
            case "succeed" | "never":
                return await self._succeed(worker)
            case "InvalidInput" | "FunctionFailed" | "DeviceFailed":
                return self._fail(worker, script.end)
        return script.end, ""

    async def _succeed(self, worker: Worker) -> tuple[str, str]:
        worker.say("Publishing")
        while not worker.granted.is_set():
            try:
                await worker.rest(1e9, worker.granted)
            except ToldToEnd:
                if not worker.granted.is_set():
                    raise
            if worker.granted.is_set() and time.monotonic() - worker.granted_at > GRANT_SECONDS:
                worker.granted.clear()  # it was frozen meanwhile
                worker.say("Publishing")
        await worker.rest(worker.script.publishes_in)
        after = self._server.publish(worker, granted=True)
        worker.say("Succeeded", position=after)
        return "succeed", json.dumps(worker.document)

    def _fail(self, worker: Worker, reason: str) -> tuple[str, str]:
        worker.say("Failed", reason=reason, message=f"simulated {reason}")
        return reason, json.dumps(worker.document)

    def _stop(self, worker: Worker) -> tuple[str, str]:
        """SIGTERM: a Stream worker publishes what it has, unless its Pod was taken from it by force."""
        if self._gone[worker.pod["metadata"]["uid"]].is_set():
            return "lost", ""  # the kubelet kills what has no Pod any more
        if worker.plan["mode"] == "Stream" and worker.began:
            after = self._server.publish(worker, granted=False)
            worker.say("Succeeded", reason="Stopped", position=after)
        else:
            worker.say("Failed", reason="Stopped", message="told to stop")
        return "told", json.dumps(worker.document)

    def _end(self, pod: JsonObject, end: str, message: str) -> None:
        if end == "Evicted":
            status = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory (simulated)"}
            self._status(pod, status, None)
            return
        code = EXIT_CODES.get("Stopped" if end == "told" else end, 137 if end == "OOMKilled" else 1)
        ended = {"exitCode": code, "message": message, "finishedAt": rfc3339(time.time())}
        if end == "OOMKilled":
            ended["reason"] = "OOMKilled"
        container = {"name": "worker", "ready": False, "state": {"terminated": ended, "running": None}}
        self._status(pod, {"phase": "Failed" if code else "Succeeded"}, container)

    async def _confirm(self, pod: JsonObject, node: Node) -> None:
        """Tell the API that a Pod which was told to end has ended."""
        meta = pod["metadata"]
        await self._told[meta["uid"]].wait()
        await node.awake.wait()
        await asyncio.sleep(self._rng.uniform(0.0, 0.03))
        if not self._gone[meta["uid"]].is_set():
            self._api.delete(kinds.POD, meta["namespace"], meta["name"], 0)

    def _status(self, pod: JsonObject, status: JsonObject, container: JsonObject | None) -> None:
        meta = pod["metadata"]
        status = {**status, "containerStatuses": [container] if container else []}
        with suppress(StatusError):  # it is gone
            self._api.patch(kinds.POD, meta["namespace"], meta["name"], {"status": status}, "status")
