# SPDX-License-Identifier: Apache-2.0
"""Does what reconcilers want done, and only what changes something."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.compare import would_change
from accelchain_operators.kube.events import Recorder
from accelchain_operators.kube.kinds import BY_KIND, SECRET, WATCHED
from accelchain_operators.kube.store import Store, controller_uid
from accelchain_operators.reconcile.actions import Action, Actions, Apply, ApplyStatus, CreateOnce, Delete, Event
from accelchain_operators.reconcile.names import FLOW_LABEL, UID_ANNOTATION, is_paused
from accelchain_operators.reconcile.times import rfc3339

logger = logging.getLogger(__name__)


class NameTakenError(Exception):
    """An object that we want to write exists and is not ours, or not yet gone."""


class Applier:
    """Carries out actions, stage by stage.

    Args:
        client: The API.
        store: The cache: what it holds is not asked for, and answers to writes go in at once.
        recorder: Writes Events.
        on_ghost: Told of the kind of an object that the store holds and the API does not have.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        recorder: Recorder,
        on_ghost: Callable[[ResourceType], None],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._recorder = recorder
        self._on_ghost = on_ghost
        self._clock = clock

    async def run(self, actions: Actions, manager: str) -> None:
        """Do all stages; the first failure ends the run after its stage.

        Raises:
            NameTakenError: an object of that name belongs to somebody else.
            ApiError: the API refused, or does not answer.
        """
        for stage in actions.stages:
            results = await asyncio.gather(*(self._do(action, manager) for action in stage), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _do(self, action: Action, manager: str) -> None:
        match action:
            case Apply():
                await self._apply(action.obj, manager)
            case ApplyStatus():
                await self._apply_status(action.obj, manager)
            case CreateOnce():
                await self._create_once(action.obj)
            case Delete():
                await self._delete(action)
            case Event():
                await self._recorder.record(action, manager)

    async def _apply(self, intent: JsonObject, manager: str) -> None:
        type, live = self._find(intent)
        if live is not None:
            if not (controller_uid(live) == controller_uid(intent) or _is_orphan(live, intent)):
                raise NameTakenError(_taken(intent, live))
            if is_paused(live) or not would_change(intent, live, manager):
                return
        self._store.put(type, await self._client.apply(type, intent, field_manager=manager))

    async def _apply_status(self, intent: JsonObject, manager: str) -> None:
        type, live = self._find(intent)
        if live is None:
            return  # deleted meanwhile: nobody is left to be told
        if is_paused(live):
            return
        intent = self._with_times(intent, live)
        if not would_change(intent, live, manager, "status"):
            return
        try:
            self._store.put(type, await self._client.apply_status(type, intent, field_manager=manager))
        except ApiError as error:
            if error.code != 404:
                raise
            self._on_ghost(type)

    async def _create_once(self, intent: JsonObject) -> None:
        type, live = self._find(intent)
        if live is None:
            try:
                live = await self._client.create(type, intent)
            except ApiError as error:
                if error.code != 409:
                    raise
                meta = intent["metadata"]
                live = await self._client.get(type, meta["name"], meta.get("namespace"))
        if _is_orphan(live, intent):
            live = await self._take_in(type, live, intent)
        if controller_uid(live) != controller_uid(intent):
            # Not into the store: nobody would tell it of the end of an object that is not ours.
            raise NameTakenError(_taken(intent, live))
        if type in WATCHED:
            self._store.put(type, live)
        # A Secret that an earlier run of the operators made holds another token: the caller has to read that one.
        if "data" in intent and live.get("data") != intent["data"]:
            raise NameTakenError(f"{type.kind} {intent['metadata']['name']} exists with other data")

    async def _take_in(self, type: ResourceType, live: JsonObject, intent: JsonObject) -> JsonObject:
        """Give an object that lost its owner the owner back; one that an earlier flow of this name left is deleted.

        A Secret is made again in either case: it is gone at once, no Pod has it yet, and so no right to change Secrets
        is needed.

        Raises:
            NameTakenError: it is being deleted; what is wanted can be created then.
        """
        meta = live["metadata"]
        mine = (meta.get("annotations") or {}).get(UID_ANNOTATION) == controller_uid(intent)
        if mine and live.get("data") == intent.get("data") and type != SECRET:
            owners = [*(meta.get("ownerReferences") or ()), *intent["metadata"]["ownerReferences"]]
            # With what it was read as: it may belong to somebody by now.
            known = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "ownerReferences": owners}
            return await self._client.patch(type, meta["name"], meta.get("namespace"), {"metadata": known})
        if "deletionTimestamp" not in meta:
            await self._client.delete(type, meta["name"], meta.get("namespace"), uid=meta["uid"])
        if type == SECRET:
            return await self._client.create(type, intent)
        raise NameTakenError(f"{type.kind} {meta['name']} is left from an earlier flow of this name, and is deleted")

    async def _delete(self, action: Delete) -> None:
        ref = action.ref
        type = BY_KIND[ref.api_version, ref.kind]
        live = self._store.get(type, ref.namespace, ref.name)
        if live is not None and is_paused(live):
            return
        try:
            await self._client.delete(type, ref.name, ref.namespace, uid=action.uid, grace_seconds=action.grace_seconds)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or another object of that name by now
                raise
            self._on_ghost(type)

    def _find(self, intent: JsonObject) -> tuple[ResourceType, JsonObject | None]:
        type = BY_KIND[intent["apiVersion"], intent["kind"]]
        meta = intent["metadata"]
        return type, self._store.get(type, meta.get("namespace"), meta["name"])

    def _with_times(self, intent: JsonObject, live: JsonObject) -> JsonObject:
        """Return the intent with the times at which its conditions changed."""
        conditions = intent.get("status", {}).get("conditions")
        if not conditions:
            return intent
        known = {c["type"]: c for c in (live.get("status") or {}).get("conditions") or ()}
        intent = copy.deepcopy(intent)
        for condition in intent["status"]["conditions"]:
            old = known.get(condition["type"])
            same = old is not None and old["status"] == condition["status"] and old.get("lastTransitionTime")
            condition["lastTransitionTime"] = old["lastTransitionTime"] if old and same else rfc3339(self._clock())
        return intent


def _is_orphan(live: JsonObject, intent: JsonObject) -> bool:
    """Tell whether an object was a flow's of this name, by its labels, and has lost its owner."""
    had = live["metadata"].get("labels") or {}
    want = intent["metadata"].get("labels") or {}
    ours = (FLOW_LABEL, "app.kubernetes.io/component", "app.kubernetes.io/managed-by")
    return not controller_uid(live) and FLOW_LABEL in want and all(had.get(key) == want.get(key) for key in ours)


def _taken(intent: JsonObject, live: JsonObject) -> str:
    meta = live["metadata"]
    owner = next((f"{o['kind']} {o['name']}" for o in meta.get("ownerReferences") or () if o.get("controller")), "")
    return (
        f"{intent['kind']} {meta['name']} exists and belongs to {owner or 'nobody'}"
        f" (uid {controller_uid(live) or '-'}): delete it, or choose another name for this DataFlow"
    )
