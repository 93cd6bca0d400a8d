# SPDX-License-Identifier: Apache-2.0
"""What a link is: the way of an edge's frames from the producer's slots to what the consumer sees.

A mechanism is one file with a function ``connect(producer, consumer, memories) -> Link | None`` (None: it doesn't
serve this pair of devices) and one line in ``links.MECHANISMS``. All methods of a link are called by the engine's
loop, but for ``carry`` of a ``blocking`` link, which a thread of the edge's own calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from accelchain_runtime.devices.accelerator import Accelerator
from accelchain_runtime.devices.base import Array, DeviceBuffer, HostDevice, aligned
from accelchain_runtime.engine.function import Buffer, Event, TensorSpec

AnyDevice = HostDevice | Accelerator
PAGE = 4096


class HostView:
    """A buffer that a host function sees."""

    __slots__ = ("array", "spec")

    def __init__(self, spec: TensorSpec, array: Array) -> None:
        self.spec = spec
        self.array = array

    @property
    def device(self) -> Any:
        """Host functions have no device handle."""
        raise TypeError("a host function has no device buffer: use .array")


class DeviceView:
    """A buffer that a device function sees."""

    __slots__ = ("device", "spec")

    def __init__(self, spec: TensorSpec, device: DeviceBuffer) -> None:
        self.spec = spec
        self.device = device

    @property
    def array(self) -> Array:
        """Device functions have no host view."""
        raise TypeError("a device function has no array: use .device")


@dataclass(frozen=True, slots=True)
class Memory:
    """A slot's memory where the producer writes it."""

    spec: TensorSpec
    pages: Array | None
    """Whole pages of host memory that hold the frame; None where only the device has it."""
    handle: DeviceBuffer | None
    """The producer's device buffer; None where the producer is the host."""

    @property
    def array(self) -> Array:
        """The host memory in the frame's shape."""
        assert self.pages is not None, "this memory is the device's alone"
        return self.pages[: self.spec.nbytes].view(self.spec.dtype).reshape(self.spec.shape)

    def view(self) -> Buffer:
        """Return what the producer sees."""
        return HostView(self.spec, self.array) if self.handle is None else DeviceView(self.spec, self.handle)


def is_accelerator(device: AnyDevice) -> TypeGuard[Accelerator]:
    """Whether the device has queues and buffers of its own."""
    return not isinstance(device, HostDevice)


def new_memory(device: AnyDevice, spec: TensorSpec) -> Memory:
    """Allocate one slot for a producer on ``device``.

    A device with unified memory works in whole pages of the host's, so that the host and others can share them.
    """
    if not is_accelerator(device):
        return Memory(spec, _pages(spec), None)
    if device.unified_memory:
        pages = _pages(spec)
        return Memory(spec, pages, device.wrap(pages))
    return Memory(spec, None, device.allocate(spec.nbytes))


def free_memory(device: AnyDevice, memory: Memory) -> None:
    """Give a slot's device buffer back."""
    if is_accelerator(device):
        device.release(memory.handle)


def read_only(array: Array) -> Array:
    """Return a view of the array that can't be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def needed(queue_of: Accelerator, *events: Event | None) -> list[Event]:
    """Return those events that a command on the device's queue must be told to wait for."""
    return [event for event in events if event is not None and not queue_of.on_queue(event)]


class Link(Protocol):
    """An edge's mechanism at work. Slots are named by their index in the producer's ring."""

    copies: int
    """Copies of a frame's bytes that it makes."""
    blocking: bool
    """Whether ``carry`` waits; then a thread of its own calls it, and ``release`` comes after the reading has ended."""
    buffers: Sequence[Buffer]
    """What the consumer sees, one a slot."""

    def carry(self, index: int, ready: Event | None) -> Event | None:
        """Make a slot's frame reach the consumer.

        Args:
            index: the slot.
            ready: the end of the producer's work on it; None where it has ended.

        Returns:
            What the consumer waits for; None: it may begin at once.
        """

    def release(self, index: int, read: Event | None) -> Event | None:
        """Take a slot back from the consumer.

        Args:
            index: the slot.
            read: the end of the consumer's reading; None where it has ended.

        Returns:
            What the producer waits for before it writes the slot again; None: nothing.
        """

    def commands(self, index: int) -> Sequence[tuple[Accelerator, Event]]:
        """Return the device commands of the slot's last ``carry``, to measure them."""

    def close(self) -> None:
        """Give everything back; no device works on it any more."""


Connect = Callable[[AnyDevice, AnyDevice, Sequence[Memory]], "Link | None"]


class Keeper:
    """Keeps events of transfers until they are complete.

    An event of a transfer holds the host array, and pyopencl waits, with Python's lock held, when it is dropped early.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[Accelerator, Event]] = deque()

    def keep(self, device: Accelerator, event: Event) -> Event:
        """Keep one more, and drop those that are complete."""
        kept = self._kept
        kept.append((device, event))
        while kept and kept[0][0].seconds(kept[0][1]) is not None:
            kept.popleft()
        return event

    def clear(self) -> None:
        """Drop all; waits for those that are not complete."""
        self._kept.clear()


def _pages(spec: TensorSpec) -> Array:
    return aligned((max(-(-spec.nbytes // PAGE), 1) * PAGE,), "uint8", PAGE)
