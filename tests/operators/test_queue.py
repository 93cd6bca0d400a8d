# SPDX-License-Identifier: Apache-2.0
"""The work queue, in virtual time: pauses of minutes cost nothing."""

from __future__ import annotations

import asyncio

import pytest

from accelchain_operators.kube.bucket import TokenBucket
from accelchain_operators.kube.queue import LONGEST_DELAY, WorkQueue

pytestmark = pytest.mark.looptime


async def take(queue: WorkQueue[str], seconds: float = 1000.0) -> str:
    async with asyncio.timeout(seconds):
        return await queue.get()


async def test_a_key_added_many_times_is_handed_out_once() -> None:
    queue = WorkQueue[str]()
    for _ in range(5):
        queue.add("a")
    queue.add("b")
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_that_changes_while_it_is_worked_on_comes_again_and_never_twice_at_a_time() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    key = await take(queue)
    queue.add("a")
    with pytest.raises(TimeoutError):
        await take(queue, 5.0)
    queue.done(key)
    assert await take(queue) == "a"


async def test_a_busy_key_does_not_starve_others() -> None:
    queue = WorkQueue[str]()
    queue.add("busy")
    queue.add("other")
    key = await take(queue)
    queue.add("busy")
    queue.done(key)
    assert await take(queue) == "other"


async def test_failures_wait_longer_and_longer_up_to_a_limit() -> None:
    loop = asyncio.get_running_loop()
    queue = WorkQueue[str]()
    queue.add("a")
    pauses = []
    for _ in range(16):
        key = await take(queue)
        before = loop.time()
        queue.retry(key)
        queue.done(key)
        queue.add(await take(queue))  # back to the front: the next round takes it from there
        pauses.append(loop.time() - before)
        queue.done("a")
    assert pauses[0] == pytest.approx(0.005, abs=1e-3)
    assert pauses[3] == pytest.approx(0.040, abs=1e-3)
    assert pauses[-1] == pytest.approx(LONGEST_DELAY, abs=1e-2)


async def test_success_forgets_failures() -> None:
    queue = WorkQueue[str]()
    for _ in range(8):
        queue.retry("a")
    queue.succeeded("a")
    assert queue.retry("a") == pytest.approx(0.005, abs=1e-3)


async def test_of_several_times_for_one_key_the_earliest_holds_and_only_once() -> None:
    loop = asyncio.get_running_loop()
    queue = WorkQueue[str]()
    queue.add_after("a", 30)
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    begin = loop.time()
    queue.done(await take(queue))
    assert loop.time() - begin == pytest.approx(10, abs=0.01)
    with pytest.raises(TimeoutError):
        await take(queue, 60.0)


async def test_a_timer_set_while_someone_waits_wakes_them() -> None:
    queue = WorkQueue[str]()
    waiter = asyncio.create_task(take(queue))
    await asyncio.sleep(1)
    queue.add_after("a", 2)
    assert await waiter == "a"


async def test_all_failures_together_pass_one_bucket() -> None:
    loop = asyncio.get_running_loop()
    queue = WorkQueue[str](retries_per_second=10, retries_burst=5)
    begin = loop.time()
    for number in range(25):
        queue.retry(f"key-{number}")
    for _ in range(25):
        queue.done(await take(queue))
    assert loop.time() - begin == pytest.approx(2.0, abs=0.2)


async def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(100)
    bucket = TokenBucket(rate=10, burst=20)
    begin = loop.time()
    for _ in range(20):
        await bucket.acquire()
    assert loop.time() - begin == pytest.approx(0, abs=1e-3)
    for _ in range(30):
        await bucket.acquire()
    assert loop.time() - begin == pytest.approx(3.0, abs=0.15)
