# SPDX-License-Identifier: Apache-2.0
"""Flows that run and have no news: nothing is written but their progress, once in ten seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.running import PROGRESS_PERIOD

FLOWS = 20
SECONDS = 300


async def test_twenty_flows_that_run_for_five_minutes_write_their_progress_and_nothing_else(
    started: Callable[..., Any], document: Callable[..., JsonObject]
) -> None:
    one = await started(mode="Stream")
    for number in range(1, FLOWS):  # the scheduler sees them all; this test follows one
        other = copy.deepcopy(one.flow)
        other["metadata"] |= {"name": f"flow-{number}", "uid": f"uid-{number}"}
        one.kube.put(kinds.DATA_FLOW, other, "ADDED")
    one.kube.writes.clear()
    reported = one.now
    for second in range(1, SECONDS + 1):
        one.now += 1
        edges = [{**edge, "microseconds": 4.2 + second} for edge in document("Running")["edges"]]
        one.worker_says(document("Running", frames=second, edges=edges))
        one.progress_due = one.now - reported >= PROGRESS_PERIOD
        before, writes = one.status, len(one.kube.writes)
        await one.step()
        if one.progress_due:
            reported = one.now
            assert one.status["progress"]["frames"] == second
        changed = {field for field in one.status if one.status[field] != before.get(field)}
        assert changed == ({"progress", "edges"} if one.progress_due else set())
        assert len(one.kube.writes) - writes == one.progress_due
    assert set(one.kube.writes) == {("apply_status", "DataFlow", "flow")}
    assert len(one.kube.writes) == SECONDS / PROGRESS_PERIOD
