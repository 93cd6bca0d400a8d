# SPDX-License-Identifier: Apache-2.0
"""Metrics have controller-runtime's names, few labels, and cost nothing where nobody looks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.controller import Controller
from accelchain_operators.kube.figures import Placements, devices_by_type, flows_by_phase, free_devices_by_type
from accelchain_operators.kube.metrics import Metrics
from accelchain_operators.kube.store import Store

MakeFlow = Callable[..., JsonObject]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(metrics: Metrics, series: str, /, **labels: str) -> float:
    return samples(metrics)[series, tuple(sorted(labels.items()))]


@pytest.mark.looptime
async def test_a_controllers_work_is_counted_and_timed() -> None:
    metrics = Metrics()
    seen: list[str] = []

    async def work(key: str) -> float | None:
        await asyncio.sleep(0.3)
        seen.append(key)
        if key == "bad" and seen.count("bad") == 1:
            raise ApiError(409, "Conflict", "again")
        return 1000.0 if key == "later" else None

    controller: Controller[str] = Controller("dataflow", work, workers=1, meter=metrics)
    for key in ("good", "later", "bad"):
        controller.queue.add(key)
    assert value(metrics, "workqueue_depth", name="dataflow") == 3
    task = asyncio.create_task(controller.run())
    await asyncio.sleep(0.5)  # the second key is at work for 0.2 s
    assert value(metrics, "controller_runtime_active_workers", controller="dataflow") == 1
    assert value(metrics, "workqueue_longest_running_processor_seconds", name="dataflow") == pytest.approx(0.2)
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for result, count in (("success", 2), ("requeue_after", 1), ("error", 1)):
        assert value(metrics, "controller_runtime_reconcile_total", controller="dataflow", result=result) == count
    assert value(metrics, "controller_runtime_reconcile_errors_total", controller="dataflow") == 1
    assert value(metrics, "controller_runtime_max_concurrent_reconciles", controller="dataflow") == 1
    assert value(metrics, "controller_runtime_active_workers", controller="dataflow") == 0
    count = value(metrics, "controller_runtime_reconcile_time_seconds_bucket", controller="dataflow", le="0.35")
    assert count - value(
        metrics, "controller_runtime_reconcile_time_seconds_bucket", controller="dataflow", le="0.25"
    ) == pytest.approx(4)
    assert value(metrics, "workqueue_adds_total", name="dataflow") == 4
    assert value(metrics, "workqueue_retries_total", name="dataflow") == 1
    assert value(metrics, "workqueue_depth", name="dataflow") == 0
    assert value(metrics, "workqueue_queue_duration_seconds_sum", name="dataflow") == pytest.approx(0.9, abs=0.01)
    assert value(metrics, "workqueue_work_duration_seconds_sum", name="dataflow") == pytest.approx(1.2, abs=0.01)
    assert value(metrics, "workqueue_unfinished_work_seconds", name="dataflow") == 0


def put(store: Store, type: Any, obj: JsonObject, version: int) -> JsonObject:
    stored = {**obj, "metadata": {**obj["metadata"], "uid": obj["metadata"]["name"], "resourceVersion": str(version)}}
    store.put(type, stored)
    return stored


def test_flows_and_devices_are_counted_by_phase_and_type(make_flow: MakeFlow, abstracts: list[JsonObject]) -> None:
    store = Store(lambda *_: None)
    resource = next(obj for obj in abstracts if obj["kind"] == "ComputeResource")
    gpu = {"name": "gpu0", "type": "gpu", "api": "cuda", "id": "x"}
    resource["spec"]["devices"] = [*resource["spec"]["devices"], gpu]
    put(store, kinds.COMPUTE_RESOURCE, resource, 1)
    placement = [{"function": "soft", "node": "laptop", "device": "cpu0"}]
    ended = [{"type": "Succeeded", "status": "True"}]
    for name, status in (
        ("new", {}),
        ("running", {"phase": "Running", "placement": placement}),
        ("done", {"phase": "Succeeded", "placement": [{**placement[0], "device": "gpu0"}], "conditions": ended}),
    ):
        put(store, kinds.DATA_FLOW, {**make_flow(name), "status": status}, 1)
    assert dict(flows_by_phase(store)) == {"New": 1, "Running": 1, "Succeeded": 1}
    assert dict(devices_by_type(store)) == {"cpu": 1, "gpu": 1}
    assert dict(free_devices_by_type(store)) == {"cpu": 0, "gpu": 1}


def test_a_placement_is_timed_from_acceptance(make_flow: MakeFlow) -> None:
    metrics, now = Metrics(), [0.0]
    placements = Placements(metrics, lambda: now[0])
    store = Store(lambda _type, before, after: placements.changed(before, after))
    accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
    placed = {**accepted, "placement": [{"function": "f", "node": "n", "device": "d"}]}
    flow = make_flow()
    for version, (at, status) in enumerate(
        ((0.0, {}), (5.0, accepted), (8.0, accepted), (9.0, placed), (50.0, placed))
    ):
        now[0] = at
        put(store, kinds.DATA_FLOW, {**flow, "status": status}, version + 1)
    assert value(metrics, "accelchain_placement_seconds_count") == 1
    assert value(metrics, "accelchain_placement_seconds_sum") == 4.0


def test_what_is_gone_is_no_longer_timed(make_flow: MakeFlow) -> None:
    metrics = Metrics()
    placements = Placements(metrics, lambda: 0.0)
    store = Store(lambda _type, before, after: placements.changed(before, after))
    accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
    for number in range(100):
        store.remove(kinds.DATA_FLOW, put(store, kinds.DATA_FLOW, {**make_flow(f"f{number}"), "status": accepted}, 1))
    assert placements.waiting == 0


def test_no_library_for_metrics_is_loaded_where_none_are_served() -> None:
    script = "import sys, accelchain_operators.main; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
