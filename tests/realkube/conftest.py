# SPDX-License-Identifier: Apache-2.0
"""Tests on a real Kubernetes, run only where asked for.

``ACCELCHAIN_REALKUBE=1`` starts a cluster, ``ACCELCHAIN_REALKUBE_ROOT=<its folder>`` uses a running one.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from realkube.cluster import Cluster
from realkube.errors import RefusedError
from realkube.figures import Figures
from realkube.fixtures import cluster, is_wanted, say
from realkube.layers import derive
from realkube.machine import Say
from realkube.release import CONTROLLERS, REPOSITORY, Release, archives, helm_python
from realkube.team import VOLUME, Flow, Team

__all__ = ["cluster", "namespace", "say"]

collect_ignore_glob = [] if is_wanted() else ["*"]
FUNCTIONS = Path(__file__).parent / "functions"
OWN_WORKER = "localhost/own-worker:1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smoke: the part of the tests on a real cluster that runs everywhere")
    config.addinivalue_line(
        "markers", "finale(place=9): runs after all others: it judges them, or takes away what they need"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count a test's own time only: the cluster's start has deadlines of its own, and may build Kubernetes first."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120, func_only=True))
    items.sort(key=lambda item: next((mark.args or (9,) for mark in item.iter_markers("finale")), (0,)))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that takes restricted pods only, and is deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def figures(say: Say) -> Figures:
    """Where measured figures go: build/realkube-figures.json, a line each."""
    return Figures(REPOSITORY / "build" / "realkube-figures.json", say)


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> dict[str, Path]:
    """The images' archives, which the cluster's nodes have loaded."""
    try:
        found = archives()
    except RefusedError as error:
        pytest.skip(str(error))
    for archive in found.values():
        cluster.load(archive)
    return found


@pytest.fixture(scope="session")
def installed(cluster: Cluster, images: dict[str, Path]) -> Release:
    """The chart, installed by the Helm line of docs/install.md; where it is there already, it is upgraded."""
    try:
        release = Release(cluster, helm_python())
    except RefusedError as error:
        pytest.skip(str(error))
    if release.is_there():
        release.upgrade()
        release.restart(*CONTROLLERS)  # images may be other ones of the same name
    else:
        release.install()
    return release


@pytest.fixture(scope="session")
def own_functions(
    cluster: Cluster, installed: Release, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """The release with a worker image of the user's own, which has the function ``dawdle`` besides."""
    folder = tmp_path_factory.mktemp("image")
    files = {str(path.relative_to(FUNCTIONS.parent)): path.read_text() for path in FUNCTIONS.rglob("*.*")}
    image = derive(
        images["worker"], folder / "worker.tar", OWN_WORKER, files, {"ACCELCHAIN_FUNCTIONS": f"/{FUNCTIONS.name}"}
    )
    cluster.load(image)
    image.unlink()
    for manifest in FUNCTIONS.glob("*/functiontype.yaml"):
        cluster.kubectl("apply", "-f", manifest)
    # Twenty workers that mostly sleep are to fit on one small machine.
    installed.upgrade(image__worker=OWN_WORKER, worker__resources__requests__cpu="20m")
    return installed


@pytest.fixture
def make_team(cluster: Cluster, video: Path) -> Iterator[Callable[[], Team]]:
    """Make namespaces for users, whose volume has ``grey.mp4`` and ``people.mp4``; they are deleted after the test."""
    made: list[Team] = []

    def make() -> Team:
        made.append(Team(cluster, f"team-{uuid.uuid4().hex[:8]}"))
        shutil.copy(video, made[-1].folder / "grey.mp4")
        shutil.copy(REPOSITORY / "pipelines" / "person-detection" / "people.mp4", made[-1].folder)
        return made[-1]

    yield make
    for team in made:
        team.end()


@pytest.fixture
def team(make_team: Callable[[], Team]) -> Team:
    """One namespace of users."""
    return make_team()


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small video of 100 frames."""
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            picture = np.full((48, 64, 3), index * 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def late_flow() -> Callable[..., Flow]:
    """Make a flow of 100 frames through ``dawdle``; its film is ``<name>.mp4`` of the team's volume."""

    def make(name: str = "late", spec: Flow | None = None, film: str = "", **parameters: Any) -> Flow:
        functions = [
            {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
            {"name": "dawdle", "type": "dawdle", "parameters": parameters},
            {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.film.uri)", "quality": 10}},
        ]
        edges = [("decode.frames", "dawdle.frames"), ("dawdle.frames", "encode.frames")]
        chain = {
            "inputs": [{"name": "video"}],
            "outputs": [{"name": "film"}],
            "functions": functions,
            "connections": [{"from": one, "to": other} for one, other in edges],
        }
        addresses = {
            "inputs": {"video": {"uri": "file:///data/grey.mp4"}},
            "outputs": {"film": {"uri": f"file:///data/{film or name}.mp4"}},
        }
        return {
            "apiVersion": "accelchain.io/v1alpha1",
            "kind": "DataFlow",
            "metadata": {"name": name},
            "spec": {**addresses, "volumes": [VOLUME], "chain": chain, **(spec or {})},
        }

    return make


@pytest.fixture(scope="session")
def shades() -> Callable[[Path], list[int]]:
    """Return the shade of grey of each picture of a film."""

    def read(path: Path) -> list[int]:
        with av.open(str(path)) as container:
            return [round(float(p.to_ndarray(format="rgb24").mean())) for p in container.decode(video=0)]

    return read


@pytest.fixture(scope="session")
def is_whole(shades: Callable[[Path], list[int]]) -> Callable[[Path, str], None]:
    """Fail where a film has not 100 pictures, or has one that another Pod than the named one painted."""

    def check(path: Path, pod: str) -> None:
        found = shades(path)
        shade = hashlib.sha256(pod.encode()).digest()[0]
        assert len(found) == 100
        assert {other for other in found if abs(other - shade) > 4} == set(), (shade, found)

    return check


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What the demo must produce."""
    path = REPOSITORY / "pipelines" / "person-detection" / "expect.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found
