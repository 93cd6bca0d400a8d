# SPDX-License-Identifier: Apache-2.0
"""A few objects followed with our own client: the whole list, then each change, the list again when the watch ends.

kopf watches what is reconciled, in all namespaces. Leases are few, lie in one namespace, and one of them must be seen
before anything else is: this keeps the right to read them as small as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds from the end of a watch, or a failure, to the next list."""
REFUSED_PATIENCE = 30.0
"""Seconds that a refusal (403, 404) is put up with once the API has let us in.

An API server that restarts knows no Roles and no CRDs for some seconds, and says so as if there were none.
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects there are."""

    objects: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """An object that was made or changed."""

    object: JsonObject


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object that is no more."""

    object: JsonObject


async def follow(
    client: KubeClient,
    type: ResourceType,
    namespace: str | None = None,
    *,
    label_selector: str = "",
    field_selector: str = "",
    pause: float = PAUSE,
) -> AsyncGenerator[Listed | Changed | Deleted]:
    """Yield a list and then changes, until cancelled; an API that does not answer is waited for.

    Raises:
        ApiError: the API refuses (403), or does not know the kind (404), from the beginning or for long.
    """
    loop = asyncio.get_running_loop()
    patient_until = loop.time()
    while True:
        try:
            objects, version = await client.list(
                type, namespace, label_selector=label_selector, field_selector=field_selector
            )
            patient_until = float("inf")
            yield Listed(tuple(objects))
            events = client.watch(
                type,
                namespace,
                resource_version=version,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            async for event in events:
                if event.type == "DELETED":
                    yield Deleted(event.object)
                elif event.type != "BOOKMARK":
                    yield Changed(event.object)
        except ApiError as error:
            if not error.transient and error.code != 410:
                patient_until = min(patient_until, loop.time() + REFUSED_PATIENCE)
                if loop.time() >= patient_until:
                    raise
            logger.debug("%s are followed again in %.1f s: %s", type.plural, pause, error)
        await asyncio.sleep(pause)
