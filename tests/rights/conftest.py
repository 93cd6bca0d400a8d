# SPDX-License-Identifier: Apache-2.0
"""What is installed, and the record of a story in which every right is used."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "realkube"))

from realkube.rights import hook_roles
from story.play import play
from story.processes import HOME

from accelchain_operators.localkube.recorder import Recorded

MANIFESTS = Path(__file__).parents[2] / "manifests"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@pytest.fixture(scope="session")
def installed() -> list[dict[str, Any]]:
    """What install.yaml and functiontypes.yaml hold."""
    files = (MANIFESTS / name for name in ("install.yaml", "functiontypes.yaml"))
    return [obj for file in files for obj in yaml.load_all(file.read_text(), Loader=LOADER) if obj]


@pytest.fixture(scope="session")
def table() -> dict[str, Any]:
    """The chart's table of rights."""
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / "charts" / "accelchain" / "rights.yaml").read_text())
    return found


@pytest.fixture(scope="session")
def hooks(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The Roles of Helm's hooks and of operators that values turn on, which are no part of install.yaml."""
    optional = {
        name: {"cluster": [*of["cluster"], *of["namespaced"]], "own": of["own"]}
        for name, of in table["optional"].items()
    }
    return hook_roles({"hooks": table["hooks"] | optional}, HOME)


@pytest.fixture(scope="module")
def requests(
    installed: list[dict[str, Any]], hooks: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Sequence[Recorded]:
    """Every request of the story."""
    folder = tmp_path_factory.mktemp("rights")
    with av.open(str(folder / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            picture = np.full((48, 64, 3), index * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelchain_operators.reconcile.waiting.SECRET_PERIOD", 0.5)
        return asyncio.run(play([*installed, *hooks], folder / "in.mp4", folder))
