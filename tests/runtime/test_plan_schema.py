# SPDX-License-Identifier: Apache-2.0
"""The plan is what operators and runtime share: its schema must be the one that is committed."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from accelchain_runtime.engine.plan import SCHEMA_FILE, Plan, json_schema


def test_committed_schema_is_generated_from_the_models() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run: make manifests"


def test_a_plan_survives_its_own_json() -> None:
    text = json.dumps(
        {
            "apiVersion": "plan.accelchain.io/v1",
            "flow": {"name": "f"},
            "devices": [{"name": "host", "api": "host"}],
            "functions": [{"name": "a", "type": "copy", "implementation": "host", "device": "host"}],
        }
    )
    plan = Plan.load(text)
    assert Plan.load(plan.dump()) == plan


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Plan.load('{"flow": {"name": "f"}, "devices": [], "functions": [], "colour": "red"}')
