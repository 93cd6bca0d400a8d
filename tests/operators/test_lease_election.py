# SPDX-License-Identifier: Apache-2.0
"""Who leads: never two at a time, whatever clocks and networks do; and always somebody, when they work again."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain_operators.kube.election import Create, LeaseOptions, Observation, Record, Take, Wait, decide, observe

OPTIONS = LeaseOptions()
NEVER = float("-inf")


def record(holder: str = "a", renewed: str = "1", version: int = 1, duration: float = 15) -> Record:
    return Record(holder, duration, renewed, 0, version)


def test_a_lease_is_over_when_we_have_not_seen_it_change_for_as_long_as_it_says() -> None:
    seen = observe(None, record(), 100.0)
    assert decide(seen, "b", 100.0) == Wait(15.0)
    assert decide(seen, "b", 114.0) == Wait(1.0)
    assert decide(seen, "b", 115.0) == Take(record())
    renewed = record(renewed="2", version=2)
    assert decide(observe(seen, renewed, 114.0), "b", 115.0) == Wait(14.0)


def test_what_is_not_a_renewal_does_not_prolong_a_lease() -> None:
    labelled = record(version=7)
    seen = observe(observe(None, record(), 100.0), labelled, 110.0)
    assert seen == Observation(labelled, 100.0)
    assert decide(seen, "b", 115.0) == Take(labelled)


def test_an_answer_that_is_older_than_what_is_known_changes_nothing() -> None:
    seen = observe(None, record(renewed="2", version=5), 100.0)
    assert observe(seen, record(renewed="1", version=4), 101.0) is seen


def test_a_lease_that_was_released_never_made_or_ours_is_taken_at_once() -> None:
    assert decide(observe(None, None, 0.0), "b", 0.0) == Create()
    assert decide(observe(None, record(holder=""), 0.0), "b", 0.0) == Take(record(holder=""))
    assert decide(observe(None, record(holder="b"), 0.0), "b", 0.0) == Take(record(holder="b"))


def test_times_with_which_two_could_lead_are_refused() -> None:
    for duration, deadline, retry in ((10, 10.0, 2.0), (15, 2.0, 2.0), (15, 10.0, 0.0)):
        with pytest.raises(ValueError, match="retry_period < renew_deadline < duration"):
            LeaseOptions(duration, deadline, retry)


@dataclass
class Replica:
    """Runs the rules of ``kube.lease`` on a clock of its own."""

    name: str
    clock_offset: float
    seen: Observation | None = None
    good_until: float = NEVER
    terms: list[tuple[float, float]] = field(default_factory=list)
    """Real times from and until which it was certain to lead."""

    def clock(self, now: float) -> float:
        return now + self.clock_offset


@dataclass
class Server:
    lease: Record | None = None
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def write(self, action: Create | Take, who: str) -> bool:
        expected = None if isinstance(action, Create) else action.record.version
        if (self.lease.version if self.lease else None) != expected:
            return False
        version = next(self.versions)
        self.lease = Record(who, float(OPTIONS.duration), str(version), 0, version)
        return True


def simulate(seed: int, replicas: int, trouble: float, until: float) -> tuple[list[Replica], Server]:
    """Run replicas against one server; requests and answers take up to 8 s, get lost, and replicas freeze."""
    rng, server = random.Random(seed), Server()
    all_of_them = [Replica(f"r{i}", rng.uniform(-1e5, 1e5)) for i in range(replicas)]
    events: list[tuple[float, int, Replica]] = []
    order = itertools.count()
    for one in all_of_them:
        heapq.heappush(events, (rng.uniform(0, 2), next(order), one))
    while events:
        now, _, one = heapq.heappop(events)
        if now > until:
            continue
        bad = rng.random() < trouble
        delay = rng.uniform(0, 8) if bad else rng.uniform(0.001, 0.05)
        asked = one.clock(now)
        if one.seen is None or rng.random() < 0.5:  # a read, or a watch event, as of some moment on the way
            one.seen = observe(one.seen, server.lease, one.clock(now + delay))
        elif not isinstance(action := decide(one.seen, one.name, asked), Wait):
            written = not (bad and rng.random() < 0.3) and server.write(action, one.name)
            answered = not (bad and rng.random() < 0.3)
            if answered and written:
                one.seen = observe(one.seen, server.lease, one.clock(now + delay))
                one.good_until = asked + OPTIONS.renew_deadline
                one.terms.append((now + delay, one.good_until - one.clock_offset))
            elif answered:
                one.seen = observe(one.seen, server.lease, one.clock(now + delay))
        frozen = rng.uniform(5, 60) if rng.random() < trouble / 4 else 0.0
        heapq.heappush(events, (now + delay + rng.uniform(0.1, 2) + frozen, next(order), one))
    return all_of_them, server


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.floats(0, 0.9))
def test_two_never_lead_at_a_time(seed: int, replicas: int, trouble: float) -> None:
    everybody, _ = simulate(seed, replicas, trouble, until=400.0)
    terms = sorted((begin, end, one.name) for one in everybody for begin, end in one.terms if begin < end)
    last: dict[str, float] = {}
    for begin, end, name in terms:
        assert all(until <= begin for other, until in last.items() if other != name), (begin, name, last)
        last[name] = max(end, last.get(name, NEVER))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4))
def test_somebody_leads_where_nothing_is_wrong(seed: int, replicas: int) -> None:
    everybody, _ = simulate(seed, replicas, 0.0, until=120.0)
    assert any(begin < 30 for one in everybody for begin, _ in one.terms)
    assert max(end for one in everybody for _, end in one.terms) > 115.0
