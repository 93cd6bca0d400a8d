# SPDX-License-Identifier: Apache-2.0
"""What the engine and the links do with a device beyond what functions may (``base.Device``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer, Queue
from accelchain_runtime.engine.function import Event

Mapping = Any
"""Device memory that the host may touch until it is unmapped (``pyopencl.MemoryMap``)."""


class Accelerator(Device, Protocol):
    """A device as the engine sees it."""

    identity: str
    """As in the inventory: stable from process to process."""
    model: str
    driver: str
    """The platform's and the driver's version: what was compiled for another one is of no use."""
    context_key: object
    """Equal for devices that share one context, and so events and buffers."""

    def wrap(self, array: Array) -> DeviceBuffer:
        """Return a buffer whose memory is ``array`` (page-aligned; the caller keeps it alive)."""

    def map(
        self, queue: Queue, buffer: DeviceBuffer, nbytes: int, *, write: bool, wait_for: Sequence[Event] = ()
    ) -> tuple[Mapping, Event]:
        """Enqueue a mapping of the buffer for the host; ``write`` discards what the buffer held."""

    def unmap(self, queue: Queue, mapping: Mapping) -> Event:
        """Enqueue the end of a mapping."""

    def copy(
        self, queue: Queue, source: DeviceBuffer, target: DeviceBuffer, nbytes: int, wait_for: Sequence[Event] = ()
    ) -> Event:
        """Enqueue a copy between buffers of one context."""

    def marker(self, queue: Queue, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a command that does nothing: its end is when the queue got there."""

    def on_queue(self, event: Event) -> bool:
        """Whether the event belongs to ``queue``, so that later commands there need not wait for it."""

    def has_ended(self, event: Event) -> bool:
        """Whether the command is complete, without waiting.

        Raises:
            Exception: the command failed; the device's error class.
        """

    def seconds(self, event: Event) -> tuple[float, float] | None:
        """Return when the command began and ended (device clock, seconds); None while it is not complete."""

    def finish(self) -> None:
        """Wait until ``queue`` is empty."""

    def is_device_error(self, error: BaseException) -> bool:
        """Whether the device, not the function's code, raised the error."""
