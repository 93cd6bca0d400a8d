# SPDX-License-Identifier: Apache-2.0
"""When the Workflow is read again: nothing else tells that a node shows its stage."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain_operators.reconcile import taskset


async def test_a_stage_is_taken_out_though_the_flow_s_figures_never_rest(
    argo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of a flow is a look at its TaskSet: it must not put the look at the Workflow off."""
    monkeypatch.setattr(taskset, "LATE", (0.5, 0.5))
    await argo.submit("detect")
    await argo.set_flow("detect", "Running")
    await argo.until_told("detect", "Running")
    await argo.operate()
    frames = 0

    async def taken_out() -> bool:
        nonlocal frames
        frames += 1
        await argo.set_flow("detect", "Running", progress={"frames": frames})
        return await argo.told("detect") is None

    await argo.until(taken_out, "end of the stage")
