# SPDX-License-Identifier: Apache-2.0
"""Watches what owns flows: no engine tells its plugin that a workflow was stopped, or a step timed out.

One watch a distinct owner, for all flows that it owns. Where watching is forbidden the owner is read every few
seconds; where reading is forbidden, or its kind is unknown, that is told once and the flows run on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import TASK_SET
from accelchain_operators.reconcile.owner import (
    WATCHED_KINDS,
    OwnerId,
    OwnerView,
    TasksSeen,
    how_it_ended,
    look,
    node_of,
    owners_of,
)

FlowKey = tuple[str, str]
"""Namespace and name."""

logger = logging.getLogger(__name__)

POLL_PERIOD = 3.0
"""Seconds between two looks at an owner that can't be watched."""
DENIED_PERIOD = 60.0
"""Seconds between two tries to read an owner that can't be read."""
TASK_PERIOD = 2.0
"""Seconds between two looks at the tasks of a Workflow whose nodes are kept elsewhere."""
PAUSE = 1.0
"""Seconds between two watches, and after an error of the API."""


@dataclass(slots=True)
class _Followed:
    flows: dict[FlowKey, JsonObject] = field(default_factory=dict)
    ended: dict[FlowKey, str] = field(default_factory=dict)
    unsure: set[FlowKey] = field(default_factory=set)
    """Flows that came after the owner was last read: what is known of it may be older than they are."""
    seen: OwnerView | None = None
    version: int = 0
    """The owner's resourceVersion as it was seen: a watch may tell what is older than what was read meanwhile."""
    tasks: TasksSeen = field(default_factory=TasksSeen)
    problem: str = ""
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """What looks at the owner, by what it does."""

    def keep(self, key: FlowKey, flow: JsonObject) -> None:
        """Take a flow in, or what is new about it. Another one of the same name begins anew."""
        before = self.flows.get(key)
        if before is None or before["metadata"].get("uid") != flow["metadata"].get("uid"):
            self.drop(key)
            if self.seen is not None:
                self.unsure.add(key)
        self.flows[key] = flow

    def drop(self, key: FlowKey) -> None:
        """Forget a flow."""
        if before := self.flows.pop(key, None):
            self.tasks.forget(before)
        self.ended.pop(key, None)
        self.unsure.discard(key)

    @property
    def needs_tasks(self) -> bool:
        """Some flow's step can be seen in the WorkflowTaskSet only."""
        nodes_are_elsewhere = self.seen is not None and self.seen.nodes is None
        return nodes_are_elsewhere and any(node_of(f) for key, f in self.flows.items() if key not in self.ended)


