# SPDX-License-Identifier: Apache-2.0
"""Deletes a DataFlow and waits until nothing of it is left."""

from __future__ import annotations

import asyncio
from typing import Any

from accelchain.cli.errors import RunFailed
from accelchain.cli.watching import owned_by
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.kube.kinds import CONFIG_MAP, DATA_FLOW, FUNCTION_CHAIN, POD, WB_CONNECTION, WB_FUNCTION
from accelchain_operators.reconcile.names import FLOW_LABEL, label_value

_PAUSE = 0.1
"""Seconds between two looks at what is being deleted."""
_CHILDREN = (POD, WB_FUNCTION, WB_CONNECTION, CONFIG_MAP)


async def delete_flow(
    client: KubeClient, uid: str, name: str, namespace: str, *, wait: bool = True, timeout: float = 60.0
) -> None:
    """Delete a DataFlow, if it is still the one of that uid, and wait until what it owns is gone, its pods above all.

    What the user may not list is not waited for.

    Raises:
        RunFailed: something was left after ``timeout`` seconds.
        ApiError: the API refuses the deletion.
    """
    try:
        await client.delete(DATA_FLOW, name, namespace, uid=uid)
    except ApiError as error:
        if error.code not in (404, 409):  # it is gone, or another one has its name: ours is gone all the same
            raise
    if not wait:
        return
    selectors = {DATA_FLOW: {"field_selector": f"metadata.name={name}"}, FUNCTION_CHAIN: {}}
    selectors |= {kind: {"label_selector": f"{FLOW_LABEL}={label_value(name)}"} for kind in _CHILDREN}
    try:
        async with asyncio.timeout(timeout):
            for kind, selector in selectors.items():
                await _until_gone(client, kind, uid, namespace, selector)
    except TimeoutError:
        raise RunFailed(
            f"DataFlow {name}: not everything was gone after {timeout:.0f} s; kubectl get pods,dataflows "
            f"-n {namespace} shows what is left."
        ) from None


async def _until_gone(
    client: KubeClient, kind: ResourceType, uid: str, namespace: str, selector: dict[str, Any]
) -> None:
    """Return when no object of that kind is the flow, or owned by it."""
    while True:
        try:
            objects, _ = await client.list(kind, namespace, **selector)
        except ApiError as error:
            if error.code == 403 and kind is not DATA_FLOW:
                return
            raise
        if not any(o["metadata"]["uid"] == uid or owned_by(o, uid) for o in objects):
            return
        await asyncio.sleep(_PAUSE)
