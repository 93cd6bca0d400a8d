# SPDX-License-Identifier: Apache-2.0
"""The shell of the dataflow reconciler: gathers a flow's snapshot, and has the answer applied."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator

from pydantic import ValidationError

from accelchain.api import DataFlow
from accelchain_operators.kube import kinds
from accelchain_operators.kube.applier import Applier, NameTakenError
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.owners import FlowKey, Owners
from accelchain_operators.kube.store import Store, controller_uid
from accelchain_operators.kube.streams import Streams
from accelchain_operators.kube.sync import Sync
from accelchain_operators.reconcile.actions import Actions
from accelchain_operators.reconcile.attempts import current_config_map, current_number
from accelchain_operators.reconcile.dataflow import is_active, reconcile, refuses
from accelchain_operators.reconcile.heartbeat import HeartbeatsSeen, is_stale
from accelchain_operators.reconcile.models import parse
from accelchain_operators.reconcile.mounts import secret_grants
from accelchain_operators.reconcile.names import UID_ANNOTATION, attempt_label, worker_name
from accelchain_operators.reconcile.running import PROGRESS_PERIOD
from accelchain_operators.reconcile.snapshot import FlowSnapshot, Objects
from accelchain_operators.reconcile.status import is_true
from accelchain_operators.reconcile.worker_options import WorkerOptions

MANAGER = "accelchain-dataflow"
REFERENCED = (
    kinds.FUNCTION_CHAIN,
    kinds.FUNCTION_TYPE,
    kinds.CONNECTION_TYPE,
    kinds.SCHEDULING_STRATEGY,
    kinds.COMPUTE_RESOURCE,
)
"""What a flow is checked against."""


class Flows:
    """What is remembered of flows between two looks: tokens, conflicts, Pods that are gone, when figures were written.

    All of it may be lost: a restart reads tokens from Secrets, and the rest comes by itself.

    Args:
        client: The API, asked for Secrets (which are not watched), and for a flow before its worker may publish.
        store: The cache.
        sync: Lists what is in doubt.
        streams: The workers' documents.
        applier: Does what the reconciler wants.
        owners: What owns flows.
        worker: How worker Pods are made.
        stale_nodes: Returns the nodes that are not ready or not heard of.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        sync: Sync,
        streams: Streams,
        applier: Applier,
        owners: Owners,
        worker: WorkerOptions,
        stale_nodes: Callable[[], frozenset[str]],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._sync = sync
        self._streams = streams
        self._applier = applier
        self._owners = owners
        self._worker = worker
        self._stale_nodes = stale_nodes
        self._clock = clock
        self._tokens: dict[FlowKey, tuple[tuple[str, int], str]] = {}
        self._conflicts: dict[FlowKey, str] = {}
        self._reported: dict[FlowKey, float] = {}
        self._departed: dict[str, list[JsonObject]] = {}
        self._told_of_owner: dict[FlowKey, str] = {}
        self._heartbeats = HeartbeatsSeen()

    async def work(self, key: FlowKey) -> float | None:
        """Bring one flow where it should be."""
        flow = self._store.get(kinds.DATA_FLOW, *key)
        if flow is None:
            self._forget(key)
            return None
        self._owners.want(key, flow if is_active(flow) else None)
        snapshot, actions = await self._decide(key, flow)
        if is_active(flow) and is_stale(snapshot):
            # Our watch may be late: the API is asked before a flow is ended that somebody holds.
            flow = await self._read_held(key, flow)
            snapshot, actions = await self._decide(key, flow)
        if refuses(flow, actions):
            # Every kind has a watch of its own: a flow may be seen before the chain that was created before it. People
            # take a refusal for final, so the API is asked before it is said.
            await self._sync.refresh(*REFERENCED)
            snapshot, actions = await self._decide(key, flow)
        if any(not self._streams.is_granting(key, grant.worker.pod_uid) for grant in actions.grants):
            # A worker may publish on the API's word, not on ours: what we hold may be old, and the flow another's.
            flow = await self._read(key)
            snapshot, actions = await self._decide(key, flow)
        self._streams.want(key, actions.watch_workers)
        self._streams.grant(key, actions.grants)
        try:
            await self._applier.run(actions, MANAGER)
        except NameTakenError as error:
            self._conflicts[key] = str(error)
            self._tokens.pop(key, None)  # perhaps it is the Secret, and holds another one
            raise
        except ApiError as error:
            if error.code == 409:  # what was looked at is old, and our watch may be slow to tell
                await self._read(key)
            raise
        self._conflicts.pop(key, None)
        if snapshot.owner_problem:
            self._told_of_owner[key] = snapshot.owner_problem
        if snapshot.progress_due and actions.watch_workers:
            self._reported[key] = snapshot.now
        self._prune(key, flow)
        return actions.requeue_after

    async def _read_held(self, key: FlowKey, flow: JsonObject) -> JsonObject:
        """Return a flow as the API has it.

        Raises:
            ApiError: the API does not answer. Then nobody could renew a heartbeat either: it is counted anew.
        """
        try:
            return await self._read(key)
        except ApiError as error:
            if error.transient:
                self._heartbeats.begin_anew(key, flow, self._clock())
            raise

    async def _read(self, key: FlowKey) -> JsonObject:
        """Return a flow as the API has it; the store holds it then."""
        live = await self._client.get(kinds.DATA_FLOW, key[1], key[0])
        self._store.put(kinds.DATA_FLOW, live)
        return live

    def _held_since(self, key: FlowKey, flow: JsonObject, now: float) -> float | None:
        """Return since when the flow's heartbeat is the same; None: nobody holds it, or it has ended."""
        if is_active(flow):
            return self._heartbeats.look(key, flow, now)
        self._heartbeats.forget(key)
        return None

    def pod_gone(self, pod: JsonObject) -> None:
        """Keep a Pod that was deleted, and what its worker said last, until its flow has been looked at."""
        owner = controller_uid(pod)
        if owner:
            self._departed.setdefault(owner, []).append(pod)
        else:
            self._streams.forget(pod["metadata"]["uid"])

    def _prune(self, key: FlowKey, flow: JsonObject) -> None:
        """Forget Pods of attempts that are over."""
        uid = flow["metadata"]["uid"]
        now = self._store.get(kinds.DATA_FLOW, *key)
        number = 0
        if now is not None and now["metadata"]["uid"] == uid and is_active(now):
            number = current_number(now, self._store.owned(kinds.CONFIG_MAP, uid))
        departed = self._departed.pop(uid, [])
        kept = [pod for pod in departed if attempt_label(pod) == number]
        if kept:
            self._departed[uid] = kept
        for pod in departed:
            if pod not in kept:
                self._streams.forget(pod["metadata"]["uid"])

    def _forget(self, key: FlowKey) -> None:
        self._streams.want(key, ())
        self._streams.grant(key, ())
        self._owners.want(key, None)
        self._tokens.pop(key, None)
        self._conflicts.pop(key, None)
        self._reported.pop(key, None)
        self._told_of_owner.pop(key, None)
        self._heartbeats.forget(key)
        for uid in [uid for uid, pods in self._departed.items() if _namespace_and_flow(pods[0]) == key]:
            for pod in self._departed.pop(uid):
                self._streams.forget(pod["metadata"]["uid"])

    async def _decide(self, key: FlowKey, flow: JsonObject) -> tuple[FlowSnapshot, Actions]:
        snapshot = await self._snapshot(key, flow)
        return snapshot, reconcile(snapshot)

    async def _snapshot(self, key: FlowKey, flow: JsonObject) -> FlowSnapshot:
        store, uid, now = self._store, flow["metadata"]["uid"], self._clock()
        config_maps = self._children(kinds.CONFIG_MAP, flow)
        needs_worker = is_active(flow) and (is_true(flow, "Scheduled") or bool(config_maps))
        token = await self._token(key, flow, config_maps) if needs_worker else ""
        starts = needs_worker and current_config_map(flow, config_maps) is None
        missing = await self._missing_secrets(flow) if starts else frozenset()
        held_since = self._held_since(key, flow, now)
        pods = self._children(kinds.POD, flow)
        departed = tuple(self._departed.get(uid, ()))
        pod_uids = [pod["metadata"]["uid"] for pod in (*pods, *departed)]
        problem = self._owners.problem(key)
        return FlowSnapshot(
            flow=flow,
            now=now,
            chains=store.all(kinds.FUNCTION_CHAIN, key[0]),
            types=store.all(kinds.FUNCTION_TYPE),
            connection_types=store.all(kinds.CONNECTION_TYPE),
            strategies=store.all(kinds.SCHEDULING_STRATEGY),
            resources=store.all(kinds.COMPUTE_RESOURCE),
            pods=pods,
            config_maps=config_maps,
            functions=store.owned(kinds.WB_FUNCTION, uid),
            connections=store.owned(kinds.WB_CONNECTION, uid),
            documents=self._streams.documents(pod_uids),
            phase_since=self._streams.phase_since(pod_uids),
            granted_at=self._streams.granted_at(pod_uids),
            token=token,
            worker=self._worker,
            # Half a second early counts: the timer that asks is as exact as a busy loop allows.
            progress_due=now - self._reported.get(key, 0.0) > PROGRESS_PERIOD - 0.5,
            departed=departed,
            stale_nodes=self._stale_nodes(),
            owner_ended=self._owners.ended(key),
            owner_problem="" if problem == self._told_of_owner.get(key) else problem,
            heartbeat_since=held_since,
            missing_secrets=missing,
            conflict=self._conflicts.get(key, ""),
        )

    def _children(self, type: ResourceType, flow: JsonObject) -> Objects:
        """Return the flow's objects of a kind, those among them that lost their owner."""
        owned = self._store.owned(type, flow["metadata"]["uid"])
        return (*owned, *(obj for obj in self._orphans(type, flow) if obj not in owned))

    def _orphans(self, type: ResourceType, flow: JsonObject) -> Iterator[JsonObject]:
        meta, status = flow["metadata"], flow.get("status") or {}
        number = status.get("attempt") or 1
        for node in dict.fromkeys(entry["node"] for entry in status.get("placement") or ()):
            found = self._store.get(type, meta["namespace"], worker_name(flow, node, number))
            if found is not None and _is_of(found, flow):
                yield found

    async def _token(self, key: FlowKey, flow: JsonObject, config_maps: Objects) -> str:
        """Return the token of the current attempt's Secret; a new one where there is no Secret of it."""
        attempt = flow["metadata"]["uid"], current_number(flow, config_maps)
        known = self._tokens.get(key)
        if known is None or known[0] != attempt:
            known = attempt, await self._read_token(flow, config_maps) or secrets.token_urlsafe(32)
            self._tokens[key] = known
        return known[1]

    async def _read_token(self, flow: JsonObject, config_maps: Objects) -> str:
        config_map = current_config_map(flow, config_maps)
        placement = (flow.get("status") or {}).get("placement") or ()
        if config_map is not None:
            name = config_map["metadata"]["name"]
        elif placement:
            name = worker_name(flow, placement[0]["node"], current_number(flow, config_maps))
        else:
            return ""
        secret = await self._secret(name, flow["metadata"]["namespace"])
        if secret is None or not (controller_uid(secret) == flow["metadata"]["uid"] or _is_of(secret, flow)):
            return ""
        return base64.b64decode((secret.get("data") or {}).get("token", "")).decode()

    async def _missing_secrets(self, flow: JsonObject) -> frozenset[str]:
        """Return the Secrets, and ``secret/key``, that the flow names and that don't exist.

        What we may not read counts as there.
        """
        try:
            grants = secret_grants(parse(DataFlow, flow).spec)
        except ValidationError:
            return frozenset()  # it is refused
        namespace = flow["metadata"]["namespace"]
        found = {name: await self._secret(name, namespace) for name in {grant.secret for grant in grants}}
        missing = {name for name, secret in found.items() if secret is None}
        for grant in grants:
            keys = (found[grant.secret] or {}).get("data")
            if grant.key and keys is not None and grant.key not in keys:
                missing.add(grant.lack)
        return frozenset(missing)

    async def _secret(self, name: str, namespace: str) -> JsonObject | None:
        """Return a Secret; None: there is none. One that we may not read is empty."""
        try:
            return await self._client.get(kinds.SECRET, name, namespace)
        except ApiError as error:
            if error.code == 403:
                return {"metadata": {"name": name}}
            if error.code != 404:
                raise
            return None


def _is_of(obj: JsonObject, flow: JsonObject) -> bool:
    """Tell whether an object that nobody controls was made for a flow."""
    annotations = obj["metadata"].get("annotations") or {}
    return not controller_uid(obj) and annotations.get(UID_ANNOTATION) == flow["metadata"]["uid"]


def _namespace_and_flow(pod: JsonObject) -> FlowKey:
    meta = pod["metadata"]
    owner = next((o["name"] for o in meta.get("ownerReferences") or () if o.get("controller")), "")
    return meta["namespace"], owner
