# SPDX-License-Identifier: Apache-2.0
"""``shared-host``: one page-aligned host allocation, mapped by the host and by devices with unified memory.

No byte is copied; mapping and unmapping keep caches right where a device needs that.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelchain_runtime.devices.accelerator import Accelerator, Mapping
from accelchain_runtime.engine.function import Buffer, Event
from accelchain_runtime.links.base import (
    AnyDevice,
    DeviceView,
    HostView,
    Link,
    Memory,
    is_accelerator,
    needed,
    read_only,
)
from accelchain_runtime.links.same_buffer import SameBuffer


def connect(producer: AnyDevice, consumer: AnyDevice, memories: Sequence[Memory]) -> Link | None:
    """Serve the host and a device with unified memory in either direction, and two such devices."""
    if is_accelerator(consumer) and not consumer.unified_memory:
        return None
    if is_accelerator(producer) and not producer.unified_memory:
        return None
    if is_accelerator(producer):
        if not is_accelerator(consumer):
            return DeviceToHost(producer, memories)
        if producer is consumer:
            return None
        if producer.context_key == consumer.context_key:  # one buffer serves all devices of a context
            return SameBuffer([DeviceView(memory.spec, memory.handle) for memory in memories])
        return AcrossContexts(producer, consumer, memories)
    return HostToDevice(consumer, memories) if is_accelerator(consumer) else None


class HostToDevice:
    """A slot is mapped for the host's writing, but while the device has it."""

    copies = 0
    blocking = False

    def __init__(self, consumer: Accelerator, memories: Sequence[Memory]) -> None:
        self._device = consumer
        self._handles = [_wrap(consumer, memory) for memory in memories]
        self._sizes = [memory.spec.nbytes for memory in memories]
        self.buffers: Sequence[Buffer] = [
            DeviceView(memory.spec, handle) for memory, handle in zip(memories, self._handles, strict=True)
        ]
        self._mapped: list[Mapping | None] = [None] * len(memories)
        self._unmapped: list[Event | None] = [None] * len(memories)
        for index in range(len(memories)):
            self._map(index, None).wait()

    def _map(self, index: int, read: Event | None) -> Event:
        device = self._device
        self._mapped[index], event = device.map(
            device.queue, self._handles[index], self._sizes[index], write=True, wait_for=needed(device, read)
        )
        return event

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Unmap: the device may read what the host wrote."""
        mapping = self._mapped[index]
        assert mapping is not None, "a slot is carried once until it is released"
        self._mapped[index] = None
        event = self._unmapped[index] = self._device.unmap(self._device.queue, mapping)
        return event

    def release(self, index: int, read: Event | None) -> Event | None:
        """Map again, after the device's reading."""
        return self._map(index, read)

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """The unmapping."""
        event = self._unmapped[index]
        return [(self._device, event)] if event is not None else ()

    def close(self) -> None:
        """Unmap and drop the device's buffers."""
        for mapping in self._mapped:
            if mapping is not None:
                self._device.unmap(self._device.queue, mapping)
        self._device.finish()
        for handle in self._handles:
            self._device.release(handle)
        self._handles.clear()


class DeviceToHost:
    """A slot is mapped for the host's reading from the end of the device's work until the host has read it."""

    copies = 0
    blocking = False

    def __init__(self, producer: Accelerator, memories: Sequence[Memory]) -> None:
        self._device = producer
        self._memories = memories
        self.buffers: Sequence[Buffer] = [HostView(memory.spec, read_only(memory.array)) for memory in memories]
        self._mapped: list[Mapping | None] = [None] * len(memories)
        self._mapping: list[Event | None] = [None] * len(memories)

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Map, after the device's work."""
        device, memory = self._device, self._memories[index]
        self._mapped[index], event = device.map(
            device.queue, memory.handle, memory.spec.nbytes, write=False, wait_for=needed(device, ready)
        )
        self._mapping[index] = event
        return event

    def release(self, index: int, read: Event | None) -> Event | None:
        """Unmap: the device may write again."""
        mapping = self._mapped[index]
        assert mapping is not None, "a slot is released once after it was carried"
        self._mapped[index] = None
        return self._device.unmap(self._device.queue, mapping)

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """The mapping."""
        event = self._mapping[index]
        return [(self._device, event)] if event is not None else ()

    def close(self) -> None:
        """Unmap what is mapped."""
        for mapping in self._mapped:
            if mapping is not None:
                self._device.unmap(self._device.queue, mapping)
        self._device.finish()


class AcrossContexts:
    """Two devices without a common context: their events don't know each other, so the host waits between them."""

    copies = 0
    blocking = True

    def __init__(self, producer: Accelerator, consumer: Accelerator, memories: Sequence[Memory]) -> None:
        self._producer = producer
        self._consumer = consumer
        self._memories = memories
        self._handles = [_wrap(consumer, memory) for memory in memories]
        self.buffers: Sequence[Buffer] = [
            DeviceView(memory.spec, handle) for memory, handle in zip(memories, self._handles, strict=True)
        ]

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Wait for the producer, and hand the pages from one device to the other."""
        producer, consumer, memory = self._producer, self._consumer, self._memories[index]
        if ready is not None:
            ready.wait()
        reading, event = producer.map(producer.queue, memory.handle, memory.spec.nbytes, write=False)
        event.wait()
        writing, event = consumer.map(consumer.queue, self._handles[index], memory.spec.nbytes, write=True)
        event.wait()
        handed = consumer.unmap(consumer.queue, writing)
        producer.unmap(producer.queue, reading).wait()
        handed.wait()
        return None

    def release(self, index: int, read: Event | None) -> Event | None:
        """Nothing to wait for: the engine releases slots of blocking links after the consumer's reading has ended."""
        return read

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """None that outlast ``carry``, which is measured as a whole."""
        return ()

    def close(self) -> None:
        """Drop the consumer's buffers."""
        self._consumer.finish()
        for handle in self._handles:
            self._consumer.release(handle)
        self._handles.clear()


def _wrap(device: Accelerator, memory: Memory) -> object:
    assert memory.pages is not None, "a producer with unified memory, or the host, has pages"
    return device.wrap(memory.pages)
