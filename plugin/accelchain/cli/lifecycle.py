# SPDX-License-Identifier: Apache-2.0
"""``delete``, ``suspend``, ``resume`` and ``cancel``: what one does with a DataFlow that is there."""

from __future__ import annotations

import click

from accelchain.cli.api_errors import OLD_DEFINITIONS, dropped_fields
from accelchain.cli.connect import Target, cluster_command
from accelchain.cli.errors import Refused
from accelchain.cli.removal import delete_flow
from accelchain.cli.terminal import out
from accelchain_operators.kube.kinds import DATA_FLOW

_OVER = ("Succeeded", "Failed")


@click.command()
@click.argument("name")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when everything of it is gone.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait.")
@cluster_command
async def delete(name: str, wait: bool, timeout: float, target: Target) -> None:
    """Delete a DataFlow and everything that was made for it."""
    async with target.connected() as client:
        flow = await client.get(DATA_FLOW, name, target.namespace)
        await delete_flow(client, flow["metadata"]["uid"], name, target.namespace, wait=wait, timeout=timeout)
    out(f"dataflow/{name} deleted")


@click.command()
@click.argument("name")
@cluster_command
async def suspend(name: str, target: Target) -> None:
    """Stop a DataFlow's workers and give its devices back, until it is resumed."""
    await _change(target, name, "suspend", True)
    out(f"dataflow/{name} suspended")


@click.command()
@click.argument("name")
@cluster_command
async def resume(name: str, target: Target) -> None:
    """Let a suspended DataFlow go on."""
    await _change(target, name, "suspend", False)
    out(f"dataflow/{name} resumed")


@click.command()
@click.argument("name")
@cluster_command
async def cancel(name: str, target: Target) -> None:
    """End a DataFlow as Failed, reason Cancelled, and leave it there to be looked at."""
    await _change(target, name, "cancel", True)
    out(f"dataflow/{name} cancelled")


async def _change(target: Target, name: str, field: str, value: bool) -> None:
    """Set a field of a flow's spec.

    Raises:
        Refused: the flow is over, or the cluster does not know the field.
    """
    async with target.connected() as client:
        flow = await client.get(DATA_FLOW, name, target.namespace)
        phase = (flow.get("status") or {}).get("phase", "")
        if phase in _OVER:
            raise Refused(f"DataFlow {name} is over ({phase}).")
        change = {"spec": {field: value}}
        changed = await client.patch(DATA_FLOW, name, target.namespace, change)
        if dropped_fields(change, changed):
            raise Refused(
                f"the cluster's resource definitions are older than this command and don't know spec.{field}: "
                f"{OLD_DEFINITIONS}."
            )
