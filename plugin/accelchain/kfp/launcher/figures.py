# SPDX-License-Identifier: Apache-2.0
"""What each function did in a flow that has ended, as the individual layer tells it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from accelchain.cli.record import RunRecord, work_seconds
from accelchain.cli.watching import owned_by
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import WB_FUNCTION
from accelchain_operators.reconcile.names import FLOW_LABEL, label_value

JsonObject = dict[str, Any]

_SECONDS = 2.0
"""The individual layer is written with the flow's end, not before it."""
_PAUSE = 0.05


async def last_document(client: KubeClient, record: RunRecord) -> JsonObject | None:
    """Return the figures of a whole flow in the form of a worker's document; None where nobody tells them.

    A short flow is over before its worker, or its status, was read often enough.
    """
    progress = record.status.get("progress")
    if not progress:
        return None
    rows = await _rows(client, record)
    edges = record.status.get("edges") or []
    seconds = work_seconds(progress)
    own = {"phase": record.status.get("phase", ""), "functions": rows, "edges": edges, "seconds": seconds}
    return {**record.document, **own, **progress}


async def _rows(client: KubeClient, record: RunRecord) -> list[JsonObject]:
    deadline = time.monotonic() + _SECONDS
    selector, uid = f"{FLOW_LABEL}={label_value(record.name)}", record.flow["metadata"]["uid"]
    while True:
        try:
            found, _ = await client.list(WB_FUNCTION, record.namespace, label_selector=selector)
        except ApiError:  # an older Role, or an API that is away: figures are not worth failing for
            return []
        statuses = {f["spec"]["function"]: f.get("status") or {} for f in found if owned_by(f, uid)}
        told = [{"name": name, **status} for name, status in statuses.items() if "microseconds" in status]
        if time.monotonic() > deadline or (
            len(told) == len(statuses) and all(row["phase"] in ("Succeeded", "Failed") for row in told)
        ):
            return [{key: row[key] for key in ("name", "frames", "framesPerSecond", "microseconds")} for row in told]
        await asyncio.sleep(_PAUSE)
