# SPDX-License-Identifier: Apache-2.0
"""Watches what owns flows: no engine tells its plugin that a workflow was stopped.

One watch a distinct owner, for all flows that it owns. Where watching is forbidden the owner is read every few
seconds; where reading is forbidden, or its kind is unknown, that is told once and the flows run on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.reconcile.owner import WATCHED_KINDS, OwnerId, how_it_ended, owners_of

FlowKey = tuple[str, str]
"""Namespace and name."""

logger = logging.getLogger(__name__)

POLL_PERIOD = 3.0
"""Seconds between two looks at an owner that can't be watched."""
DENIED_PERIOD = 60.0
"""Seconds between two tries to read an owner that can't be read."""
PAUSE = 1.0
"""Seconds between two watches, and after an error of the API."""


@dataclass(slots=True)
class _Followed:
    keys: set[FlowKey] = field(default_factory=set)
    ended: str = ""
    problem: str = ""
    task: asyncio.Task[None] | None = None


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
        owners = owners_of(flow) if flow is not None else ()
        before = self._of_key.pop(key, ())
        if owners:
            self._of_key[key] = owners
        for owner in owners:
            followed = self._followed.setdefault(owner, _Followed())
            followed.keys.add(key)
            if followed.task is None:
                followed.task = asyncio.create_task(self._follow(owner, followed), name=f"owner {owner}")
        for owner in before:
            if owner in owners:
                continue
            followed = self._followed[owner]
            followed.keys.discard(key)
            if not followed.keys:
                del self._followed[owner]
                if followed.task is not None:
                    followed.task.cancel()

    def ended(self, key: FlowKey) -> str:
        """Return how an owner of the flow ended; empty: none has."""
        return next((e for owner in self._of_key.get(key, ()) if (e := self._followed[owner].ended)), "")

    def problem(self, key: FlowKey) -> str:
        """Return why an owner of the flow can't be watched; empty: all can."""
        return next((p for owner in self._of_key.get(key, ()) if (p := self._followed[owner].problem)), "")

    async def close(self) -> None:
        """End all watches."""
        tasks: Sequence[asyncio.Task[None]] = [f.task for f in self._followed.values() if f.task is not None]
        self._followed.clear()
        self._of_key.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, owner: OwnerId, followed: _Followed) -> None:
        resource = ResourceType(owner.api_version, owner.kind, WATCHED_KINDS[owner.group, owner.kind])
        watching = True
        while not followed.ended:
            pause = PAUSE if watching else POLL_PERIOD
            try:
                live = await self._client.get(resource, owner.name, owner.namespace)
                followed.problem = ""
                if self._judge(owner, followed, live):
                    return
                if watching:
                    await self._watch(owner, followed, resource, live["metadata"]["resourceVersion"])
            except ApiError as error:
                if error.code == 404 and owner.name in error.message:
                    self._judge(owner, followed, None)
                    return
                if error.code in (403, 404):
                    pause = DENIED_PERIOD
                    self._deny(owner, followed, resource, error)
                elif error.code != 410:
                    logger.debug("owner %s: %s", owner, error)
            except _ForbiddenError:
                watching = False
                continue
            await asyncio.sleep(pause)

    async def _watch(self, owner: OwnerId, followed: _Followed, resource: ResourceType, version: str) -> None:
        """Return when the watch ended, or the owner has.

        Raises:
            ApiError: the API does not answer, or forgot the version.
            _ForbiddenError: we may not watch.
        """
        try:
            async for event in self._client.watch(
                resource, owner.namespace, resource_version=version, field_selector=f"metadata.name={owner.name}"
            ):
                if event.type == "BOOKMARK":
                    continue
                if self._judge(owner, followed, None if event.type == "DELETED" else event.object):
                    return
        except ApiError as error:
            if error.code == 403:
                raise _ForbiddenError from error
            raise

    def _judge(self, owner: OwnerId, followed: _Followed, live: JsonObject | None) -> bool:
        """Take in what the owner is like now; tell whether it has ended."""
        followed.ended = how_it_ended(owner, live)
        if followed.ended:
            self._tell(followed)
        return bool(followed.ended)

    def _deny(self, owner: OwnerId, followed: _Followed, resource: ResourceType, error: ApiError) -> None:
        group = f".{owner.group}" if owner.group else ""
        why = (
            f"the operators may not get {resource.plural}{group} in namespace {owner.namespace} "
            "(they need the verbs get and watch)"
            if error.code == 403
            else f"this cluster has no {resource.plural}{group} ({owner.api_version})"
        )
        problem = f"the end of {owner.kind} {owner.name} will not end this flow: {why}"
        if followed.problem != problem:
            followed.problem = problem
            self._tell(followed)

    def _tell(self, followed: _Followed) -> None:
        for key in tuple(followed.keys):
            self._on_news(key)


class _ForbiddenError(Exception):
    """The owner may be read, and not watched."""
