# SPDX-License-Identifier: Apache-2.0
"""What a reconciler wants done. The applier does it, and nothing else touches the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object by kind and name."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    @classmethod
    def of(cls, obj: JsonObject) -> ObjectRef:
        """Return the reference of an object."""
        meta = obj["metadata"]
        return cls(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace"))


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of the complete intent for an object of ours (forced). Skipped where nothing would change."""

    obj: JsonObject


@dataclass(frozen=True, slots=True)
class ApplyStatus:
    """Server-side apply of ``status`` (complete intent of this field manager). Skipped where nothing would change.

    A condition's lastTransitionTime may be left out: the applier keeps it or sets it.
    """

    obj: JsonObject


@dataclass(frozen=True, slots=True)
class CreateOnce:
    """Create an object that never changes (immutable ConfigMap, Pod, Secret). Existing: left alone.

    One of the same flow that lost its owner reference gets it back; one of an earlier flow is deleted.
    """

    obj: JsonObject


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object if it is still the one with this uid. Missing: done."""

    ref: ObjectRef
    uid: str | None = None
    grace_seconds: int | None = None


def removal(objects: Iterable[JsonObject]) -> tuple[Delete, ...]:
    """Return the deletion of objects, those left out that are being deleted already."""
    return tuple(
        Delete(ObjectRef.of(obj), obj["metadata"]["uid"])
        for obj in objects
        if "deletionTimestamp" not in obj["metadata"]
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Tell people: a Kubernetes Event on an object."""

    regarding: JsonObject
    reason: str
    message: str
    warning: bool = False


Action = Apply | ApplyStatus | CreateOnce | Delete | Event


@dataclass(frozen=True, slots=True)
class Actions:
    """The result of one reconcile. Actions of one stage may be done at the same time; stages follow one another."""

    stages: tuple[tuple[Action, ...], ...] = ()
    requeue_after: float | None = None
    """Seconds until this key is to be looked at again; None: when something changes."""
    watch_workers: tuple[WorkerWatch, ...] = field(default=())
    """Workers whose status stream the shell shall follow for this key; streams of others are closed."""
    grants: tuple[Grant, ...] = field(default=())
    """Workers that may publish now; the shell tells them again and again until they do, or until this is withdrawn."""


@dataclass(frozen=True, slots=True)
class WorkerWatch:
    """A worker's status stream; each document becomes part of the next snapshot."""

    pod_uid: str
    pod: str
    namespace: str
    url: str
    """http://IP:PORT/stream"""
    token: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A worker whose sinks are complete may publish: it is the flow's current attempt, and the flow has not ended."""

    worker: WorkerWatch
    attempt: int
