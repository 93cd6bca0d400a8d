# SPDX-License-Identifier: Apache-2.0
"""What an uninstalled release leaves in its cluster, and its removal: never an object of a user."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import (
    COMPUTE_RESOURCE,
    CONNECTION_TYPE,
    FUNCTION_TYPE,
    LEASE,
    SCHEDULING_STRATEGY,
)


@dataclass(frozen=True, slots=True)
class Leftover:
    """Objects of one kind that a release leaves."""

    type: ResourceType
    selector: str
    """Label selector: what users made does not carry these labels."""
    namespace: str | None = None
    """None: a kind of the cluster."""


def leftovers(release: str, namespace: str) -> tuple[Leftover, ...]:
    """Return what is left of a release of the chart in a namespace."""
    of_the_chart = f"app.kubernetes.io/name=accelchain,app.kubernetes.io/instance={release}"
    return (
        *(Leftover(type, of_the_chart) for type in (FUNCTION_TYPE, CONNECTION_TYPE, SCHEDULING_STRATEGY)),
        Leftover(COMPUTE_RESOURCE, "app.kubernetes.io/managed-by=accelchain-node"),
        Leftover(
            LEASE, "app.kubernetes.io/name=accelchain,app.kubernetes.io/component in (node,leader-election)", namespace
        ),
    )


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of one object."""

    what: str
    """``computeresource/n1``."""
    held_by: tuple[str, ...] = ()
    """Finalizers, none of ours, that keep it although it is deleted."""


async def remove(client: KubeClient, release: str, namespace: str) -> AsyncGenerator[Removal, None]:
    """Delete what a release left, and yield each object. Waits for nothing: a finalizer of others is told, not sat out.

    Args:
        client: the API.
        release: the release's name.
        namespace: where operators and agents were.

    Raises:
        ApiError: the API refuses it, or does not answer.
    """
    for leftover in leftovers(release, namespace):
        deleted = await _found(client, leftover)
        for obj in deleted:
            meta = obj["metadata"]
            try:
                await client.delete(leftover.type, meta["name"], leftover.namespace, uid=meta["uid"])
            except ApiError as error:
                if error.code not in (404, 409):  # gone meanwhile; 409: another one has its name, made after we looked
                    raise
        still = {obj["metadata"]["uid"]: obj for obj in await _found(client, leftover)} if deleted else {}
        for obj in deleted:
            held = still.get(obj["metadata"]["uid"], {}).get("metadata", {})
            what = f"{leftover.type.kind.lower()}/{obj['metadata']['name']}"
            yield Removal(what, tuple(held.get("finalizers") or ()))


async def _found(client: KubeClient, leftover: Leftover) -> list[JsonObject]:
    try:
        objects, _ = await client.list(leftover.type, leftover.namespace, label_selector=leftover.selector)
    except ApiError as error:
        if error.code != 404:
            raise
        return []  # the CRD was removed, and all its objects with it
    return objects
