# SPDX-License-Identifier: Apache-2.0
"""Links: what each mechanism serves, that bytes arrive, and that one that lies is not taken."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.devices.opencl import OpenCL
from accelchain_runtime.engine.function import Event, InputError, TensorSpec
from accelchain_runtime.links import MECHANISMS, same_buffer
from accelchain_runtime.links.base import AnyDevice, Link, Memory, free_memory, new_memory
from accelchain_runtime.links.choose import LinkError, choose, probe

SPEC = TensorSpec((33, 17, 3))


@pytest.fixture(scope="module")
def devices(cache: Path) -> dict[str, AnyDevice]:
    """The host, an OpenCL device, and the same one in a context of its own: a stranger to the first."""
    return {
        "host": HostDevice(),
        "cl": OpenCL(cache).open(["cpu0"])["cpu0"],
        "stranger": OpenCL(cache).open(["cpu0"])["cpu0"],
    }


SERVED = {
    "same-buffer": {("host", "host"), ("cl", "cl"), ("stranger", "stranger")},
    "shared-host": {("host", "cl"), ("cl", "host"), ("host", "stranger"), ("stranger", "host")}
    | {("cl", "stranger"), ("stranger", "cl")},
    "peer-copy": {("cl", "cl"), ("stranger", "stranger")},
    "host-copy": set(itertools.product(("host", "cl", "stranger"), repeat=2)),
}


@pytest.mark.parametrize("mechanism", list(MECHANISMS))
@pytest.mark.parametrize("pair", list(itertools.product(("host", "cl", "stranger"), repeat=2)))
def test_what_a_mechanism_serves_arrives_again_and_again(
    devices: dict[str, AnyDevice], mechanism: str, pair: tuple[str, str]
) -> None:
    producer, consumer = (devices[name] for name in pair)
    memories = [new_memory(producer, SPEC) for _ in range(3)]
    link = MECHANISMS[mechanism](producer, consumer, memories)
    assert (link is not None) == (pair in SERVED[mechanism])
    if link is not None:
        assert probe(link, producer, consumer, memories[0]) is not None
        assert probe(link, producer, consumer, memories[0]) is not None
        assert len(link.buffers) == 3
        link.close()
    for memory in memories:
        free_memory(producer, memory)


class Lying:
    """Says that it carries in no time, and carries nothing."""

    copies = 0
    blocking = False

    def __init__(self, memories: Sequence[Memory]) -> None:
        own = [new_memory(HostDevice(), memory.spec) for memory in memories]
        self.buffers = [memory.view() for memory in own]

    def carry(self, index: int, ready: Event | None) -> Event | None:
        return None

    def release(self, index: int, read: Event | None) -> Event | None:
        return None

    def commands(self, index: int) -> Sequence[Any]:
        return ()

    def close(self) -> None:
        pass


class Stale(Lying):
    """Carries the first frame only."""

    def __init__(self, memories: Sequence[Memory]) -> None:
        super().__init__(memories)
        self._memory = memories[0]
        self._carried = False

    def carry(self, index: int, ready: Event | None) -> Event | None:
        if not self._carried:
            self.buffers[0].array[:] = self._memory.array
        self._carried = True
        return None


class Broken(Lying):
    def carry(self, index: int, ready: Event | None) -> Event | None:
        raise RuntimeError("no such device")


def connect_with(link: type[Lying]) -> Any:
    def connect(producer: AnyDevice, consumer: AnyDevice, memories: Sequence[Memory]) -> Link | None:
        return link(memories)

    return connect


@pytest.mark.parametrize("link", [Lying, Stale, Broken])
def test_a_link_that_lies_is_not_taken(link: type[Lying], caplog: pytest.LogCaptureFixture) -> None:
    mechanisms = {"bad": connect_with(link), "good": MECHANISMS["host-copy"]}
    choice = choose("a.x -> b.y", HostDevice(), HostDevice(), SPEC, ["bad", "good"], mechanisms)
    assert choice.mechanism == "good"
    assert choice.seconds > 0
    assert "a.x -> b.y: bad" in caplog.text


@pytest.mark.parametrize("link", [Lying, Stale, Broken])
def test_nothing_works_and_it_is_said(link: type[Lying]) -> None:
    with pytest.raises(LinkError, match=r"a.x -> b.y: no mechanism works between host and host: bad"):
        choose("a.x -> b.y", HostDevice(), HostDevice(), SPEC, ["bad"], {"bad": connect_with(link)})


def test_a_run_over_a_lying_link_fails_and_says_so(run_plan: Any, make_plan: Any) -> None:
    plan = make_plan(
        [("x", "count-source"), ("sink", "collect")], [("x.frames sink.frames", {"mechanisms": ["same-buffer"]})]
    )
    document = run_plan(plan, {"same-buffer": connect_with(Lying)})
    assert document["reason"] == "DeviceFailed"
    assert "same-buffer delivered wrong bytes" in document["message"]


def test_mechanisms_limit_the_choice(devices: dict[str, AnyDevice]) -> None:
    assert choose("e", HostDevice(), devices["cl"], SPEC, ["host-copy"]).mechanism == "host-copy"
    with pytest.raises(InputError, match=r"e: host and cpu0 can't be connected by peer-copy; allow host-copy"):
        choose("e", HostDevice(), devices["cl"], SPEC, ["peer-copy"])


def test_the_host_hands_over_its_own_memory(devices: dict[str, AnyDevice]) -> None:
    memory = new_memory(HostDevice(), SPEC)
    link = same_buffer.connect(HostDevice(), HostDevice(), [memory])
    assert link is not None
    view = link.buffers[0].array
    memory.array[:] = 5
    assert view.shape == SPEC.shape
    assert (view == 5).all()
    assert view.ctypes.data % 4096 == 0
    with pytest.raises(ValueError, match="read-only"):
        view[:] = 1


@pytest.mark.parametrize("mechanism", ["shared-host", "host-copy"])
def test_frames_between_two_contexts(
    run_plan: Any, make_plan: Any, monkeypatch: pytest.MonkeyPatch, devices: dict[str, AnyDevice], mechanism: str
) -> None:
    """Two platforms can't be had everywhere: the pool hands out one device of each of two contexts."""
    import accelchain_runtime.devices.pool as pool

    named = {"host": devices["host"], "cpu0": devices["cl"], "cpu1": devices["stranger"]}
    monkeypatch.setattr(pool.DevicePool, "open", lambda self, plans: {plan.name: named[plan.name] for plan in plans})
    document = run_plan(
        make_plan(
            [
                ("x", "count-source", {"frames": 25}),
                ("a", "increment-kernel", {"step": 0}, "cpu0"),
                ("b", "increment-kernel", {"step": 0}, "cpu1"),
                ("c", "increment-kernel", {"step": 0}, "cpu0"),
                ("merge", "merge"),
                ("sink", "collect"),
            ],
            [
                "x.frames a.frames",
                ("a.frames b.frames", {"mechanisms": [mechanism], "slots": 2}),
                ("b.frames c.frames", {"mechanisms": [mechanism]}),
                "c.frames merge.a",
                "b.frames merge.b",
                "a.frames merge.c",
                "merge.frames sink.frames",
            ],
        )
    )
    assert document["phase"] == "Succeeded", document["message"]
    assert document["outputs"]["parameters"]["sink.values"] == list(range(25))
