# SPDX-License-Identifier: Apache-2.0
"""Tests on a real Kubernetes, run only where asked for.

``ACCELCHAIN_REALKUBE=1`` starts a cluster, ``ACCELCHAIN_REALKUBE_ROOT=<its folder>`` uses a running one.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from realkube.cluster import Cluster
from realkube.fixtures import cluster, is_wanted, say

__all__ = ["cluster", "namespace", "say"]

collect_ignore_glob = [] if is_wanted() else ["*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count a test's own time only: the cluster's start has deadlines of its own, and may build Kubernetes first."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that takes restricted pods only, and is deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
