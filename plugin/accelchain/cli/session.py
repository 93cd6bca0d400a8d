# SPDX-License-Identifier: Apache-2.0
"""One flow in one cluster: its objects are created, it is followed to its end, and it is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.follow import Follower
from accelchain.cli.inputs import Job
from accelchain.cli.objects import delete_flow
from accelchain.cli.record import RunRecord
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import BY_KIND, DATA_FLOW

JsonObject = dict[str, Any]
FIELD_MANAGER = "accelchain-cli"
_DELETE_DEADLINE = 15.0
_LOG_LINES, _LOG_DEADLINE = 12, 3.0
_LOG_HELPS = ("FunctionFailed", "DeviceFailed", "WorkerLost")


@dataclass(frozen=True, slots=True)
class Session:
    """What is done with a flow in a cluster.

    Args:
        client: the cluster's API.
        job: the flow and what comes with it.
        record: what was seen of it.
        follower: fills the record.
        keep: leave the flow there when it has ended; an interrupted one is deleted all the same.
        passing: the cluster ends with this run: nothing needs to be deleted in it.
    """

    client: KubeClient
    job: Job
    record: RunRecord
    follower: Follower
    keep: bool = False
    passing: bool = False

    async def run(self, timeout: float | None) -> None:
        """Run the flow; how it ended is in the record.

        Raises:
            Refused: the API refuses an object, or there is a DataFlow of that name already.
            RunFailed: it did not end within ``timeout`` seconds, or somebody deleted it.
            ApiError: the API is gone.
        """
        uid = await self._create()
        ended = False
        try:
            await self._follow(timeout)
            await self._read_log()
            ended = True
        finally:
            if not self.passing and not (ended and self.keep):
                await delete_flow(self.client, uid, self.record.name, self.record.namespace, timeout=_DELETE_DEADLINE)

    async def _follow(self, timeout: float | None) -> None:
        name = self.record.name
        try:
            still_there = await self.follower.until_end(timeout)
        except TimeoutError:
            why = f"; it waits: {self.record.waiting}" if self.record.waiting else ""
            raise RunFailed(f"DataFlow {name} had not ended after {timeout:g} s{why}") from None
        if not still_there:
            raise RunFailed(f"DataFlow {name} was deleted while it ran.")

    async def _create(self) -> str:
        """Create the file's objects, the DataFlow last, and return its uid."""
        uid = ""
        for obj in self.job.objects(self.record.namespace):
            type = BY_KIND[obj["apiVersion"], obj["kind"]]
            try:
                if type is DATA_FLOW:
                    created = await self._create_flow(obj)
                else:
                    created = await self.client.apply(type, obj, field_manager=FIELD_MANAGER)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    name = obj["metadata"]["name"]
                    hint = f"delete it with accelchain delete {name}, or give this one another name"
                    raise Refused(f"metadata.name: there is a DataFlow {name} already; {hint}.") from None
                raise
            self.follower.saw({**created, "kind": obj["kind"]})
            uid = created["metadata"]["uid"]
        return uid

    async def _create_flow(self, obj: JsonObject) -> JsonObject:
        """Create the DataFlow; one that an interruption meets half-way is deleted again."""
        creation = asyncio.create_task(self.client.create(DATA_FLOW, obj))
        try:
            return await asyncio.shield(creation)
        except asyncio.CancelledError:
            async with asyncio.timeout(_DELETE_DEADLINE):
                created = await creation
                await self.client.delete(
                    DATA_FLOW, self.record.name, self.record.namespace, uid=created["metadata"]["uid"]
                )
            raise

    async def _read_log(self) -> None:
        """Take the worker's last lines into the record, where the flow failed for a reason that they explain."""
        end = self.record.end
        if end and end["type"] == "Failed" and end["reason"] in _LOG_HELPS:
            for pod in self.record.pods:
                await _within(_LOG_DEADLINE, self._read_pod_log(pod))

    async def _read_pod_log(self, pod: str) -> None:
        try:
            async for line in self.client.logs(pod, self.record.namespace, tail_lines=_LOG_LINES):
                self.record.log.append(line)
        except ApiError as error:
            self.record.log.append(f"(its log can't be read: {error.message})")


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Do it if it can be done in time; nothing depends on it."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
