# SPDX-License-Identifier: Apache-2.0
"""The task's flow: created, or taken over from an earlier try, and kept while we live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from accelchain.kfp.launcher.answers import PAUSE, explained, patient
from accelchain.kfp.launcher.errors import LaunchError
from accelchain.kfp.launcher.identity import HEARTBEAT, LAUNCHER, TASK, Identity
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import DATA_FLOW

JsonObject = dict[str, Any]

BEATS_EVERY = 15.0
"""Seconds between two renewals: the operators end a flow that was left alone for 60."""
_CREATION_SECONDS = 0.5
"""For a request that is under way when we are to end: an API that answers at all has answered by then."""
_OVER = ("Succeeded", "Failed", "Refused")


def flow_of(name: str, namespace: str, spec: JsonObject, identity: Identity, held: bool) -> JsonObject:
    """Return the DataFlow of a task.

    Args:
        name: its name.
        namespace: where.
        spec: its spec.
        identity: whose it is.
        held: it ends with us and with the Workflow; else it lives until somebody deletes it.
    """
    metadata: JsonObject = {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "accelchain-kfp", **identity.labels},
        "annotations": {TASK: identity.key},
    }
    if held:
        metadata["annotations"] |= beat(identity)
        if identity.owner is not None:
            metadata["ownerReferences"] = [identity.owner]
    return {"apiVersion": DATA_FLOW.api_version, "kind": DATA_FLOW.kind, "metadata": metadata, "spec": spec}


def beat(identity: Identity) -> dict[str, str]:
    """Return the annotations that say that a launcher lives."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {HEARTBEAT: now} | ({LAUNCHER: identity.pod} if identity.pod else {})


async def claim(
    client: KubeClient, flow: JsonObject, say: Callable[[str], None], keep_ended: bool = False
) -> JsonObject:
    """Create a flow, or take over that of an earlier try of the same task.

    Args:
        client: the API.
        flow: what is to be there.
        say: told what is waited for.
        keep_ended: one that has ended well is taken as it is, not made anew.

    Returns:
        The flow as it is there.

    Raises:
        LaunchError: the API refuses it, is away for long, or the name is somebody else's.
    """
    namespace = flow["metadata"]["namespace"]
    while True:
        try:
            return await patient(lambda: client.create(DATA_FLOW, flow), say)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise explained(error, namespace) from None
        try:
            if (found := await patient(lambda: _taken_over(client, flow, say, keep_ended), say)) is not None:
                return found
        except ApiError as error:
            raise explained(error, namespace) from None


async def _taken_over(
    client: KubeClient, flow: JsonObject, say: Callable[[str], None], keep_ended: bool
) -> JsonObject | None:
    """Return the flow of that name, now ours; None: it is gone, or has just been removed, and can be made."""
    meta = flow["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    try:
        found = await client.get(DATA_FLOW, name, namespace)
        if not _is_ours(found, flow):
            raise LaunchError(
                f"the name is taken: DataFlow {name} in namespace {namespace} is not this task's: delete it."
            )
        phase = (found.get("status") or {}).get("phase")
        deleted = "deletionTimestamp" in found["metadata"]
        if phase in _OVER and not (keep_ended and phase == "Succeeded") and not deleted:
            say(f"DataFlow {name} is an earlier try's, which ended as {phase}: it is made anew")
            await client.delete(DATA_FLOW, name, namespace, uid=found["metadata"]["uid"])
            deleted = True
        if deleted:
            await asyncio.sleep(0.1)
            return None
        say(f"DataFlow {name} is an earlier try's: it goes on")
        change = {"metadata": {"uid": found["metadata"]["uid"], "annotations": meta["annotations"]}}
        return await client.patch(DATA_FLOW, name, namespace, change)
    except ApiError as error:
        if error.code in (404, 409):
            return None
        raise


def _is_ours(found: JsonObject, flow: JsonObject) -> bool:
    return bool((found["metadata"].get("annotations") or {}).get(TASK) == flow["metadata"]["annotations"][TASK])


@asynccontextmanager
async def kept(client: KubeClient, flow: JsonObject, identity: Identity) -> AsyncIterator[None]:
    """Renew a flow's heartbeat meanwhile."""
    task = asyncio.create_task(_beat(client, flow, identity))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(client: KubeClient, flow: JsonObject, identity: Identity) -> None:
    meta = flow["metadata"]
    pause = BEATS_EVERY
    while True:
        await asyncio.sleep(pause)
        change = {"metadata": {"uid": meta["uid"], "annotations": beat(identity)}}
        try:
            await client.patch(DATA_FLOW, meta["name"], meta["namespace"], change)
            pause = BEATS_EVERY
        except ApiError:  # the watch tells if the flow is gone, and the API's silence is waited for there
            pause = PAUSE


async def removed(client: KubeClient, name: str, namespace: str, uid: str | None) -> None:
    """Have a flow deleted; one that is not there, or is another one by now, is no error.

    Raises:
        ApiError: the API refuses it, or does not answer.
    """
    try:
        await client.delete(DATA_FLOW, name, namespace, uid=uid)
    except ApiError as error:
        if error.code not in (404, 409):
            raise


async def undone(client: KubeClient, flow: JsonObject, creation: asyncio.Task[JsonObject]) -> None:
    """Have a flow deleted, in whatever state its creation is; what others made of its name stays.

    Args:
        client: the API.
        flow: as it was to be made.
        creation: ``claim``, shielded from our own end: a request that is under way must not outlive us.

    Raises:
        ApiError: the API refuses it, or does not answer.
    """
    await asyncio.wait([creation], timeout=_CREATION_SECONDS)
    meta = flow["metadata"]
    if creation.done() and not creation.cancelled() and not creation.exception():
        await removed(client, meta["name"], meta["namespace"], creation.result()["metadata"]["uid"])
        return
    try:
        found = await client.get(DATA_FLOW, meta["name"], meta["namespace"])
    except ApiError as error:
        if error.code != 404:
            raise
        return
    if _is_ours(found, flow):
        await removed(client, meta["name"], meta["namespace"], found["metadata"]["uid"])
