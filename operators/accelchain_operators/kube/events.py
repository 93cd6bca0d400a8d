# SPDX-License-Identifier: Apache-2.0
"""Events for people (events.k8s.io/v1). A repeat becomes a series of the Event that is there, not another one."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.kinds import EVENT
from accelchain_operators.reconcile.actions import Event

logger = logging.getLogger(__name__)

REMEMBERED = 4096
LONGEST_NOTE = 1024


def micro_time(seconds: float) -> str:
    """Return a time (seconds since 1970) as Kubernetes' MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Recorder:
    """Writes Events. An Event that can't be written is logged: it must not hold up the work that it tells of.

    Args:
        client: The API.
        instance: Who reports, unique among replicas (the pod's or the host's name).
        clock: Seconds since 1970.
    """

    def __init__(self, client: KubeClient, instance: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def record(self, event: Event, controller: str) -> None:
        """Create the Event, or count it up where it exists."""
        meta = event.regarding["metadata"]
        namespace = meta.get("namespace") or "default"
        note = event.message[:LONGEST_NOTE]
        digest = hashlib.sha256("\0".join((meta.get("uid", ""), event.reason, note)).encode()).hexdigest()[:16]
        name = f"{meta['name'][:236]}.{digest}"
        seen = self._counts.get(f"{namespace}/{name}", 0)
        try:
            if seen == 0:
                try:
                    await self._client.create(EVENT, self._first(event, name, namespace, note, controller))
                except ApiError as error:
                    if error.code != 409:
                        raise
                    # Written before this process began: go on with its series.
                    live = await self._client.get(EVENT, name, namespace)
                    seen = (live.get("series") or {}).get("count") or 1
            if seen:
                series = {"count": seen + 1, "lastObservedTime": micro_time(self._clock())}
                await self._client.patch(EVENT, name, namespace, {"series": series})
        except ApiError as error:
            self._counts.pop(f"{namespace}/{name}", None)  # perhaps expired on the server: next time create it anew
            logger.warning("Event %s on %s %s was not written: %s", event.reason, namespace, meta["name"], error)
            return
        self._counts[f"{namespace}/{name}"] = seen + 1
        self._counts.move_to_end(f"{namespace}/{name}")
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def _first(self, event: Event, name: str, namespace: str, note: str, controller: str) -> JsonObject:
        meta = event.regarding["metadata"]
        regarding = {
            "apiVersion": event.regarding["apiVersion"],
            "kind": event.regarding["kind"],
            "name": meta["name"],
            "namespace": meta.get("namespace"),
            "uid": meta.get("uid"),
        }
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": micro_time(self._clock()),
            "reportingController": f"accelchain.io/{controller}",
            "reportingInstance": self._instance[:128],
            "action": event.reason,
            "reason": event.reason,
            "regarding": {key: value for key, value in regarding.items() if value},
            "note": note,
            "type": "Warning" if event.warning else "Normal",
        }
