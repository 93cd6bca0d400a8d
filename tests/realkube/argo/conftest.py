# SPDX-License-Identifier: Apache-2.0
"""Argo's own controller in the cluster, and each way of serving our steps.

Tests of ``team`` run with the executor plugin in agent pods, with the chart's task-set operator and no agents, and with
both at a time, which releases before 4.1 can have too.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from realkube.argo_store import PLACE, Store
from realkube.argo_team import ArgoTeam
from realkube.cluster import Cluster
from realkube.errors import RefusedError
from realkube.release import Release

from realkube.argo import Argo, binaries

PLUGIN, TASKSET, BOTH = "plugin", "taskset", "both"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give workflows more time than a DataFlow alone: Argo's controller acts twice a step, each time a second late."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(300, func_only=True), append=False)


@pytest.fixture(scope="session")
def store(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 server for artifacts."""
    try:
        made = Store(cluster, tmp_path_factory.mktemp("store"))
    except RefusedError as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.fixture(scope="session")
def argo(cluster: Cluster, store: Store) -> Iterator[Argo]:
    """Argo, installed; its controller does not run yet."""
    try:
        made = Argo(cluster, binaries())
        made.install()
    except RefusedError as error:
        pytest.skip(str(error))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pods_alone(argo: Argo, cluster: Cluster, video: Path) -> Iterator[ArgoTeam]:
    """A namespace where Argo runs without us."""
    argo.start()
    team = ArgoTeam(cluster, f"argo-{uuid.uuid4().hex[:8]}", plugin=False)
    shutil.copy(video, team.folder / "grey.mp4")
    yield team
    team.end()


@pytest.fixture(scope="session")
def release(argo: Argo, own_functions: Release) -> Release:
    """The chart with the worker that has ``dawdle``, whose sources and sinks may reach the artifacts."""
    own_functions.upgrade(worker__allow=f"['{PLACE.endpoint}']")
    return own_functions


@pytest.fixture(scope="session", params=[PLUGIN, TASKSET, BOTH])
def route(request: pytest.FixtureRequest, argo: Argo, release: Release) -> str:
    """How our steps are served."""
    chosen = str(request.param)
    if chosen == TASKSET and not argo.can_do_without_agents:
        pytest.skip("this release of Argo always makes agent pods")
    release.upgrade(argo__taskset__enabled=str(chosen != PLUGIN).lower())
    argo.start(agents=chosen != TASKSET)
    return chosen


@pytest.fixture
def team(cluster: Cluster, route: str, video: Path) -> Iterator[ArgoTeam]:
    """A namespace of workflows, whose volume has ``grey.mp4``; nothing of theirs is left when they are deleted."""
    made = ArgoTeam(cluster, f"{route}-{uuid.uuid4().hex[:8]}", plugin=route != TASKSET)
    shutil.copy(video, made.folder / "grey.mp4")
    yield made
    made.kubectl("delete", "workflows", "--all", "--timeout=60s", timeout=70)
    try:
        made.until_nothing_is_left(60)
    finally:
        made.end()
