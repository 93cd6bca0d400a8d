# SPDX-License-Identifier: Apache-2.0
"""``accelchain logs``: the logs of a DataFlow's worker pods."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import click

from accelchain.cli.connect import Target, cluster_command
from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.terminal import out
from accelchain.cli.watching import list_and_watch, owned_by
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import DATA_FLOW, POD
from accelchain_operators.reconcile.names import FLOW_LABEL, attempt_label, label_value

JsonObject = dict[str, Any]
_OVER = ("Succeeded", "Failed", "Refused", "Planned")


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Wait for the worker to begin; go on to the end of the flow.")
@click.option("--attempt", type=click.IntRange(1), help="The attempt's log; the newest one's where absent.")
@click.option("--tail", type=click.IntRange(0), help="Only this many last lines of each worker.")
@cluster_command
async def logs(name: str, follow: bool, attempt: int | None, tail: int | None, target: Target) -> None:
    """Print the log of a DataFlow's workers, each line with its pod's name where there are several."""
    async with target.connected() as client:
        flow = await client.get(DATA_FLOW, name, target.namespace)
        reader = _Reader(client, name, target.namespace, flow["metadata"]["uid"], tail)
        if not follow:
            pods = reader.of_attempt(await reader.pods(), attempt)
            if not pods:
                what = f"worker of attempt {attempt}" if attempt else "worker"
                raise RunFailed(f"DataFlow {name} has no {what}; accelchain describe {name} says why.")
            await reader.print(pods, follow=False)
        elif not await reader.follow(attempt):
            raise RunFailed(f"DataFlow {name} ended without a worker; accelchain describe {name} says why.")


@dataclass
class _Reader:
    client: KubeClient
    name: str
    namespace: str
    uid: str
    tail: int | None
    _open: bool = field(default=True)
    """Somebody reads what we print."""

    @property
    def _selector(self) -> str:
        return f"{FLOW_LABEL}={label_value(self.name)}"

    async def pods(self) -> list[JsonObject]:
        """Return the flow's pods."""
        pods, _ = await self.client.list(POD, self.namespace, label_selector=self._selector)
        return [pod for pod in pods if owned_by(pod, self.uid)]

    @staticmethod
    def of_attempt(pods: Sequence[JsonObject], attempt: int | None, after: int = 0) -> list[JsonObject]:
        """Return the pods of an attempt; of the newest one after ``after`` where it is None."""
        numbers = {attempt_label(pod) for pod in pods}
        wanted = attempt or max(numbers, default=0)
        return [pod for pod in pods if attempt_label(pod) == wanted and wanted > after]

    async def follow(self, attempt: int | None) -> bool:
        """Print the logs of one attempt to their end; where it is None, of attempt after attempt, until the flow ends.

        Returns:
            False where no worker ever began.

        Raises:
            Refused: the flow is deleted before that.
        """
        printed = 0
        while pods := await self._begun(attempt, printed):
            printed = attempt_label(pods[0])
            await self.print(pods, follow=True)
            if attempt or not self._open:
                break
        return bool(printed)

    async def print(self, pods: Sequence[JsonObject], *, follow: bool) -> None:
        """Print the logs of pods, all at once, until they end or nobody reads."""
        try:
            async with asyncio.TaskGroup() as group:
                for pod in pods:
                    name = pod["metadata"]["name"]
                    group.create_task(self._print_one(name, f"[{name}] " if len(pods) > 1 else "", follow))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _print_one(self, pod: str, prefix: str, follow: bool) -> None:
        lines = self.client.logs(pod, self.namespace, follow=follow, tail_lines=self.tail)
        try:
            async for line in lines:
                self._open = self._open and out(prefix + line)
                if not self._open:
                    return
        except ApiError as error:
            if error.code == 400:
                raise RunFailed(f"{pod} has not begun: {error.message.rstrip('.')}; -f waits for it.") from None
            if error.code != 404 or not follow:  # it was deleted while it was followed: that is its end
                raise

    async def _begun(self, attempt: int | None, after: int) -> list[JsonObject]:
        """Wait for the pods of an attempt to begin; none where the flow is over without.

        Raises:
            Refused: the flow was deleted, and nothing had been printed.
        """
        begun, over = asyncio.create_task(self._pods_begun(attempt, after)), asyncio.create_task(self._over())
        try:
            await asyncio.wait((begun, over), return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                return begun.result()
            deleted = over.result()
        finally:
            for task in (begun, over):
                task.cancel()
            await asyncio.gather(begun, over, return_exceptions=True)
        if deleted and not after:
            raise Refused(f"DataFlow {self.name} was deleted.")
        return [pod for pod in self.of_attempt(await self.pods(), attempt, after) if _has_begun(pod)]

    async def _pods_begun(self, attempt: int | None, after: int) -> list[JsonObject]:
        pods: dict[str, JsonObject] = {}
        async with aclosing(
            list_and_watch(self.client, POD, self.namespace, label_selector=self._selector, patience=60.0)
        ) as events:
            async for event in events:
                uid = event.object["metadata"]["uid"]
                pods.pop(uid, None)
                if event.type != "DELETED" and owned_by(event.object, self.uid):
                    pods[uid] = event.object
                chosen = self.of_attempt(list(pods.values()), attempt, after)
                if chosen and all(map(_has_begun, chosen)):
                    return chosen
        raise AssertionError("a watch does not end by itself")

    async def _over(self) -> bool:
        """Return when the flow is over; True: it was deleted."""
        selector = f"metadata.name={self.name}"
        async with aclosing(
            list_and_watch(self.client, DATA_FLOW, self.namespace, field_selector=selector, patience=60.0)
        ) as events:
            async for event in events:
                if event.object["metadata"]["uid"] != self.uid:
                    continue
                if event.type == "DELETED":
                    return True
                if (event.object.get("status") or {}).get("phase") in _OVER:
                    return False
        raise AssertionError("a watch does not end by itself")


def _has_begun(pod: JsonObject) -> bool:
    return (pod.get("status") or {}).get("phase") not in (None, "", "Pending")
