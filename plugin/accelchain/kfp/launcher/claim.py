# SPDX-License-Identifier: Apache-2.0
"""The task's flow: created, or taken over from an earlier try, and kept while we live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from accelchain.cli.api_errors import NOT_INSTALLED, right_of
from accelchain.kfp.launcher.errors import WRONG_INPUT, LaunchError
from accelchain.kfp.launcher.identity import HEARTBEAT, LAUNCHER, TASK, Identity
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import DATA_FLOW

JsonObject = dict[str, Any]

PATIENCE = 120.0
"""Seconds for which an API that does not answer is waited for."""
BEATS_EVERY = 15.0
"""Seconds between two renewals: the operators end a flow that was left alone for 60."""
_PAUSE = 1.0
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
    meta = flow["metadata"]
    began, told = time.monotonic(), False
    while True:
        try:
            return await client.create(DATA_FLOW, flow)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                if (found := await _taken_over(client, flow, say, keep_ended)) is not None:
                    return found
                continue
            if not error.transient or time.monotonic() - began > PATIENCE:
                raise explained(error, meta["namespace"]) from None
            if not told:
                told = True
                say(f"waiting: {error.message}")
        await asyncio.sleep(_PAUSE)


async def _taken_over(
    client: KubeClient, flow: JsonObject, say: Callable[[str], None], keep_ended: bool
) -> JsonObject | None:
    """Return the flow of that name, now ours; None: it is gone, or has just been removed, and can be made."""
    meta = flow["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    try:
        found = await client.get(DATA_FLOW, name, namespace)
        if (found["metadata"].get("annotations") or {}).get(TASK) != meta["annotations"][TASK]:
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
        if error.transient:
            await asyncio.sleep(_PAUSE)
            return None
        raise explained(error, namespace) from None


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
            pause = _PAUSE


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


def explained(error: ApiError, namespace: str) -> LaunchError:
    """Return an answer of the API as a sentence that says what to do."""
    if error.code == 403:
        return LaunchError(
            f"the pipeline's ServiceAccount may not {right_of(error)}: let an administrator apply the rights "
            f"(accelchain kfp install -n {namespace} | kubectl apply -f -)."
        )
    if error.code == 404:
        if "namespaces" in error.message:
            return LaunchError(f"{error.message.rstrip('.')}: name one that is there.", WRONG_INPUT)
        return LaunchError(NOT_INSTALLED)
    if error.code in (400, 422):
        return LaunchError(f"the cluster refuses the DataFlow: {error.message.rstrip('.')}.", WRONG_INPUT)
    if error.transient:
        return LaunchError(f"the cluster's API did not answer for {PATIENCE:.0f} s: {error.message.rstrip('.')}.")
    return LaunchError(f"the cluster answered {error.code}: {error.message.rstrip('.')}.")
