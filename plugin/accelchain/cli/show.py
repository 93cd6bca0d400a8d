# SPDX-License-Identifier: Apache-2.0
"""``get`` and ``describe``: what is there, and what is known of a DataFlow."""

from __future__ import annotations

import difflib
import json
from typing import Any

import click
import yaml

from accelchain.api import API_VERSION, KINDS, Resource
from accelchain.cli.api_errors import right_of
from accelchain.cli.connect import Target, cluster_command
from accelchain.cli.describe import describe_flow
from accelchain.cli.errors import Refused
from accelchain.cli.terminal import out, tell
from accelchain.cli.watching import owned_by
from accelchain.cli.wording import columns
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import BY_KIND, DATA_FLOW, EVENT, POD
from accelchain_operators.localkube.table.cells import cell_text
from accelchain_operators.reconcile.names import FLOW_LABEL, label_value

JsonObject = dict[str, Any]


def _kind(_context: click.Context, _parameter: click.Parameter, name: str) -> type[Resource]:
    """Return the kind that an argument names, in singular, plural or short.

    Raises:
        Refused: there is none.
    """
    names = {n.lower(): k for k in KINDS for n in (k.kind_name, k.plural, *k.short_names)}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise Refused(f"{name}: no such kind; choose one of {', '.join(k.plural for k in KINDS)}.{hint}")
    return names[name.lower()]


@click.command()
@click.argument("model", metavar="[KIND]", default="dataflows", callback=_kind)
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
@click.option("-o", "--output", type=click.Choice(["table", "wide", "yaml", "json"]), default="table")
@cluster_command
async def get(model: type[Resource], name: str | None, all_namespaces: bool, output: str, target: Target) -> None:
    """Show resources: dataflows, functionchains, functiontypes, wbfunctions and so on."""
    if name and all_namespaces:
        raise Refused("-A shows every namespace; leave it out, or the name.")
    type = BY_KIND[API_VERSION, model.kind_name]
    where = None if all_namespaces or not type.namespaced else target.namespace
    async with target.connected() as client:
        objects = [await client.get(type, name, where)] if name else (await client.list(type, where))[0]
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
@cluster_command
async def describe(name: str, target: Target) -> None:
    """Say what is known of a DataFlow: conditions, attempts, placement, edges, results, events, and what to do."""
    async with target.connected() as client:
        flow = await client.get(DATA_FLOW, name, target.namespace)
        events, hidden = await _events(client, flow)
    out(describe_flow(flow, events, hidden))


async def _events(client: KubeClient, flow: JsonObject) -> tuple[list[JsonObject], str]:
    """Return the events of a flow and of its pods, oldest first; or why they are not shown."""
    uid, namespace = flow["metadata"]["uid"], flow["metadata"]["namespace"]
    selector = f"{FLOW_LABEL}={label_value(flow['metadata']['name'])}"
    try:
        pods, _ = await client.list(POD, namespace, label_selector=selector)
    except ApiError as error:
        if error.code != 403:
            raise
        pods = []  # their events stay out: a name may have been that of an earlier flow's pod
    selectors = [f"regarding.uid={owner}" for owner in (uid, *(p["metadata"]["uid"] for p in pods if owned_by(p, uid)))]
    events: list[JsonObject] = []
    for field in selectors:
        try:
            events += (await client.list(EVENT, namespace, field_selector=field))[0]
        except ApiError as error:
            if error.code != 403:
                raise
            return [], f"you may not {right_of(error)}"
    return sorted(events, key=_moment), ""


def _moment(event: JsonObject) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("eventTime") or event.get("deprecatedLastTimestamp") or "")
