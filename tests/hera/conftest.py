# SPDX-License-Identifier: Apache-2.0
"""Chains that several tests look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hera.workflows import Artifact, Workflow

from accelchain.hera import Chain
from accelchain.hera.functions import decode_video, encode_video, filter_resize


def shrink_chain(name: str = "shrink", **fields: Any) -> Chain:
    """Decode, scale, encode; artifacts in and out; a parameter."""
    with Chain(name, **fields) as chain:
        width = chain.parameter("width", default=320)
        small = filter_resize(decode_video(chain.input("video")), width=width, height=200)
        encode_video(small, uri=chain.output("small"))
    return chain


@pytest.fixture
def shrink() -> Callable[..., Chain]:
    """Makes a linear chain."""
    return shrink_chain


@pytest.fixture
def video() -> Artifact:
    """An artifact for the chain's input."""
    return Artifact(name="video", from_="{{workflow.outputs.artifacts.video}}")


@pytest.fixture
def body() -> Callable[[Workflow, str], dict[str, Any]]:
    """Finds what a template of a Workflow says to the plugin."""

    def find(workflow: Workflow, name: str) -> dict[str, Any]:
        template = next(t for t in workflow.to_dict()["spec"]["templates"] if t["name"] == name)
        found: dict[str, Any] = template["plugin"]["accelchain"]
        return found

    return find
