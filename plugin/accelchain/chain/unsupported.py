# SPDX-License-Identifier: Apache-2.0
"""What the resources can say and this version does not act on. It is refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Sequence

from accelchain.api.connection_type import ConnectionType
from accelchain.api.data_flow import DataFlowSpec
from accelchain.api.function_chain import ChainConnection
from accelchain.api.scheduling_strategy import SchedulingStrategy
from accelchain.chain.problems import Problems

REASON = "NotSupported"


def check_flow(spec: DataFlowSpec, problems: Problems) -> None:
    """Refuse what a DataFlow may hold for later versions."""
    if spec.rate is not None and spec.rate.connections:
        problems.add(
            REASON, "spec.rate.connections", "this version counts no load of connections: declare it for functions."
        )
    for i, rule in enumerate(spec.placement.rules if spec.placement is not None else ()):
        for field, names in (("regions", rule.regions), ("excludeRegions", rule.exclude_regions)):
            if names:
                problems.add(
                    REASON,
                    f"spec.placement.rules[{i}].{field}",
                    "this version places functions on whole devices, not on regions: name devices.",
                )


def check_connection(connection: ChainConnection, path: str, problems: Problems) -> None:
    """Refuse what a connection may hold for later versions."""
    if connection.when is not None:
        problems.add(REASON, f"{path}.when", "this version has no conditional edges: leave it out.")


def check_connection_type(type_: ConnectionType, path: str, problems: Problems) -> None:
    """Refuse a ConnectionType that asks for more than this version can do.

    Args:
        type_: the connection type.
        path: the field that names it.
        problems: where faults go.
    """
    spec, name = type_.spec, type_.metadata.name
    asks: Sequence[tuple[bool, str]] = (
        (spec.encryption != "None", f"encryption: {spec.encryption}"),
        (spec.policy != "Block", f"policy: {spec.policy}"),
        (spec.conversion is not None, f"conversion: {spec.conversion}"),
    )
    for asked, what in asks:
        if asked:
            problems.add(
                REASON, path, f"ConnectionType '{name}' has {what}, which this version can't do: choose another."
            )


def check_strategy(strategy: SchedulingStrategy, path: str, problems: Problems) -> None:
    """Refuse a SchedulingStrategy with parameters for filters that do not exist."""
    if strategy.spec.parameters:
        problems.add(
            REASON,
            path,
            f"SchedulingStrategy '{strategy.metadata.name}' has parameters, which no filter of this version takes: "
            "remove them.",
        )
