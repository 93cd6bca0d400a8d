# SPDX-License-Identifier: Apache-2.0
"""The kubelet: one node, its pods, its warm workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any

from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.localkube.kubelet import status
from accelchain_operators.localkube.kubelet.api import (
    GONE,
    NODE,
    StatusWriter,
    delete_now,
    tell_failure,
    until_answered,
)
from accelchain_operators.localkube.kubelet.binding import fits, wants_binding
from accelchain_operators.localkube.kubelet.folder import StateFolder
from accelchain_operators.localkube.kubelet.launcher import Commands, Launcher
from accelchain_operators.localkube.kubelet.logs import read_log
from accelchain_operators.localkube.kubelet.node_object import HOST_IP, labels, node
from accelchain_operators.localkube.kubelet.podspec import JsonObject
from accelchain_operators.localkube.kubelet.runner import PodRunner
from accelchain_operators.localkube.kubelet.watch import follow_pods
from accelchain_operators.localkube.objects import timestamp

FIELD_MANAGER = "accelchain-kubelet"
REFILL_SECONDS = 5.0
STOP_GRACE_SECONDS = 3.0
"""A worker that is told to stop discards unfinished files, within two seconds."""
FINAL_PHASES = ("Succeeded", "Failed")

log = logging.getLogger(__name__)


class Kubelet:
    """Runs the pods of one node as local processes."""

    def __init__(
        self,
        client: KubeClient | None,
        node_name: str,
        folder: Path,
        pool_size: int = 1,
        environment: Mapping[str, str] | None = None,
        *,
        refill_seconds: float | None = REFILL_SECONDS,
        commands: Commands | None = None,
    ) -> None:
        """Describe the kubelet; nothing is started or written.

        Args:
            client: the API; None: there is none yet, ``start`` gets it.
            node_name: name of the Node.
            folder: state folder, used by no other kubelet; pods live in ``pods/`` below it.
            pool_size: warm workers kept ready.
            environment: variables of every worker on top of this process's own.
            refill_seconds: when a warm worker that was taken is replaced at the latest; None: never (for a single run).
            commands: programs to start instead of the runtime's worker.
        """
        self._given_client = client
        self._node_name = node_name
        self._folder = StateFolder(folder)
        self._launcher = Launcher(
            commands or Commands(), environment or {}, self._folder.pool, pool_size, refill_seconds
        )
        self._labels = labels(node_name)
        self._runners: dict[str, PodRunner] = {}
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None

    def prewarm(self) -> None:
        """Start the warm workers before anything else; optional, needs no event loop and no API.

        The thread that calls this must outlive the workers: they die with it.

        Raises:
            OSError: the folder is in use or cannot be written, or a worker cannot be started.
        """
        self._folder.open()
        self._launcher.prewarm()

    async def start(self, client: KubeClient | None = None) -> None:
        """Register the node and look after its pods from now on.

        Args:
            client: the API, where the constructor did not get it.

        Raises:
            ValueError: neither got it.
            OSError: the folder is in use or cannot be written.
            ApiError: the API refuses the Node.
        """
        self._given_client = client or self._given_client
        api = self._client
        self._folder.open()
        self._launcher.start()
        await self._register()
        self._watching = asyncio.create_task(follow_pods(api, self._replace, self._change), name="watch of pods")
        self._watching.add_done_callback(tell_failure)

    @property
    def _client(self) -> KubeClient:
        if self._given_client is None:
            raise ValueError("the kubelet needs a client: give it to the constructor or to start()")
        return self._given_client

    async def stop(self) -> None:
        """End every process that was started and remove their files; pods are not reported: the node is leaving."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        errands = list(self._errands.values())
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)
        await asyncio.gather(*(runner.stop(STOP_GRACE_SECONDS) for runner in list(self._runners.values())))
        await self._launcher.stop()
        self._folder.close()

    async def warm_ready(self) -> None:
        """Return when the first warm worker is ready.

        Raises:
            WorkerFailed: it ended instead; the message holds the end of its log.
        """
        await self._launcher.warm_ready()

    async def logs(
        self, namespace: str, pod: str, container: str = "", follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield a pod's log (stdout and stderr together) as it comes: the node's ``LogSource``.

        Args:
            namespace: the pod's namespace.
            pod: its name.
            container: empty or the only container's name.
            follow: go on until the worker has ended.
            tail_lines: begin so many lines before the end; None: at the beginning.

        Raises:
            ApiError: 404 no such pod here; 400 no such container, or it has not started yet.
        """
        runner = self._runner_of(namespace, pod)
        name = runner.pod["spec"]["containers"][0]["name"]
        if container not in ("", name):
            raise ApiError(400, "BadRequest", f"container {container} is not valid for pod {pod}")
        if not runner.folder.log.exists():
            raise ApiError(400, "BadRequest", f'container "{name}" in pod "{pod}" is waiting to start')
        async for part in read_log(runner.folder.log, runner.ended, follow=follow, tail_lines=tail_lines):
            yield part

    def _runner_of(self, namespace: str, pod: str) -> PodRunner:
        for runner in reversed(self._runners.values()):  # the newest first: a name may be used again while one ends
            meta = runner.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, pod):
                return runner
        raise ApiError(404, "NotFound", f'pods "{pod}" has no log on node {self._node_name}')

    async def _register(self) -> None:
        wanted = node(self._node_name, timestamp())
        bare = {key: value for key, value in wanted.items() if key != "status"}
        await until_answered(lambda: self._client.apply(NODE, bare, field_manager=FIELD_MANAGER))
        await until_answered(lambda: self._client.apply_status(NODE, wanted, field_manager=FIELD_MANAGER))

    def _replace(self, pods: list[JsonObject]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid, runner in list(self._runners.items()):
            if uid not in present:
                runner.forget()
        for pod in pods:
            self._observe(pod)

    def _change(self, kind: str, pod: JsonObject) -> None:
        runner = self._runners.get(pod["metadata"]["uid"])
        if kind != "DELETED":
            self._observe(pod)
        elif runner is not None:
            runner.forget()

    def _observe(self, pod: JsonObject) -> None:
        uid = pod["metadata"]["uid"]
        phase = (pod.get("status") or {}).get("phase")
        if uid in self._runners:
            self._runners[uid].observe(pod)
        elif wants_binding(pod):
            if fits(pod, self._node_name, self._labels):
                self._send(uid, self._bind(pod))
        elif pod["spec"].get("nodeName") != self._node_name:
            return
        elif pod["metadata"].get("deletionTimestamp"):
            self._send(uid, delete_now(self._client, pod))
        elif phase == "Running":
            self._send(uid, self._report_lost(pod))
        elif phase not in FINAL_PHASES:
            self._begin(pod)

    def _begin(self, pod: JsonObject) -> None:
        uid = pod["metadata"]["uid"]
        runner = PodRunner(self._client, self._launcher, pod, self._folder.pod(pod), HOST_IP)
        self._runners[uid] = runner
        runner.task.add_done_callback(lambda _: self._runners.pop(uid))
        runner.task.add_done_callback(tell_failure)

    def _send(self, uid: str, errand: Coroutine[Any, Any, None]) -> None:
        """Do one thing for a pod in the background, once at a time."""
        if uid in self._errands:
            errand.close()
            return
        task = asyncio.create_task(errand, name=f"pod {uid}")
        self._errands[uid] = task
        task.add_done_callback(lambda _: self._errands.pop(uid))
        task.add_done_callback(tell_failure)

    async def _bind(self, pod: JsonObject) -> None:
        """Bind as a scheduler does: once, so that of two kubelets one wins. The watch brings the bound pod."""
        meta = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._node_name},
        }
        # The legacy way (.../bindings) does not look at the uid.
        subresource = ResourceType("v1", "Binding", f"pods/{meta['name']}/binding")
        try:
            await until_answered(lambda: self._client.create(subresource, binding))
        except ApiError as error:
            if error.code not in GONE:
                raise
            log.debug("pod %s/%s is gone, or bound by another", meta["namespace"], meta["name"])

    async def _report_lost(self, pod: JsonObject) -> None:
        writer = StatusWriter(self._client, pod)
        writer.set(status.lost(pod, timestamp()))
        await writer.flush()
