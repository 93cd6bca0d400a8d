# SPDX-License-Identifier: Apache-2.0
"""The life of one pod: read, filled, started, watched, ended, removed. One task a pod."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal

from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import CONFIG_MAP, SECRET
from accelchain_operators.localkube.kubelet import content, status
from accelchain_operators.localkube.kubelet.addresses import PodAddress
from accelchain_operators.localkube.kubelet.api import StatusWriter, delete_now, until_answered
from accelchain_operators.localkube.kubelet.folder import PodFolder
from accelchain_operators.localkube.kubelet.launcher import Launcher
from accelchain_operators.localkube.kubelet.podspec import JsonObject, RefusedError, WorkerSpec, read
from accelchain_operators.localkube.kubelet.pool import Assignment
from accelchain_operators.localkube.kubelet.process import Process, first_of
from accelchain_operators.localkube.objects import timestamp

FIRST_RETRY = 0.05
LONGEST_RETRY = 2.0
START_ERROR = 128
"""Exit code that Kubernetes gives a container whose process could not be started."""
_TYPES = {"ConfigMap": CONFIG_MAP, "Secret": SECRET}

log = logging.getLogger(__name__)


class PodRunner:
    """Runs one pod until it is deleted, and then removes what it left."""

    def __init__(
        self, client: KubeClient, launcher: Launcher, pod: JsonObject, folder: PodFolder, host_ip: str
    ) -> None:
        """Begin at once.

        Args:
            client: the API.
            launcher: starts the worker.
            pod: the pod, bound to this node.
            folder: where its files go.
            host_ip: the node's address.
        """
        self.pod = pod
        self.folder = folder
        self.ended = asyncio.Event()
        """No process runs and none will."""
        self._client = client
        self._launcher = launcher
        self._writer = StatusWriter(client, pod)
        self._deleted = asyncio.Event()
        self._grace: float | None = None
        self._silent = False
        self._process: Process | None = None
        container = pod["spec"]["containers"][0]
        self._seen = status.Seen(container["name"], container.get("image", ""), host_ip, timestamp())
        self._began = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._run(), name=f"pod {self.name}")

    @property
    def name(self) -> str:
        """``namespace/name`` for people."""
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    def observe(self, pod: JsonObject) -> None:
        """Take note of a newer version of the pod."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._end_within(pod["metadata"].get("deletionGracePeriodSeconds"))

    def forget(self) -> None:
        """The API has no such pod any more: end without a further word."""
        self._silent = True
        self._end_within(0)

    async def stop(self, grace_seconds: float) -> None:
        """End the process and remove the folder; the API is not told, the kubelet is leaving."""
        self._silent = True
        self._end_within(grace_seconds)
        await asyncio.wait({self.task}, timeout=grace_seconds)
        # Still there: it has a longer grace from before, or waits for an API that may be gone.
        self.task.cancel()
        await asyncio.wait({self.task})

    def _end_within(self, grace_seconds: float | None) -> None:
        self._grace = grace_seconds
        self._deleted.set()
        if grace_seconds == 0 and self._process is not None:
            self._process.signal(signal.SIGKILL)

    async def _run(self) -> None:
        try:
            await self._live()
            self.ended.set()
            await self._deleted.wait()
            if not self._silent:
                await self._writer.flush()
        finally:
            self.ended.set()
            await self._clear()
        if not self._silent:
            await delete_now(self._client, self.pod)

    async def _clear(self) -> None:
        """Leave no process, no file and no address behind, however the task ends."""
        if self._process is not None:
            await self._process.end(0)
        await self._writer.close()
        self.folder.remove()

    async def _live(self) -> None:
        try:
            spec = read(self.pod)
        except RefusedError as refused:
            self._writer.set(status.waiting(self._seen, refused.reason, refused.message))
            return
        try:
            address = PodAddress()
        except OSError as error:
            self._fail_start(error)
            return
        try:
            self._seen = dataclasses.replace(self._seen, ip=address.ip)
            await self._execute(spec)
        finally:
            if self._process is not None:
                await self._process.end(0)
            address.release()

    async def _execute(self, spec: WorkerSpec) -> None:
        try:
            self.folder.create()
            assignment = await self._assignment(spec)
            if assignment is None:
                return
            if self._launcher.preparing:
                self._wait_for("PreparingKernels", "kernels are compiled for this machine; this happens once")
                await first_of(self._launcher.prepared(), self._deleted.wait())
            if self._deleted.is_set():
                return
            self._process = await self._launcher.launch(assignment)
            self.folder.record(self._process.pid)
        except OSError as error:
            self._fail_start(error)
            return
        self._seen = dataclasses.replace(
            self._seen, started_at=timestamp(), container_id=f"localkube://{self._process.pid}"
        )
        self._writer.set(status.running(self._seen))
        await self._watch(spec, self._process)

    async def _watch(self, spec: WorkerSpec, process: Process) -> None:
        timeout = None
        if spec.deadline_seconds is not None:
            active = asyncio.get_running_loop().time() - self._began
            timeout = max(0.0, spec.deadline_seconds - active)
        await first_of(process.wait(), self._deleted.wait(), timeout=timeout)
        end = status.End(0, "")
        if not process.ended:
            grace = spec.grace_seconds if self._grace is None else self._grace
            if not self._deleted.is_set():
                message = f"the pod was active longer than activeDeadlineSeconds ({spec.deadline_seconds:g} s)"
                end = dataclasses.replace(end, pod_reason="DeadlineExceeded", pod_message=message)
            await process.end(grace)
        code = await process.wait()
        message = self.folder.message(from_log=spec.message_from_log and code != 0)
        self._writer.set(
            status.ended(self._seen, dataclasses.replace(end, code=code, time=timestamp(), message=message))
        )

    async def _assignment(self, spec: WorkerSpec) -> Assignment | None:
        """Fill the folder; None: the pod was deleted while an object it needs was missing."""
        delay = FIRST_RETRY
        while not self._deleted.is_set():
            try:
                return await self._fill(spec)
            except content.ContentError as error:
                self._wait_for("CreateContainerConfigError", str(error))
            await first_of(self._deleted.wait(), timeout=delay)
            delay = min(delay * 2, LONGEST_RETRY)
        return None

    async def _fill(self, spec: WorkerSpec) -> Assignment:
        objects: dict[tuple[str, str], JsonObject] = {}
        for reference in spec.references():
            obj = await self._read(reference.kind, reference.name)
            if obj is not None:
                objects[reference.kind, reference.name] = obj
        files = list(content.files(spec, objects))
        identity = content.PodIdentity(self.pod, self._seen.ip, self._seen.host_ip)
        variables = content.environment(spec, identity, objects)
        paths = self.folder.paths(spec)
        self.folder.write(spec, files)
        return Assignment(
            args=tuple(content.mapped(content.expand(argument, variables), paths) for argument in spec.args),
            environment={name: content.mapped(value, paths) for name, value in variables.items()},
            folder=self.folder.path,
            log=self.folder.log,
        )

    async def _read(self, kind: str, name: str) -> JsonObject | None:
        try:
            return await until_answered(lambda: self._client.get(_TYPES[kind], name, self.pod["metadata"]["namespace"]))
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def _wait_for(self, reason: str, message: str) -> None:
        self._writer.set(status.waiting(self._seen, reason, message))

    def _fail_start(self, error: OSError) -> None:
        log.warning("pod %s: cannot start: %s", self.name, error)
        end = status.End(START_ERROR, timestamp(), f"the worker could not be started: {error}", "StartError")
        self._writer.set(status.ended(self._seen, end))
