# SPDX-License-Identifier: Apache-2.0
"""What happens to flows, a scene each; all are played at the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.reconcile.names import worker_name
from story.argo import step_whose_node_is_elsewhere, steps_of_a_workflow
from story.cluster import NODE, RESULT, STAGE_NODE, TEAM, Cluster, ours

JOB = ResourceType("batch/v1", "Job", "jobs")
Scene = Callable[[Cluster], Coroutine[Any, Any, None]]


def film_from(video: Path, film: Path) -> Scene:
    """A flow with a real worker: planned, run, granted to publish, and done."""

    async def scene(cluster: Cluster) -> None:
        rules = [{"nodes": [NODE]}, {"function": "copy", "implementations": ["host"]}]
        await cluster.submit(
            "real",
            inputs={"video": {"uri": video.as_uri()}},
            outputs={"film": {"uri": film.as_uri()}},
            placement={"rules": rules},
        )
        await cluster.condition("real", "Succeeded")
        assert film.stat().st_size
        (owner,) = (await cluster.pod("real"))["metadata"]["ownerReferences"]
        # Where OwnerReferencesPermissionEnforcement is on, this needs the right to update dataflows/finalizers.
        assert owner["blockOwnerDeletion"] and owner["kind"] == "DataFlow"

    return scene


async def refused(cluster: Cluster) -> None:
    await cluster.submit("refused", chainRef={"name": "none"})
    await cluster.condition("refused", "Accepted", "False", "UnknownChain")


async def killed_tried_again_and_removed(cluster: Cluster) -> None:
    volume = {"name": "films", "mountPath": "/films", "persistentVolumeClaim": {"claimName": "films"}}
    await cluster.submit("killed", retries={"limit": 1}, ttlSecondsAfterFinished=0, volumes=[volume])
    await cluster.ends(await cluster.pod("killed"), 137)
    await cluster.ends(await cluster.pod("killed", attempt=2), 0, RESULT)
    await cluster.gone(kinds.DATA_FLOW, "killed")


async def suspended_resumed_and_cancelled(cluster: Cluster) -> None:
    await cluster.submit("suspended")
    first = await cluster.pod("suspended")
    await cluster.change("suspended", suspend=True)
    await cluster.condition("suspended", "Running", "False", "Suspended")
    await cluster.gone(kinds.POD, first["metadata"]["name"])
    await cluster.gone(kinds.WB_FUNCTION, "suspended.copy")
    await cluster.gone(kinds.CONFIG_MAP, first["metadata"]["name"])
    await cluster.gone(kinds.SECRET, first["metadata"]["name"])
    await cluster.change("suspended", suspend=False)
    await cluster.pod("suspended", attempt=2)
    await cluster.change("suspended", cancel=True)
    await cluster.condition("suspended", "Failed", "True", "Cancelled")


async def changed(cluster: Cluster) -> None:
    await cluster.submit("changed")
    await cluster.pod("changed")
    await cluster.change("changed", functionParameters=[{"function": "encode", "parameters": {"quality": 30}}])
    await cluster.pod("changed", attempt=2)


async def tried_dry(cluster: Cluster) -> None:
    await cluster.submit("dry", dryRun=True)
    await cluster.condition("dry", "Running", "False", "DryRun")


async def paused(cluster: Cluster) -> None:
    await cluster.submit("paused", meta={"annotations": {"accelchain.io/paused": "true"}})
    await cluster.submit("after-paused", dryRun=True)
    await cluster.condition("after-paused", "Running", "False", "DryRun")
    assert "status" not in await cluster.client.get(kinds.DATA_FLOW, "paused", TEAM)
    await cluster.client.patch(kinds.DATA_FLOW, "paused", TEAM, {"metadata": {"annotations": None}})
    await cluster.pod("paused")


async def opened_by_a_secret(cluster: Cluster) -> None:
    camera = {"uri": "https://camera.example.org/in.mp4", "credentialsRef": {"name": "camera"}}
    await cluster.submit("secret", inputs={"video": camera})
    await cluster.condition("secret", "Running", "False", "SecretNotFound")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "camera", "namespace": TEAM}}
    await cluster.client.create(kinds.SECRET, secret)
    await cluster.pod("secret")


def owned_by(type: ResourceType, spec: JsonObject, end: JsonObject) -> Scene:
    """A flow that is watched over by its owner's end."""

    async def scene(cluster: Cluster) -> None:
        name = f"of-{type.kind.lower()}"
        meta = {"name": name, "namespace": TEAM}
        owner = await cluster.client.create(
            type, {"apiVersion": type.api_version, "kind": type.kind, "metadata": meta, "spec": spec}
        )
        reference = {"apiVersion": type.api_version, "kind": type.kind, "name": name, "uid": owner["metadata"]["uid"]}
        await cluster.submit(name, meta={"ownerReferences": [reference]})
        await cluster.pod(name)
        subresource = "" if type == kinds.WORKFLOW else "status"
        await cluster.client.patch(type, name, TEAM, {"status": end}, subresource=subresource)
        await cluster.condition(name, "Failed", "True", "OwnerEnded")

    return scene


async def orphaned(cluster: Cluster) -> None:
    """Children lose their owner and get it back; a Secret is made again, with the Pod that needs it."""
    uid = await cluster.submit("orphaned")
    name = (await cluster.pod("orphaned"))["metadata"]["name"]
    lost = {"metadata": {"ownerReferences": None}}
    children = ((kinds.POD, name), (kinds.CONFIG_MAP, name), (kinds.WB_FUNCTION, "orphaned.copy"), (kinds.SECRET, name))
    for type, child in children:
        await cluster.client.patch(type, child, TEAM, lost)

    async def is_owned(type: ResourceType, child: str) -> bool:
        found = await cluster.maybe(type, child)
        return found is not None and uid in [o["uid"] for o in found["metadata"].get("ownerReferences") or ()]

    for type, child in children[:-1]:
        await cluster.until(partial(is_owned, type, child), f"owner of {type.kind} {child}")
    await cluster.client.delete(kinds.POD, name, TEAM, grace_seconds=0)
    await cluster.until(partial(is_owned, kinds.SECRET, name), f"owner of Secret {name}")


async def with_names_that_are_taken(cluster: Cluster) -> None:
    for type, spec in (
        (kinds.CONFIG_MAP, {}),
        (kinds.POD, {"spec": {"containers": [{"name": "main", "image": "x"}], "nodeSelector": {"nobody": "there"}}}),
    ):
        flow = f"taken-{type.kind.lower()}"
        name = worker_name(ours("DataFlow", flow, {}), STAGE_NODE)
        meta = {"name": name, "namespace": TEAM}
        await cluster.client.create(type, {"apiVersion": "v1", "kind": type.kind, "metadata": meta, **spec})
        await cluster.submit(flow)
        await cluster.condition(flow, "Running", "False", "NameTaken")
        await cluster.client.delete(type, name, TEAM, grace_seconds=0)
        await cluster.pod(flow)


SCENES: tuple[Scene, ...] = (
    refused,
    killed_tried_again_and_removed,
    suspended_resumed_and_cancelled,
    changed,
    tried_dry,
    paused,
    opened_by_a_secret,
    owned_by(kinds.POD, {"containers": [{"name": "main", "image": "x"}]}, {"phase": "Succeeded"}),
    owned_by(JOB, {"template": {}}, {"conditions": [{"type": "Failed", "status": "True"}]}),
    owned_by(kinds.WORKFLOW, {}, {"phase": "Error"}),
    orphaned,
    with_names_that_are_taken,
    steps_of_a_workflow,
    step_whose_node_is_elsewhere,
)
