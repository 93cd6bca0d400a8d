# SPDX-License-Identifier: Apache-2.0
"""All pods, kept up to date: list, then watch, and list again when the watch lost its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import POD
from accelchain_operators.localkube.kubelet.api import FIRST_DELAY, until_answered
from accelchain_operators.localkube.kubelet.podspec import JsonObject

log = logging.getLogger(__name__)


async def follow_pods(
    client: KubeClient, replaced: Callable[[list[JsonObject]], None], changed: Callable[[str, JsonObject], None]
) -> None:
    """Call back for every change until cancelled.

    Args:
        client: the API.
        replaced: gets the complete list: what it lacks was deleted unseen.
        changed: gets the event's type (ADDED, MODIFIED, DELETED) and the pod.

    Raises:
        ApiError: listing pods is refused for good.
    """
    while True:
        pods, version = await until_answered(lambda: client.list(POD))
        replaced(pods)
        try:
            while True:
                version = await _watch_once(client, version, changed)
        except ApiError as error:
            # 410 Gone is the ordinary end of a place in history; the list tells whether the rest is worse.
            log.info("the watch of pods ended, listing again: %s", error)
            await asyncio.sleep(FIRST_DELAY)


async def _watch_once(client: KubeClient, version: str, changed: Callable[[str, JsonObject], None]) -> str:
    """Follow one stream to its end; return the resourceVersion to go on from."""
    began = asyncio.get_running_loop().time()
    async for event in client.watch(POD, resource_version=version):
        version = event.object["metadata"]["resourceVersion"]
        if event.type != "BOOKMARK":
            changed(event.type, event.object)
    if asyncio.get_running_loop().time() - began < FIRST_DELAY:
        await asyncio.sleep(FIRST_DELAY)  # a server that ends every stream at once is not called without pause
    return version
