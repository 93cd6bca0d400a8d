# SPDX-License-Identifier: Apache-2.0
"""``same-buffer``: producer and consumer on one device, or both on the host. Nothing moves."""

from __future__ import annotations

from collections.abc import Sequence

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.function import Buffer, Event
from accelchain_runtime.links.base import AnyDevice, DeviceView, HostView, Link, Memory, is_accelerator, read_only


def connect(producer: AnyDevice, consumer: AnyDevice, memories: Sequence[Memory]) -> Link | None:
    """Serve one device with itself, and the host with the host."""
    if is_accelerator(producer) and producer is consumer:
        return SameBuffer([DeviceView(memory.spec, memory.handle) for memory in memories])
    if not is_accelerator(producer) and not is_accelerator(consumer):
        return SameBuffer([HostView(memory.spec, read_only(memory.array)) for memory in memories])
    return None


class SameBuffer:
    """Hands the producer's buffer on. Also for what else needs no command: two devices that share a buffer."""

    copies = 0
    blocking = False

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """The consumer waits for the producer."""
        return ready

    def release(self, index: int, read: Event | None) -> Event | None:
        """The producer waits for the consumer."""
        return read

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """No commands."""
        return ()

    def close(self) -> None:
        """Nothing of its own."""
