# SPDX-License-Identifier: Apache-2.0
"""The Leases of one process: a controller works while its Lease is ours, and no write is made after one was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from accelchain_operators.kube.client import KubeClient
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.lease import Elector, new_identity
from accelchain_operators.kube.meter import Meter
from accelchain_operators.kube.separation import lease_name


class Leadership:
    """One Lease a controller.

    Args:
        client: The API, for Leases only.
        namespace: Where the Leases are.
        controllers: Which controllers this process runs.
        options: Times.
        meter: Told which Leases are ours.
    """

    def __init__(
        self, client: KubeClient, namespace: str, controllers: Iterable[str], options: LeaseOptions, meter: Meter
    ) -> None:
        identity = new_identity()
        self._electors: Mapping[str, Elector] = {
            name: Elector(client, namespace, lease_name(name), identity, options, meter=meter) for name in controllers
        }
        self._leading: list[Elector] = []

    def check(self) -> None:
        """Return if this process may write.

        Raises:
            LeaseLostError: a Lease that it had is no longer certain to be its own.
        """
        for elector in self._leading:
            elector.check()

    async def work(self, controller: str, work: Callable[[str], Awaitable[None]]) -> None:
        """Do a controller's work for as long as its Lease is ours, until cancelled.

        Raises:
            LeaseLostError: the Lease was lost: the process has to end.
            ApiError: the API refuses us the Lease.
        """
        elector = self._electors[controller]
        await elector.acquire()
        self._leading.append(elector)
        async with asyncio.TaskGroup() as group:
            group.create_task(elector.hold(), name=f"Lease {elector.name}")
            group.create_task(_run(work, controller), name=controller)

    async def release(self) -> None:
        """Give all Leases back. Cancel ``work`` before."""
        await asyncio.gather(*(elector.release() for elector in self._electors.values()))


async def _run(work: Callable[[str], Awaitable[None]], controller: str) -> None:
    await work(controller)
