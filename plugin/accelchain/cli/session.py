# SPDX-License-Identifier: Apache-2.0
"""One flow in one cluster: its objects are created, it is followed to its end, and all that was created is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from accelchain.cli.api_errors import OLD_DEFINITIONS, dropped_fields, right_of
from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.follow import Follower
from accelchain.cli.inputs import Job, says_the_same
from accelchain.cli.record import RunRecord
from accelchain.cli.removal import delete_flow
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.kube.kinds import BY_KIND, DATA_FLOW, FUNCTION_CHAIN

JsonObject = dict[str, Any]
FIELD_MANAGER = "accelchain-cli"
_DELETE_DEADLINE = 15.0
_LOG_LINES, _LOG_DEADLINE = 12, 3.0
_LOG_HELPS = ("FunctionFailed", "DeviceFailed", "WorkerLost")


@dataclass(frozen=True, slots=True)
class Session:
    """What is done with a flow in a cluster.

    Definitions of the file that the cluster has already are used as they are; the others are created, and go when the
    flow goes: FunctionChains because the flow owns them, what belongs to the whole cluster because it is deleted here.

    Args:
        client: the cluster's API.
        job: the flow and what comes with it.
        record: what was seen of it.
        follower: fills the record.
        keep: leave everything there when the flow has ended; an interrupted one is deleted all the same.
        passing: the cluster ends with this run: nothing needs to be deleted in it, and the file's word is law.
    """

    client: KubeClient
    job: Job
    record: RunRecord
    follower: Follower
    keep: bool = False
    passing: bool = False
    _made: list[tuple[ResourceType, JsonObject]] = field(default_factory=list)

    async def run(self, timeout: float | None) -> None:
        """Run the flow; how it ended is in the record.

        Raises:
            Refused: the API refuses an object, or there is one of that name already.
            RunFailed: it did not end within ``timeout`` seconds, or somebody deleted it.
            ApiError: the API is gone.
        """
        ended = False
        try:
            await self._create()
            await self._follow(timeout)
            await self._read_log()
            ended = True
        finally:
            if not self.passing and not (ended and self.keep):
                await self._remove()

    async def _follow(self, timeout: float | None) -> None:
        name = self.record.name
        try:
            still_there = await self.follower.until_end(timeout)
        except TimeoutError:
            why = f"; it waits: {self.record.waiting}" if self.record.waiting else ""
            raise RunFailed(f"DataFlow {name} had not ended after {timeout:g} s{why}") from None
        if not still_there:
            raise RunFailed(f"DataFlow {name} was deleted while it ran.")

    async def _create(self) -> None:
        """Create the file's objects, the DataFlow last."""
        for obj in self.job.objects(self.record.namespace):
            type = BY_KIND[obj["apiVersion"], obj["kind"]]
            if type is DATA_FLOW:
                seen = await self._create_flow(obj)
            elif self.passing:
                seen = await self.client.apply(type, obj, field_manager=FIELD_MANAGER)
            else:
                seen = await self._define(type, obj)
            self.follower.saw({**seen, "kind": obj["kind"]})
        if not self.passing:
            await self._own_chains()

    async def _create_flow(self, obj: JsonObject) -> JsonObject:
        try:
            return await self._make(DATA_FLOW, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            name = obj["metadata"]["name"]
            raise Refused(
                f"metadata.name: there is a DataFlow {name} already; delete it with accelchain delete {name}, or give "
                "this one another name."
            ) from None

    async def _define(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        """Return the cluster's definition where it says the same as the file's; create it where there is none."""
        what = f"{type.kind} {obj['metadata']['name']}"
        present = await self._present(type, obj)
        if present is not None:
            if not says_the_same(obj, present):
                raise Refused(
                    f"{what}: the cluster has one that differs from the file's; change it with kubectl apply, give "
                    "the file's another name, or take it out of the file."
                )
            return present
        try:
            return await self._make(type, obj)
        except ApiError as error:
            if error.code != 403 or type.namespaced:
                raise
            raise Refused(
                f"{what} is not in this cluster, and you may not {right_of(error)}: ask its administrator to install "
                "it (kubectl apply)."
            ) from None

    async def _present(self, type: ResourceType, obj: JsonObject) -> JsonObject | None:
        """Return the object of that name; None where there is none, or where the user may not see it."""
        try:
            return await self.client.get(type, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        except ApiError as error:
            if error.code not in (403, 404):
                raise
            return None

    async def _make(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        """Create an object and remember it for the end; one that an interruption meets half-way is remembered too.

        Raises:
            Refused: the API does not know all of its fields, or holds it to rules that ours does not have.
            ApiError: it refuses the object otherwise.
        """
        creation = asyncio.create_task(self.client.create(type, obj))
        try:
            made = await asyncio.shield(creation)
        except asyncio.CancelledError:
            async with asyncio.timeout(_DELETE_DEADLINE):
                self._made.append((type, await creation))
            raise
        except ApiError as error:
            if error.code != 422:
                raise
            raise Refused(
                f"the cluster refuses it: {error.message.rstrip('.')}. Its resource definitions may be of another "
                f"version than this command: {OLD_DEFINITIONS}."
            ) from None
        self._made.append((type, made))
        dropped = dropped_fields(obj["spec"], made.get("spec"), "spec")
        if dropped:
            raise Refused(
                f"{type.kind} {obj['metadata']['name']}: the cluster's resource definitions are older than this "
                f"command and don't know {', '.join(dropped)}: {OLD_DEFINITIONS}, or leave that out."
            )
        return made

    async def _own_chains(self) -> None:
        """Make the flow the owner of the chains that were created for it: they go when it goes, whoever deletes it."""
        _, flow = self._made[-1]
        owner = {key: flow["metadata"][key] for key in ("name", "uid")}
        owner |= {"apiVersion": DATA_FLOW.api_version, "kind": DATA_FLOW.kind}
        for type, obj in self._made:
            if type is FUNCTION_CHAIN:
                meta = obj["metadata"]
                change = {"metadata": {"uid": meta["uid"], "ownerReferences": [owner]}}
                await self.client.patch(type, meta["name"], meta["namespace"], change)

    async def _remove(self) -> None:
        """Delete what was created, last things first, and wait until it is gone."""
        for type, obj in reversed(self._made):
            meta = obj["metadata"]
            try:
                if type is DATA_FLOW:
                    name, namespace = self.record.name, self.record.namespace
                    await delete_flow(self.client, meta["uid"], name, namespace, timeout=_DELETE_DEADLINE)
                else:
                    await self._delete(type, meta)
            except ApiError as error:
                raise RunFailed(
                    f"{type.kind} {meta['name']} could not be deleted and may still be there: "
                    f"{error.message.rstrip('.')}; delete it yourself (kubectl delete {type.plural} {meta['name']})."
                ) from None

    async def _delete(self, type: ResourceType, meta: JsonObject) -> None:
        try:
            await self.client.delete(type, meta["name"], meta.get("namespace"), uid=meta["uid"])
        except ApiError as error:
            if error.code not in (404, 409):  # the flow took it along, or somebody made another one
                raise

    async def _read_log(self) -> None:
        """Take the worker's last lines into the record, where the flow failed for a reason that they explain."""
        end = self.record.end
        if end and end["type"] == "Failed" and end["reason"] in _LOG_HELPS:
            for pod in self.record.pods[-1:]:
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
