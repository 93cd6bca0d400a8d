# SPDX-License-Identifier: Apache-2.0
"""Meters that Prometheus reads, under controller-runtime's names, so that existing dashboards work.

Labels have few values: controllers, phases, device types, codes; never names of users' objects.
Source of the names: https://book.kubebuilder.io/reference/metrics-reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accelchain_operators.kube.meter import Count, Meter, QueueMeter, QueueState, Result

RECONCILE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75,
    2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
)  # fmt: skip
"""Seconds; controller-runtime's."""
QUEUE_BUCKETS = tuple(10.0**power for power in range(-8, 4))
"""Seconds; client-go's."""
PLACEMENT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
RESULTS: tuple[Result, ...] = ("success", "requeue_after", "error")


class Metrics(Meter):
    """Every meter of the process, in a registry of its own."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        self._total = counter("controller_runtime_reconcile", "Reconciliations.", "controller", "result")
        self._errors = counter("controller_runtime_reconcile_errors", "Reconciliations that failed.", "controller")
        self._seconds = Histogram("controller_runtime_reconcile_time_seconds", "Time of a reconciliation.",
                                  ["controller"], buckets=RECONCILE_BUCKETS, registry=registry)  # fmt: skip
        self._working = Gauge("controller_runtime_active_workers", "Workers at work.", ["controller"],
                              registry=registry)  # fmt: skip
        self._workers = Gauge("controller_runtime_max_concurrent_reconciles", "Workers.", ["controller"],
                              registry=registry)  # fmt: skip
        self._adds = counter("workqueue_adds", "Keys added.", "name")
        self._retries = counter("workqueue_retries", "Keys that failed and are tried again.", "name")
        self._waits = Histogram("workqueue_queue_duration_seconds", "How long a key waits.", ["name"],
                                buckets=QUEUE_BUCKETS, registry=registry)  # fmt: skip
        self._works = Histogram("workqueue_work_duration_seconds", "How long a key is worked on.", ["name"],
                                buckets=QUEUE_BUCKETS, registry=registry)  # fmt: skip
        self._requests = counter("rest_client_requests", "Calls of the Kubernetes API.", "code", "method", "host")
        self._leads = Gauge("leader_election_master_status", "1: this process holds the Lease.", ["name"],
                            registry=registry)  # fmt: skip
        self._placement: Histogram | None = None
        self._queues: dict[str, Callable[[], QueueState]] = {}
        registry.register(_Queues(self._queues))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)

    def queue(self, name: str, state: Callable[[], QueueState]) -> QueueMeter:
        """Return the meter of a controller's queue."""
        self._queues[name] = state
        return _QueueMetrics(
            self._adds.labels(name), self._retries.labels(name), self._waits.labels(name), self._works.labels(name)
        )

    def controller(self, name: str, workers: int) -> None:
        """Make a controller's series, so that they are there before it does anything."""
        self._workers.labels(name).set(workers)
        self._working.labels(name)
        self._errors.labels(name)
        self._seconds.labels(name)
        for result in RESULTS:
            self._total.labels(name, result)

    def working(self, name: str, by: int) -> None:
        """Count a worker in or out."""
        self._working.labels(name).inc(by)

    def reconciled(self, name: str, result: Result, seconds: float) -> None:
        """Count a reconciliation."""
        self._total.labels(name, result).inc()
        self._seconds.labels(name).observe(seconds)
        if result == "error":
            self._errors.labels(name).inc()

    def request(self, code: str, method: str, host: str) -> None:
        """Count a call."""
        self._requests.labels(code, method, host).inc()

    def leads(self, lease: str, leader: bool) -> None:
        """Tell whether we lead."""
        self._leads.labels(lease).set(leader)

    def placed(self, seconds: float) -> None:
        """Count a placement; only the scheduler has this series."""
        if self._placement is None:
            about = "From a flow's acceptance to its placement."
            buckets = PLACEMENT_BUCKETS
            self._placement = Histogram("accelchain_placement_seconds", about, buckets=buckets, registry=self._registry)
        self._placement.observe(seconds)

    def gauge(self, name: str, about: str, label: str, counts: Callable[[], Iterable[Count]]) -> None:
        """Have something counted at every scrape."""
        self._registry.register(_Counted(name, about, label, counts))


class _QueueMetrics(QueueMeter):
    """A queue's series, bound once: looking a label up costs more than counting."""

    def __init__(self, adds: Counter, retries: Counter, waits: Histogram, works: Histogram) -> None:
        self._adds, self._retries, self._waits, self._works = adds, retries, waits, works

    def added(self) -> None:
        """Count a key."""
        self._adds.inc()

    def retried(self) -> None:
        """Count a failure."""
        self._retries.inc()

    def taken(self, waited: float) -> None:
        """Count how long a key waited."""
        self._waits.observe(waited)

    def done(self, worked: float) -> None:
        """Count how long a key was worked on."""
        self._works.observe(worked)


class _Queues(Collector):
    """The state of all queues at the moment of a scrape."""

    def __init__(self, queues: dict[str, Callable[[], QueueState]]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait.", labels=["name"])
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Time of all keys at work, added up.", labels=["name"]
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Time of the key that is at work longest.", labels=["name"]
        )
        for name, state in self._queues.items():
            now = state()
            depth.add_metric([name], now.depth)
            unfinished.add_metric([name], sum(now.busy))
            longest.add_metric([name], max(now.busy, default=0.0))
        yield from (depth, unfinished, longest)


class _Counted(Collector):
    """Something that is counted when somebody looks."""

    def __init__(self, name: str, about: str, label: str, counts: Callable[[], Iterable[Count]]) -> None:
        self._name, self._about, self._label, self._counts = name, about, label, counts

    def describe(self) -> Iterator[Metric]:
        """Yield the name only: registering it must not count."""
        yield GaugeMetricFamily(self._name, self._about, labels=[self._label])

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge."""
        family = GaugeMetricFamily(self._name, self._about, labels=[self._label])
        for value, number in self._counts():
            family.add_metric([value], number)
        yield family
