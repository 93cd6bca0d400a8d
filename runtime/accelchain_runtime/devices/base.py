# SPDX-License-Identifier: Apache-2.0
"""What functions and links may do with a device, whatever its API.

Functions get a ``Device`` in ``SetupContext.device`` and never import pyopencl or pycuda themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from accelchain_runtime.devices.cpu import cpu_model
from accelchain_runtime.engine.function import Event

Array = NDArray[Any]
DeviceType = Literal["cpu", "gpu", "fpga"]
DeviceBuffer = Any
"""The API's own handle of device memory (``pyopencl.Buffer``)."""
Queue = Any
"""An in-order queue of the device (``pyopencl.CommandQueue``)."""
Program = Any


class Kernel(Protocol):
    """A kernel whose arguments stay set from launch to launch."""

    def set_args(self, *args: Any) -> None:
        """Set all arguments: ``DeviceBuffer``, numpy scalars, or None (to be set later).

        The kernel does not keep buffers alive: the function must.
        """

    def set_arg(self, index: int, value: Any) -> None:
        """Set one argument."""


class HostDevice:
    """The CPU as host functions see it: no queue, no kernels."""

    api = "host"
    type: DeviceType = "cpu"
    identity = "host"

    def __init__(self, name: str = "host") -> None:
        self.name = name
        self.model = cpu_model()


class Device(Protocol):
    """A device that runs kernels. One context a device API and process; every method may be called from any thread."""

    name: str
    """As in the inventory: cpu0, gpu0, fpga0."""
    api: str
    type: DeviceType
    compute_units: int
    vector_width: int
    """Native width of float vectors: 16 with AVX-512, 8 with AVX2, 1 on most GPUs."""
    unified_memory: bool
    """Whether the device works in the host's memory, so that mapping a buffer copies nothing."""
    queue: Queue
    """The queue that the engine enqueues this device's functions on."""

    def new_queue(self) -> Queue:
        """Return a further in-order queue, for a function that overlaps work of its own.

        The event that the function returns may belong to either queue: who reads the frame waits for it.
        """

    def build(self, source: str, options: Sequence[str] = (), cache: Path | None = None) -> Program:
        """Compile OpenCL C or load it from ``cache`` (keyed by source, options, device and driver).

        Raises:
            accelchain_runtime.engine.function.InputError: the source does not compile; the message has the compiler's
                words.
        """

    def kernel(self, program: Program, name: str) -> Kernel:
        """Return a kernel of the program.

        Raises:
            InputError: the program has no kernel of that name.
        """

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Return uninitialised device memory."""

    def upload(self, array: Array) -> DeviceBuffer:
        """Return device memory that holds a copy of ``array``."""

    def launch(
        self,
        queue: Queue,
        kernel: Kernel,
        global_size: Sequence[int],
        local_size: Sequence[int] | None = None,
        wait_for: Sequence[Event] = (),
    ) -> Event:
        """Enqueue a kernel and return its event; nothing is waited for and nothing flushed."""

    def read(self, queue: Queue, buffer: DeviceBuffer, array: Array, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a copy of device memory into ``array`` (kept alive by the caller until the event is done)."""

    def write(self, queue: Queue, buffer: DeviceBuffer, array: Array, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a copy of ``array`` into device memory (kept alive by the caller until the event is done)."""

    def flush(self, queue: Queue) -> None:
        """Hand what is enqueued to the device."""

    def release(self, buffer: DeviceBuffer) -> None:
        """Give device memory back."""


def aligned(shape: Sequence[int], dtype: str = "uint8", alignment: int = 4096) -> Array:
    """Return a zeroed C-contiguous array whose first byte lies on a multiple of ``alignment``."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes].view(dtype).reshape(tuple(shape))
