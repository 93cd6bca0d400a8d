# SPDX-License-Identifier: Apache-2.0
"""The project's own definitions are served, explained and selectable."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accelchain_operators.localkube.server import LocalKube

FOLDER = Path(__file__).parents[2] / "manifests" / "crds"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_definition_is_served(file):
    kube = LocalKube()
    crd = kube.put(yaml.safe_load(file.read_text()))
    spec = crd["spec"]
    endpoint = kube._cluster.registry.find(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"])
    assert endpoint is not None and endpoint.kind == spec["names"]["kind"]


def test_there_are_definitions():
    assert len(FILES) >= 8
