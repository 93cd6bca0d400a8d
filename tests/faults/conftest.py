# SPDX-License-Identifier: Apache-2.0
"""Simulated clusters for tests of faults; all of it is in the package ``faultkit`` beside this file."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from faultkit.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[World]:
    """A cluster of four nodes, for all tests of a module: operators take a while to start."""
    async with World(random.Random(0), nodes=4) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def world(cluster: World) -> AsyncIterator[World]:
    """The cluster without any flow, in which nothing goes wrong by itself; nothing may be left after the test."""
    cluster.forget()
    yield cluster
    cluster.api.kube.faults.clear()
    for name, node in cluster.kubelets.nodes.items():
        if node.frozen_at is not None:
            cluster.kubelets.thaw(name)
    found = cluster.problems()
    await cluster.delete_everything(20.0)
    assert found == []
