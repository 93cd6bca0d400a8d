# SPDX-License-Identifier: Apache-2.0
"""pytest's fixtures: import them in a conftest.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from realkube.cluster import Cluster
from realkube.errors import RefusedError
from realkube.machine import Say

ROOT = "ACCELCHAIN_REALKUBE_ROOT"


def is_wanted() -> bool:
    """Return whether tests on a real cluster are asked for: by ACCELCHAIN_REALKUBE=1, or with a running one."""
    return os.environ.get("ACCELCHAIN_REALKUBE") == "1" or ROOT in os.environ


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Tell the user about slow steps at once, whatever pytest captures."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"realkube: {text}")

    return tell


@pytest.fixture(scope="session")
def cluster(say: Say) -> Iterator[Cluster]:
    """The session's cluster: the running one that the environment names, else a new one; a skip where refused."""
    if ROOT in os.environ:
        yield Cluster.attach(Path(os.environ[ROOT]))
        return
    try:
        running = Cluster.start(say=say)
    except RefusedError as error:
        pytest.skip(str(error))
    with running:
        yield running
