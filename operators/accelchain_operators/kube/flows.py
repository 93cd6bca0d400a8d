# SPDX-License-Identifier: Apache-2.0
"""The shell of the dataflow reconciler: gathers a flow's snapshot, and has the answer applied."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier, NameTakenError
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.store import Store, controller_uid
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import Sync
from accelchain_operators.reconcile.dataflow import PROGRESS_PERIOD, needs_worker, reconcile, refuses
from accelchain_operators.reconcile.names import worker_name
from accelchain_operators.reconcile.snapshot import FlowSnapshot

MANAGER = "accelchain-dataflow"
REFERENCED = (
    kinds.FUNCTION_CHAIN,
    kinds.FUNCTION_TYPE,
    kinds.CONNECTION_TYPE,
    kinds.SCHEDULING_STRATEGY,
    kinds.COMPUTE_RESOURCE,
)
"""What a flow is checked against."""

FlowKey = tuple[str, str]
"""Namespace and name."""


class Flows:
    """What is remembered of flows between two looks: tokens, conflicts, the time of the last figures.

    All of it may be lost: a restart reads tokens from Secrets, and the rest comes by itself.

    Args:
        client: The API, asked for a flow's Secret (which is not watched).
        store: The cache.
        sync: Lists what is in doubt.
        streams: The workers' documents.
        applier: Does what the reconciler wants.
        worker_image: Image of worker pods.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        sync: Sync,
        streams: Streams,
        applier: Applier,
        worker_image: str,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._sync = sync
        self._streams = streams
        self._applier = applier
        self._worker_image = worker_image
        self._clock = clock
        self._tokens: dict[FlowKey, tuple[str, str]] = {}
        self._conflicts: dict[FlowKey, str] = {}
        self._reported: dict[FlowKey, float] = {}

    async def work(self, key: FlowKey) -> float | None:
        """Bring one flow where it should be."""
        flow = self._store.get(kinds.DATA_FLOW, *key)
        if flow is None:
            self._forget(key)
            return None
        token = await self._token(key, flow) if needs_worker(flow) else ""
        snapshot = self._snapshot(key, flow, token)
        actions = reconcile(snapshot)
        if refuses(flow, actions):
            # Every kind has a watch of its own: a flow may be seen before the chain that was created before it. People
            # take a refusal for final, so the API is asked before it is said.
            await self._sync.refresh(*REFERENCED)
            snapshot = self._snapshot(key, flow, token)
            actions = reconcile(snapshot)
        self._streams.want(key, actions.watch_workers)
        try:
            await self._applier.run(actions, MANAGER)
        except NameTakenError as error:
            self._conflicts[key] = str(error)
            self._tokens.pop(key, None)  # perhaps it is the Secret, and holds another one
            raise
        self._conflicts.pop(key, None)
        if snapshot.progress_due and actions.watch_workers:
            self._reported[key] = snapshot.now
        return actions.requeue_after

    def _forget(self, key: FlowKey) -> None:
        self._streams.want(key, ())
        self._tokens.pop(key, None)
        self._conflicts.pop(key, None)
        self._reported.pop(key, None)

    def _snapshot(self, key: FlowKey, flow: JsonObject, token: str) -> FlowSnapshot:
        store, uid, now = self._store, flow["metadata"]["uid"], self._clock()
        pods = store.owned(kinds.POD, uid)
        pod_uids = [pod["metadata"]["uid"] for pod in pods]
        return FlowSnapshot(
            flow=flow,
            now=now,
            chains=store.all(kinds.FUNCTION_CHAIN, key[0]),
            types=store.all(kinds.FUNCTION_TYPE),
            connection_types=store.all(kinds.CONNECTION_TYPE),
            strategies=store.all(kinds.SCHEDULING_STRATEGY),
            resources=store.all(kinds.COMPUTE_RESOURCE),
            pods=pods,
            config_maps=store.owned(kinds.CONFIG_MAP, uid),
            functions=store.owned(kinds.WB_FUNCTION, uid),
            connections=store.owned(kinds.WB_CONNECTION, uid),
            documents=self._streams.documents(pod_uids),
            phase_since=self._streams.phase_since(pod_uids),
            token=token,
            worker_image=self._worker_image,
            # Half a second early counts: the timer that asks is as exact as a busy loop allows.
            progress_due=now - self._reported.get(key, 0.0) > PROGRESS_PERIOD - 0.5,
            conflict=self._conflicts.get(key, ""),
        )

    async def _token(self, key: FlowKey, flow: JsonObject) -> str:
        """Return the token of the flow's Secret; a new one where there is no Secret of this flow."""
        uid = flow["metadata"]["uid"]
        known = self._tokens.get(key)
        if known is None or known[0] != uid:
            known = uid, await self._read_token(flow) or secrets.token_urlsafe(32)
            self._tokens[key] = known
        return known[1]

    async def _read_token(self, flow: JsonObject) -> str:
        placement = (flow.get("status") or {}).get("placement") or ()
        if not placement:
            return ""
        meta = flow["metadata"]
        try:
            secret = await self._client.get(kinds.SECRET, worker_name(flow, placement[0]["node"]), meta["namespace"])
        except ApiError as error:
            if error.code != 404:
                raise
            return ""
        if controller_uid(secret) != meta["uid"]:
            return ""
        return base64.b64decode((secret.get("data") or {}).get("token", "")).decode()