class Owners:
    """What is known of flows' owners.

    Args:
        client: The API.
        on_news: Called with the key of each flow whose owner ended, or can't be watched.
    """

    def __init__(self, client: KubeClient, on_news: Callable[[FlowKey], None]) -> None:
        self._client = client
        self._on_news = on_news
        self._followed: dict[OwnerId, _Followed] = {}
        self._of_key: dict[FlowKey, tuple[OwnerId, ...]] = {}

    def want(self, key: FlowKey, flow: JsonObject | None) -> None:
        """Follow exactly the owners of this flow for this key; None: no longer any."""
        before = self._of_key.pop(key, ())
        owners: tuple[OwnerId, ...] = ()
        if flow is not None and (owners := owners_of(flow)):
            self._of_key[key] = owners
            for owner in owners:
                self._keep(owner, key, flow)
        for owner in before:
            if owner not in owners:
                self._drop(owner, key)

    def ended(self, key: FlowKey) -> str:
        """Return how an owner of the flow, or its step, ended; empty: none has."""
        return next((e for owner in self._of_key.get(key, ()) if (e := self._followed[owner].ended.get(key, ""))), "")

    def problem(self, key: FlowKey) -> str:
        """Return why an owner of the flow can't be watched; empty: all can."""
        return next((p for owner in self._of_key.get(key, ()) if (p := self._followed[owner].problem)), "")

    async def close(self) -> None:
        """End all watches."""
        tasks = [task for f in self._followed.values() for task in f.running.values()]
        self._followed.clear()
        self._of_key.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, owner: OwnerId, key: FlowKey, flow: JsonObject) -> None:
        followed = self._followed.setdefault(owner, _Followed())
        followed.keep(key, flow)
        self._run(owner, followed, "follow", self._follow)
        self._judge(owner, followed, (key,))
        if followed.needs_tasks:
            self._run(owner, followed, "tasks", self._follow_tasks)

    def _drop(self, owner: OwnerId, key: FlowKey) -> None:
        followed = self._followed[owner]
        followed.drop(key)
        if not followed.flows:
            del self._followed[owner]
            for task in followed.running.values():
                task.cancel()

    def _run(
        self,
        owner: OwnerId,
        followed: _Followed,
        what: str,
        work: Callable[[OwnerId, _Followed], Coroutine[None, None, None]],
    ) -> None:
        """Have something look at an owner, once at a time; not at one that can't come back."""
        task = followed.running.get(what)
        if (task is None or task.done()) and (followed.seen is None or not followed.seen.is_final):
            followed.running[what] = asyncio.create_task(work(owner, followed), name=f"owner {owner}: {what}")

    async def _follow(self, owner: OwnerId, followed: _Followed) -> None:
        watching = True
        while True:
            pause = PAUSE if watching else POLL_PERIOD
            try:
                version = await self._read(owner, followed)
                if version is None:
                    return
                if watching and await self._watch(owner, followed, version):
                    return
            except ApiError as error:
                if error.code in (403, 404):
                    pause = DENIED_PERIOD
                    self._deny(owner, followed, _resource(owner), error)
                elif error.code != 410:
                    logger.debug("owner %s: %s", owner, error)
            except _ForbiddenError:
                watching = False
                continue
            await asyncio.sleep(pause)

    async def _read(self, owner: OwnerId, followed: _Followed) -> str | None:
        """Read the owner and judge; return its version, or None: it can't come back.

        Raises:
            ApiError: the API does not answer, or we may not read it.
        """
        sure = set(followed.flows)
        live: JsonObject | None = None
        try:
            live = await self._client.get(_resource(owner), owner.name, owner.namespace)
        except ApiError as error:
            if error.code != 404 or owner.name not in error.message:
                raise
        followed.problem = ""
        followed.unsure -= sure
        return None if self._see(owner, followed, live) or live is None else live["metadata"]["resourceVersion"]

    async def _watch(self, owner: OwnerId, followed: _Followed, version: str) -> bool:
        """Return when the watch ended, or with True: the owner can't come back.

        Raises:
            ApiError: the API does not answer, or forgot the version.
            _ForbiddenError: we may not watch.
        """
        try:
            async for event in self._client.watch(
                _resource(owner),
                owner.namespace,
                resource_version=version,
                field_selector=f"metadata.name={owner.name}",
            ):
                if event.type == "BOOKMARK":
                    continue
                if self._see(owner, followed, None if event.type == "DELETED" else event.object):
                    return True
        except ApiError as error:
            if error.code == 403:
                raise _ForbiddenError from error
            raise
        return False

    async def _confirm(self, owner: OwnerId, followed: _Followed) -> None:
        """Read the owner for flows that came after it was last read."""
        while followed.unsure:
            try:
                await self._read(owner, followed)
            except ApiError as error:
                logger.debug("owner %s: %s", owner, error)
                await asyncio.sleep(PAUSE)

    async def _follow_tasks(self, owner: OwnerId, followed: _Followed) -> None:
        """Look at the WorkflowTaskSet while it alone tells which steps go on. One that is gone tells nothing."""
        while followed.needs_tasks:
            pause = TASK_PERIOD
            try:
                task_set = await self._client.get(TASK_SET, owner.name, owner.namespace)
                for flow in followed.flows.values():
                    followed.tasks.take(owner, task_set, flow)
                self._judge(owner, followed, tuple(followed.flows))
            except ApiError as error:
                if error.code == 403:
                    pause = DENIED_PERIOD
                    self._deny(owner, followed, TASK_SET, error)
                elif error.code != 404:
                    logger.debug("tasks of %s: %s", owner, error)
            await asyncio.sleep(pause)

    def _see(self, owner: OwnerId, followed: _Followed, live: JsonObject | None) -> bool:
        """Take in what the owner is like now; tell whether it can't come back."""
        version = _version(live)
        if 0 < version < followed.version:
            return False
        followed.version = version or followed.version
        before, followed.seen = followed.seen, look(owner, live)
        if followed.seen.problem and (before is None or before.problem != followed.seen.problem):
            logger.warning("%s: %s: its tasks are looked at instead", owner, followed.seen.problem)
        self._judge(owner, followed, tuple(followed.flows))
        if followed.needs_tasks:
            self._run(owner, followed, "tasks", self._follow_tasks)
        return followed.seen.is_final

    def _judge(self, owner: OwnerId, followed: _Followed, keys: Iterable[FlowKey]) -> None:
        """Tell the flows among these whose owner or step has ended."""
        seen = followed.seen
        if seen is None:
            return
        for key in keys:
            flow = followed.flows[key]
            how = how_it_ended(owner, seen, flow, task_left=followed.tasks.has_left(flow))
            if not how or key in followed.ended:
                continue
            if key in followed.unsure and not seen.is_final:
                # argo retry: the Workflow may go on again, and this flow be the one of the new try.
                self._run(owner, followed, "confirm", self._confirm)
                continue
            followed.ended[key] = how
            self._on_news(key)

    def _deny(self, owner: OwnerId, followed: _Followed, resource: ResourceType, error: ApiError) -> None:
        group = resource.api_version.rpartition("/")[0]
        plural = f"{resource.plural}.{group}" if group else resource.plural
        verbs = "verb get" if resource is TASK_SET else "verbs get and watch"
        why = (
            f"the operators may not get {plural} in namespace {owner.namespace} (they need the {verbs})"
            if error.code == 403
            else f"this cluster has no {plural} ({owner.api_version})"
        )
        what = f"a step of {owner.kind} {owner.name}" if resource is TASK_SET else f"{owner.kind} {owner.name}"
        problem = f"the end of {what} will not end this flow: {why}"
        if followed.problem != problem:
            followed.problem = problem
            for key in tuple(followed.flows):
                self._on_news(key)


def _version(live: JsonObject | None) -> int:
    """Return a resourceVersion as the number that it is for etcd; 0: it can't be compared."""
    text = str(((live or {}).get("metadata") or {}).get("resourceVersion") or "")
    return int(text) if text.isdecimal() else 0


def _resource(owner: OwnerId) -> ResourceType:
    return ResourceType(owner.api_version, owner.kind, WATCHED_KINDS[owner.group, owner.kind])


class _ForbiddenError(Exception):
    """The owner may be read, and not watched."""
