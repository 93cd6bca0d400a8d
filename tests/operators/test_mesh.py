# SPDX-License-Identifier: Apache-2.0
"""Workers in a namespace of a service mesh, as a profile of Kubeflow is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accelchain.api import DataFlow
from accelchain_operators.reconcile.pod import worker_pod
from accelchain_operators.reconcile.worker_options import LaptopOptions, WorkerOptions


async def test_no_proxy_is_put_into_a_workers_pod(started: Callable[..., Any]) -> None:
    one = await started()
    flow, plan = DataFlow.model_validate(one.flow), one.plan()
    labels = worker_pod(flow, one.flow, plan, WorkerOptions(image="worker:1"))["metadata"]["labels"]
    assert labels["sidecar.istio.io/inject"] == "false"
    assert "sidecar.istio.io/inject" not in worker_pod(flow, one.flow, plan, LaptopOptions())["metadata"]["labels"]
