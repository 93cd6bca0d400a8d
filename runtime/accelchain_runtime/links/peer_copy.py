# SPDX-License-Identifier: Apache-2.0
"""``peer-copy``: two devices of one context; the driver copies from one to the other."""

from __future__ import annotations

from collections.abc import Sequence

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.engine.function import Buffer, Event
from accelchain_runtime.links.base import AnyDevice, DeviceView, Link, Memory, is_accelerator, needed


def connect(producer: AnyDevice, consumer: AnyDevice, memories: Sequence[Memory]) -> Link | None:
    """Serve two devices that share a context."""
    if is_accelerator(producer) and is_accelerator(consumer) and producer.context_key == consumer.context_key:
        return PeerCopy(producer, consumer, memories)
    return None


class PeerCopy:
    """The consumer has slots of its own, and its queue copies into them."""

    copies = 1
    blocking = False

    def __init__(self, producer: Accelerator, consumer: Accelerator, memories: Sequence[Memory]) -> None:
        self._device = consumer
        self._memories = memories
        self._own = [consumer.allocate(memory.spec.nbytes) for memory in memories]
        self.buffers: Sequence[Buffer] = [
            DeviceView(memory.spec, own) for memory, own in zip(memories, self._own, strict=True)
        ]
        self._copied: list[Event | None] = [None] * len(memories)
        self._read: list[Event | None] = [None] * len(memories)

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Copy after the producer's work, and after the slot's last frame was read."""
        device, memory = self._device, self._memories[index]
        event = self._copied[index] = device.copy(
            device.queue,
            memory.handle,
            self._own[index],
            memory.spec.nbytes,
            needed(device, ready, self._read[index]),
        )
        return event

    def release(self, index: int, read: Event | None) -> Event | None:
        """The producer waits for the copy only."""
        self._read[index] = read
        return self._copied[index]

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """The copy."""
        event = self._copied[index]
        return [(self._device, event)] if event is not None else ()

    def close(self) -> None:
        """Drop the consumer's slots."""
        self._device.finish()
        for own in self._own:
            self._device.release(own)
        self._own.clear()
