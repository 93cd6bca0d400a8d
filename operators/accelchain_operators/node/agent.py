# SPDX-License-Identifier: Apache-2.0
"""The node agent: publishes what a node has as a ComputeResource.

Drivers are asked in a process that ends, so that none stays loaded here. The answer is not cached: asking takes 0.3 s
beside everything else that starts, and a cache could be wrong about a card that was taken out.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from accelchain.api import ComputeResource
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import COMPUTE_RESOURCE
from accelchain_operators.node.command import CommandError, run_command
from accelchain_operators.node.inventory import JsonObject, compute_resource

FIELD_MANAGER = "accelchain-node"
DEVICES = (sys.executable, "-P", "-m", "accelchain_runtime.devices")
DEADLINE_SECONDS = 60.0

log = logging.getLogger(__name__)


class InventoryError(Exception):
    """The devices of this machine cannot be told."""


async def publish(
    client: KubeClient,
    node_name: str,
    environment: Mapping[str, str] | None = None,
    *,
    command: Sequence[str] = DEVICES,
    deadline_seconds: float = DEADLINE_SECONDS,
    owner: JsonObject | None = None,
) -> JsonObject:
    """Look at the machine and publish what is there; nothing is written where it is published already.

    Args:
        client: the API.
        node_name: this node.
        environment: variables on top of this process's own; the workers' ones, so that both see the same devices.
        owner: an owner reference: the ComputeResource goes when its owner goes.
        command: prints the inventory as JSON.
        deadline_seconds: how long the drivers may take.

    Returns:
        The ComputeResource as published.

    Raises:
        InventoryError: the inventory could not be made.
        ApiError: the API refuses the ComputeResource.
    """
    wanted = await look(node_name, environment, command=command, deadline_seconds=deadline_seconds)
    owners = [owner] if owner else []
    if owners:
        wanted["metadata"]["ownerReferences"] = owners
    try:
        current = await client.get(COMPUTE_RESOURCE, node_name)
    except ApiError as error:
        if error.code != 404:
            raise
    else:
        # Compared as models: the server fills defaults in.
        same = ComputeResource.parse(current).spec == ComputeResource.parse(wanted).spec
        if same and (current["metadata"].get("ownerReferences") or []) == owners:
            return current
    log.info("publishing %d devices of node %s", len(wanted["spec"]["devices"]), node_name)
    return await client.apply(COMPUTE_RESOURCE, wanted, field_manager=FIELD_MANAGER)


async def look(
    node_name: str,
    environment: Mapping[str, str] | None = None,
    *,
    command: Sequence[str] = DEVICES,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> JsonObject:
    """Return the ComputeResource of this machine without publishing it.

    Raises:
        InventoryError: the program failed, took too long or printed something else.
    """
    try:
        output = await run_command(command, {**os.environ, **(environment or {})}, deadline_seconds)
    except CommandError as error:
        raise InventoryError(f"the devices of this machine cannot be listed: {error}") from error
    try:
        return compute_resource(json.loads(output), node_name)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InventoryError(f"the inventory of this machine is not usable: {error}") from error
