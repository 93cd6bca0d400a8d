# SPDX-License-Identifier: Apache-2.0
"""All that the reconciler of a DataFlow may know, gathered by the shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.worker_options import LaptopOptions, WorkerOptions

Objects = tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class FlowSnapshot:
    """One moment of one flow."""

    flow: JsonObject
    now: float
    """Seconds since 1970."""
    chains: Objects = ()
    """FunctionChains of the flow's namespace."""
    types: Objects = ()
    connection_types: Objects = ()
    strategies: Objects = ()
    resources: Objects = ()
    """ComputeResources: the inventory."""
    pods: Objects = ()
    """Pods that the flow controls, or that lost their owner reference; so with the next three."""
    config_maps: Objects = ()
    functions: Objects = ()
    connections: Objects = ()
    documents: Mapping[str, JsonObject] = field(default_factory=dict)
    """The latest document of each worker, by the uid of its pod."""
    phase_since: Mapping[str, float] = field(default_factory=dict)
    """When the phase of each of these documents was first heard of (seconds since 1970)."""
    granted_at: Mapping[str, float] = field(default_factory=dict)
    """When each worker was told last that it may publish (seconds since 1970), by the uid of its pod."""
    token: str = ""
    """What the worker's Secret holds, or a fresh random token where there is no Secret yet."""
    worker: WorkerOptions = field(default_factory=LaptopOptions)
    """How worker Pods are made."""
    progress_due: bool = True
    """Whether figures may be written to the status again (at most once in PROGRESS_PERIOD)."""
    departed: Objects = ()
    """Pods of the flow that were deleted a moment ago, as they were last."""
    stale_nodes: frozenset[str] = frozenset()
    """Nodes that are not ready, or whose agent has not been heard of for long."""
    owner_ended: str = ""
    """How the workflow, Job or Pod that owns the flow ended; empty: it has not, or there is none."""
    owner_problem: str = ""
    """Why the owner can't be watched, until that was told."""
    heartbeat_since: float | None = None
    """Since when the flow's heartbeat is the same, by the operators' clock (seconds since 1970); None: it has none."""
    missing_secrets: frozenset[str] = frozenset()
    """Secrets that the flow names and that do not exist, and ``secret/key`` where one lacks a key."""
    conflict: str = ""
    """Why the last attempt to create something of this flow found the name taken."""
