# SPDX-License-Identifier: Apache-2.0
"""What a flow's validation may count on beside its own file: this machine's functions, or what a cluster holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelchain.api import ConnectionType, FunctionChain, FunctionType, SchedulingStrategy
from accelchain.cli.installed import function_types
from accelchain_operators.kube.client import KubeClient
from accelchain_operators.kube.kinds import CONNECTION_TYPE, FUNCTION_CHAIN, FUNCTION_TYPE, SCHEDULING_STRATEGY
from accelchain_operators.reconcile.models import parse_valid


@dataclass(frozen=True, slots=True)
class Known:
    """Definitions that are there already."""

    types: Sequence[FunctionType] = ()
    chains: Sequence[FunctionChain] = ()
    connection_types: Sequence[ConnectionType] = ()
    strategies: Sequence[SchedulingStrategy] = ()


def known_here(functions: Sequence[str] = ()) -> Known:
    """Return what an empty cluster on this machine knows.

    Raises:
        Refused: a folder of ``functions`` is missing or holds a manifest that can't be read.
    """
    return Known(types=function_types(functions))


async def known_in(client: KubeClient, namespace: str) -> Known:
    """Return what a namespace of a cluster knows.

    Raises:
        ApiError: it does not answer, or the user may not list a kind of definition (403).
    """
    return Known(
        types=parse_valid(FunctionType, (await client.list(FUNCTION_TYPE))[0]),
        chains=parse_valid(FunctionChain, (await client.list(FUNCTION_CHAIN, namespace))[0]),
        connection_types=parse_valid(ConnectionType, (await client.list(CONNECTION_TYPE))[0]),
        strategies=parse_valid(SchedulingStrategy, (await client.list(SCHEDULING_STRATEGY))[0]),
    )
