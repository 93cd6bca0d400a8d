# SPDX-License-Identifier: Apache-2.0
"""The operators apart: what each of them reads, so that a process watches no more than it needs and may.

A process runs any of them on one store. In a cluster each has a Deployment, a ServiceAccount and a Lease of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accelchain.argo.core.identity import UID_LABEL
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ResourceType

CONTROLLERS = ("chain", "dataflow", "scheduler")
"""Those that every cluster needs, and a laptop runs."""
OPTIONAL = ("taskset",)
"""Those that are run where they are asked for: ``taskset`` needs the kinds of Argo Workflows."""

_ABSTRACTS = (
    kinds.FUNCTION_CHAIN,
    kinds.FUNCTION_TYPE,
    kinds.CONNECTION_TYPE,
    kinds.SCHEDULING_STRATEGY,
    kinds.COMPUTE_RESOURCE,
)
READS: Mapping[str, tuple[ResourceType, ...]] = {
    # A chain is checked against the types; a type is compared with those of the same function.
    "chain": (kinds.FUNCTION_CHAIN, kinds.FUNCTION_TYPE),
    # A flow is checked against all that it names, and its children tell how it goes.
    "dataflow": (
        kinds.DATA_FLOW,
        *_ABSTRACTS,
        kinds.WB_FUNCTION,
        kinds.WB_CONNECTION,
        kinds.POD,
        kinds.CONFIG_MAP,
    ),
    # A placement is decided with all flows and all devices in view.
    "scheduler": (kinds.DATA_FLOW, *_ABSTRACTS),
    # The steps of Workflows, and the flows that were made for them.
    "taskset": (kinds.TASK_SET, kinds.DATA_FLOW),
}
"""By controller, the kinds that it watches. Scheduler and dataflow follow node Leases and Nodes besides, see
``heartbeats``."""
FOREIGN: Mapping[str, tuple[ResourceType, ...]] = {"taskset": (kinds.WORKFLOW, kinds.TASK_SET)}
"""By controller, the kinds of others that it can't do without."""


def watched(controllers: Iterable[str]) -> dict[ResourceType, str]:
    """Return the kinds that some controllers watch, each with its label selector.

    Raises:
        ValueError: there is no such controller, or none is named.
    """
    chosen = tuple(controllers)
    if unknown := sorted(set(chosen) - set(READS)):
        raise ValueError(f"there is no controller {', '.join(unknown)}: choose among {', '.join(READS)}")
    if not chosen:
        raise ValueError(f"no controller is named: choose among {', '.join(READS)}")
    needed = {type for name in chosen for type in READS[name]}
    selectors = kinds.WATCHED | {kinds.TASK_SET: ""}
    if set(chosen) == {"taskset"}:
        selectors |= {kinds.DATA_FLOW: UID_LABEL}
    return {type: selector for type, selector in selectors.items() if type in needed}


def lease_name(controller: str) -> str:
    """Return the name of a controller's Lease."""
    return f"accelchain-{controller}"
