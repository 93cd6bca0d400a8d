# SPDX-License-Identifier: Apache-2.0
"""Lists and watches that outlive a lost connection, and an API that is away for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType, WatchEvent

JsonObject = dict[str, Any]
_PAUSE = 0.1
"""Seconds before a lost watch begins anew."""


def owned_by(obj: JsonObject, uid: str) -> bool:
    """Tell if an object has an owner of that uid."""
    return any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences", ()))


async def list_and_watch(
    client: KubeClient,
    kind: ResourceType,
    namespace: str | None,
    *,
    label_selector: str = "",
    field_selector: str = "",
    patience: float = 0.0,
    on_silence: Callable[[ApiError], None] | None = None,
    seen: Iterable[JsonObject] = (),
) -> AsyncGenerator[WatchEvent, None]:
    """Yield the objects that are there as ADDED, then their changes, for ever.

    A lost watch begins anew; what was deleted meanwhile comes as DELETED.

    Args:
        client: the API.
        kind: what is watched.
        namespace: where.
        label_selector: which of them.
        field_selector: which of them.
        patience: seconds for which an API that does not answer is waited for.
        on_silence: told when it begins not to answer.
        seen: objects that were there before: those that are not by now come as DELETED too.

    Raises:
        ApiError: the API refuses us, or does not answer for too long.
    """
    known = {obj["metadata"]["uid"]: obj for obj in seen}
    silent_since: float | None = None
    while True:
        try:
            objects, version = await client.list(
                kind, namespace, label_selector=label_selector, field_selector=field_selector
            )
        except ApiError as error:
            now = time.monotonic()
            if silent_since is None and on_silence is not None and error.transient and patience:
                on_silence(error)
            silent_since = now if silent_since is None else silent_since
            if not error.transient or now - silent_since >= patience:
                raise
            await asyncio.sleep(_PAUSE)
            continue
        silent_since = None
        present = {obj["metadata"]["uid"]: obj for obj in objects}
        for uid in known.keys() - present.keys():
            yield WatchEvent("DELETED", known[uid])
        for obj in objects:
            yield WatchEvent("ADDED", obj)
        known = present
        try:
            async for event in client.watch(
                kind,
                namespace,
                resource_version=version,
                label_selector=label_selector,
                field_selector=field_selector,
            ):
                if event.type == "BOOKMARK":
                    continue
                uid = event.object["metadata"]["uid"]
                if event.type == "DELETED":
                    known.pop(uid, None)
                else:
                    known[uid] = event.object
                yield event
        except ApiError as error:
            if not error.transient and error.code != 410:
                raise
        await asyncio.sleep(_PAUSE)
