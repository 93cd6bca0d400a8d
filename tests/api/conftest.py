# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from accelchain.api import KINDS
from accelchain.api.crd import crd


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind_name)
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The CustomResourceDefinition of every kind in turn."""
    return crd(request.param)


@pytest.fixture
def schema(definition: dict[str, Any]) -> dict[str, Any]:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
