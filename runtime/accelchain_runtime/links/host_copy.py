# SPDX-License-Identifier: Apache-2.0
"""``host-copy``: read to the host, write to the device. Serves every pair, with a copy or two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.devices.base import aligned
from accelchain_runtime.engine.function import Buffer, Event
from accelchain_runtime.links.base import (
    AnyDevice,
    DeviceView,
    HostView,
    Keeper,
    Link,
    Memory,
    is_accelerator,
    needed,
    read_only,
)


def connect(producer: AnyDevice, consumer: AnyDevice, memories: Sequence[Memory]) -> Link | None:
    """Serve every pair."""
    source = producer if is_accelerator(producer) else None
    target = consumer if is_accelerator(consumer) else None
    return HostCopy(source, target, memories)


class HostCopy:
    """Copies through host memory; where the producer is a device the frame has a place of its own there."""

    def __init__(self, producer: Accelerator | None, consumer: Accelerator | None, memories: Sequence[Memory]) -> None:
        self._producer = producer
        self._consumer = consumer
        self._memories = memories
        self.copies = 2 if producer and consumer else 1
        across = bool(producer and consumer and producer.context_key != consumer.context_key)
        self.blocking = across or not (producer or consumer)
        own_place = producer is not None or consumer is None
        self._staging = [
            aligned(memory.spec.shape, memory.spec.dtype) if own_place else memory.array for memory in memories
        ]
        self._own = [consumer.allocate(memory.spec.nbytes) for memory in memories] if consumer else []
        self.buffers: Sequence[Buffer] = (
            [DeviceView(memory.spec, own) for memory, own in zip(memories, self._own, strict=True)]
            if consumer
            else [
                HostView(memory.spec, read_only(array)) for memory, array in zip(memories, self._staging, strict=True)
            ]
        )
        self._events: list[list[tuple[Accelerator, Event]]] = [[] for _ in memories]
        self._written: list[Event | None] = [None] * len(memories)
        self._read: list[Event | None] = [None] * len(memories)
        self._keeper = Keeper()

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Copy after the producer's work; waits where the two share no context."""
        events = self._events[index] = []
        event = ready
        if self._producer:
            event = self._to_host(self._producer, index, ready)
            events.append((self._producer, event))
        if not self._consumer:
            if not self._producer:
                np.copyto(self._staging[index], self._memories[index].array)
            return event
        if self.blocking and event:
            event.wait()
            event = None
        event = self._to_device(self._consumer, index, event)
        events.append((self._consumer, event))
        if self.blocking:
            event.wait()
            return None
        return event

    def _to_host(self, device: Accelerator, index: int, ready: Event | None) -> Event:
        last = None if self.blocking else self._written[index]  # the slot's last frame has left the staging array
        waits = needed(device, ready, last)
        return self._keeper.keep(
            device, device.read(device.queue, self._memories[index].handle, self._staging[index], waits)
        )

    def _to_device(self, device: Accelerator, index: int, staged: Event | None) -> Event:
        waits = needed(device, staged, self._read[index])
        event = device.write(device.queue, self._own[index], self._staging[index], waits)
        self._written[index] = event
        return self._keeper.keep(device, event)

    def release(self, index: int, read: Event | None) -> Event | None:
        """The producer waits for its part of the copy only."""
        self._read[index] = read
        events = self._events[index]
        return events[0][1] if events and not self.blocking else None

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """The copies; none where ``carry`` is measured as a whole."""
        return () if self.blocking else self._events[index]

    def close(self) -> None:
        """Drop the consumer's slots."""
        for device in (self._producer, self._consumer):
            if device:
                device.finish()
        self._keeper.clear()
        for own in self._own:
            assert self._consumer is not None
            self._consumer.release(own)
        self._own.clear()
