# SPDX-License-Identifier: Apache-2.0
"""``get``, ``describe``, ``logs`` and ``delete``: what one does with resources that are there."""

from __future__ import annotations

import asyncio
import difflib
import json
from contextlib import aclosing

import click
import yaml

from accelchain.api import API_VERSION, KINDS, Resource
from accelchain.cli.connect import cluster_options, connected, run_async
from accelchain.cli.describe import describe_flow
from accelchain.cli.errors import Refused, RunFailed
from accelchain.cli.follow import list_and_watch, owned_by
from accelchain.cli.terminal import out, tell
from accelchain.cli.wording import columns
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.kube.kinds import BY_KIND, DATA_FLOW, EVENT, POD
from accelchain_operators.localkube.table.cells import cell_text

_PAUSE = 0.1
"""Seconds between two looks at what is being deleted."""


def _kind(name: str) -> type[Resource]:
    names = {n.lower(): k for k in KINDS for n in (k.kind_name, k.plural, *k.short_names)}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise Refused(f"{name}: no such kind; choose one of {', '.join(k.plural for k in KINDS)}.{hint}")
    return names[name.lower()]


@click.command()
@click.argument("kind", default="dataflows")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
@click.option("-o", "--output", type=click.Choice(["table", "wide", "yaml", "json"]), default="table")
@cluster_options
@run_async
async def get(
    kind: str,
    name: str | None,
    all_namespaces: bool,
    output: str,
    namespace: str,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Show resources: dataflows, functionchains, functiontypes, wbfunctions and so on."""
    model = _kind(kind)
    type = BY_KIND[API_VERSION, model.kind_name]
    async with connected(kubeconfig, context) as client:
        where = None if all_namespaces or not type.namespaced else namespace
        if name:
            objects = [await client.get(type, name, namespace if type.namespaced else None)]
        else:
            objects, _ = await client.list(type, where)
    if output in ("yaml", "json"):
        document = objects[0] if name else {"apiVersion": "v1", "kind": "List", "items": objects}
        out(json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document, sort_keys=False).rstrip())
        return
    if not objects:
        tell(f"no {model.plural} in namespace {where}" if where else f"no {model.plural}")
        return
    shown = [c for c in model.columns if output == "wide" or c.priority == 0]
    rows = [["NAMESPACE"] * all_namespaces + ["NAME", *(c.name.upper() for c in shown)]]
    for obj in objects:
        meta = obj["metadata"]
        cells = [cell_text(obj, c.json_path, c.type) for c in shown]
        rows.append([meta.get("namespace", "")] * all_namespaces + [meta["name"], *cells])
    out("\n".join(columns(rows)))


@click.command()
@click.argument("name")
@cluster_options
@run_async
async def describe(name: str, namespace: str, context: str | None, kubeconfig: str | None) -> None:
    """Say what is known of a DataFlow: conditions, placement, edges, results, events."""
    async with connected(kubeconfig, context) as client:
        flow = await client.get(DATA_FLOW, name, namespace)
        events, _ = await client.list(EVENT, namespace)
    uid = flow["metadata"]["uid"]
    out(describe_flow(flow, [e for e in events if e.get("regarding", {}).get("uid") == uid]))


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on while the worker runs.")
@click.option("--tail", type=int, help="Only this many last lines.")
@cluster_options
@run_async
async def logs(
    name: str, follow: bool, tail: int | None, namespace: str, context: str | None, kubeconfig: str | None
) -> None:
    """Print the log of a DataFlow's worker; with -f wait for it to begin, and go on to its end."""
    async with connected(kubeconfig, context) as client:
        pods = await (_begun(client, name, namespace) if follow else _pods(client, name, namespace))
        if not pods:
            raise RunFailed(f"DataFlow {name} has no worker; see accelchain describe {name}.")
        for pod in pods:
            async for line in client.logs(pod, namespace, follow=follow, tail_lines=tail):
                if not out(line):
                    return


async def _pods(client: KubeClient, name: str, namespace: str) -> list[str]:
    flow = await client.get(DATA_FLOW, name, namespace)
    pods, _ = await client.list(POD, namespace)
    return [p["metadata"]["name"] for p in pods if owned_by(p, flow["metadata"]["uid"])]


async def _begun(client: KubeClient, name: str, namespace: str) -> list[str]:
    """Wait until the flow's worker has begun; none where the flow ended without one.

    Raises:
        Refused: the flow is deleted meanwhile.
    """
    async with aclosing(list_and_watch(client, DATA_FLOW, namespace)) as events:
        flow = await client.get(DATA_FLOW, name, namespace)
        async for event in events:
            if event.object["metadata"]["uid"] != flow["metadata"]["uid"]:
                continue
            if event.type == "DELETED":
                raise Refused(f"DataFlow {name} was deleted.")
            if (event.object.get("status") or {}).get("phase") not in (None, "", "Pending"):
                return await _pods(client, name, namespace)
    return []


@click.command()
@click.argument("name")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when everything of it is gone.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait.")
@cluster_options
@run_async
async def delete(
    name: str, wait: bool, timeout: float, namespace: str, context: str | None, kubeconfig: str | None
) -> None:
    """Delete a DataFlow and everything that was made for it."""
    async with connected(kubeconfig, context) as client:
        flow = await client.get(DATA_FLOW, name, namespace)
        await delete_flow(client, flow["metadata"]["uid"], name, namespace, wait=wait, timeout=timeout)
    out(f"dataflow/{name} deleted")


async def delete_flow(
    client: KubeClient, uid: str, name: str, namespace: str, *, wait: bool = True, timeout: float = 60.0
) -> None:
    """Delete a DataFlow; with ``wait`` return when its worker pods are gone too.

    Raises:
        RunFailed: they were not gone after ``timeout`` seconds.
    """
    try:
        await client.delete(DATA_FLOW, name, namespace, uid=uid, propagation="Background")
    except ApiError as error:
        if error.code not in (404, 409):  # gone already, or another one of that name by now
            raise
    if not wait:
        return
    try:
        async with asyncio.timeout(timeout):
            for type in (DATA_FLOW, POD):
                await _until_gone(client, type, uid, namespace)
    except TimeoutError:
        raise RunFailed(f"DataFlow {name}: not everything was gone after {timeout:.0f} s.") from None


async def _until_gone(client: KubeClient, type: ResourceType, uid: str, namespace: str) -> None:
    """Return when no object of that type is the flow, or owned by it."""
    while True:
        objects, _ = await client.list(type, namespace)
        if not any(o["metadata"]["uid"] == uid or owned_by(o, uid) for o in objects):
            return
        await asyncio.sleep(_PAUSE)
