# SPDX-License-Identifier: Apache-2.0
"""Flows of all kinds while everything goes wrong: each ends as its history allows, and nothing is left of any.

``ACCELCHAIN_FAULT_SEED`` runs another seed, ``ACCELCHAIN_FAULT_FLOWS`` more flows; ``run.py`` runs as many as wanted.
"""

from __future__ import annotations

import os

import pytest
from faultkit.trial import Trial

SEEDS = [int(seed) for seed in os.environ.get("ACCELCHAIN_FAULT_SEED", "1 2 3").split()]
FLOWS = int(os.environ.get("ACCELCHAIN_FAULT_FLOWS", "20"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_flow_ends_as_its_history_allows(seed: int) -> None:
    report = await Trial(seed, FLOWS, FLOWS / 15).run()
    assert report.problems == [], report.line()
    assert sum(report.phases.values()) == FLOWS
