# SPDX-License-Identifier: Apache-2.0
"""OpenCL devices: the only file that imports pyopencl."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl

from accelchain_runtime.devices.base import Array, DeviceType
from accelchain_runtime.devices.identity import Listing, distinct
from accelchain_runtime.devices.pool import DeviceError
from accelchain_runtime.engine.function import Event, InputError

log = logging.getLogger("opencl")

_TYPES: tuple[tuple[int, DeviceType], ...] = (
    (cl.device_type.GPU, "gpu"),
    (cl.device_type.ACCELERATOR, "fpga"),
    (cl.device_type.CPU, "cpu"),
)
_POCL_BASIC = "basic-"
_COMPLETE: int = cl.command_execution_status.COMPLETE
_DEVICE_ERRORS = (cl.MemoryError, cl.RuntimeError)


class OpenCLDevice:
    """One device with one in-order queue; implements ``accelerator.Accelerator``."""

    api = "opencl"

    def __init__(self, name: str, listing: Listing, context: Any, device: Any) -> None:
        self.name = name
        self.type: DeviceType = listing.type
        self.identity = listing.identity
        self.model = listing.model
        self.context = context
        self.handle = device
        self.context_key: object = context.int_ptr
        self.driver = f"{device.platform.version.strip()} {device.driver_version.strip()}"
        self.compute_units = int(device.max_compute_units)
        self.vector_width = max(int(device.native_vector_width_float), 1)
        self.unified_memory = bool(device.host_unified_memory)
        self.queue = self.new_queue()
        self._queue_pointer = self.queue.int_ptr
        self._programs: dict[str, Any] = {}
        # PoCL's basic device runs commands within the call that enqueues them, and locks itself out if a second thread
        # enqueues what depends on them at that moment (seen with 3.0)
        self._enqueueing = threading.Lock()

    def new_queue(self) -> Any:
        """Return a further in-order queue."""
        return cl.CommandQueue(self.context, self.handle, properties=cl.command_queue_properties.PROFILING_ENABLE)

    def build(self, source: str, options: Sequence[str] = (), cache: Path | None = None) -> Any:
        """Compile OpenCL C or load the binary from ``cache``; a program built before is returned again."""
        parts = (source, "\0".join(options), self.handle.name, self.driver)
        key = hashlib.sha256("\0\0".join(parts).encode()).hexdigest()
        if key not in self._programs:
            file = cache / "opencl" / f"{key[:32]}.bin" if cache else None
            self._programs[key] = self._load(file, options) or self._compile(source, options, file)
        return self._programs[key]

    def _load(self, file: Path | None, options: Sequence[str]) -> Any:
        try:
            binary = file.read_bytes() if file else None
        except FileNotFoundError:
            return None
        if not binary:
            return None
        try:
            return cl.Program(self.context, [self.handle], [binary]).build(list(options), cache_dir=False)
        except cl.Error as error:
            log.warning("the cached kernel %s is of no use to %s and is compiled again: %s", file, self.name, error)
            return None

    def _compile(self, source: str, options: Sequence[str], file: Path | None) -> Any:
        program = cl.Program(self.context, source)
        try:
            program.build(list(options), devices=[self.handle], cache_dir=False)
        except cl.RuntimeError as error:
            raise InputError(f"The kernel does not compile for {self.name}: {self._compiler_words(program)}") from error
        if file:
            binaries = program.get_info(cl.program_info.BINARIES)
            _write_atomically(file, next(binary for binary in binaries if binary))  # it was built for one device
        return program

    def _compiler_words(self, program: Any) -> str:
        log_lines = str(program.get_build_info(self.handle, cl.program_build_info.LOG)).split("\n")
        return "; ".join(line.strip() for line in log_lines if line.strip()) or "the compiler does not say why."

    def kernel(self, program: Any, name: str) -> Any:
        """Return a fresh kernel object: arguments of one user don't touch another's."""
        try:
            return cl.Kernel(program, name)
        except cl.Error as error:
            raise InputError(f"The program has no kernel named {name}.") from error

    def allocate(self, nbytes: int) -> Any:
        """Return uninitialised device memory."""
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)

    def upload(self, array: Array) -> Any:
        """Return device memory that holds a copy of ``array``."""
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        return cl.Buffer(self.context, flags, hostbuf=np.ascontiguousarray(array))

    def wrap(self, array: Array) -> Any:
        """Return a buffer whose memory is ``array``."""
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR, hostbuf=array)

    def launch(
        self,
        queue: Any,
        kernel: Any,
        global_size: Sequence[int],
        local_size: Sequence[int] | None = None,
        wait_for: Sequence[Event] = (),
    ) -> Event:
        """Enqueue a kernel."""
        with self._enqueueing:
            event: Event = cl.enqueue_nd_range_kernel(
                queue, kernel, global_size, local_size, wait_for=wait_for if wait_for else None
            )
        return event

    def read(self, queue: Any, buffer: Any, array: Array, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a copy into ``array``; the event waits when it is dropped before the copy is done."""
        with self._enqueueing:
            event: Event = cl.enqueue_copy(queue, array, buffer, is_blocking=False, wait_for=wait_for or None)
        return event

    def write(self, queue: Any, buffer: Any, array: Array, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a copy of ``array``; the event waits when it is dropped before the copy is done."""
        with self._enqueueing:
            event: Event = cl.enqueue_copy(queue, buffer, array, is_blocking=False, wait_for=wait_for or None)
        return event

    def map(
        self, queue: Any, buffer: Any, nbytes: int, *, write: bool, wait_for: Sequence[Event] = ()
    ) -> tuple[Any, Event]:
        """Enqueue a mapping of the buffer for the host."""
        flags = cl.map_flags.WRITE_INVALIDATE_REGION if write else cl.map_flags.READ
        with self._enqueueing:
            array, event = cl.enqueue_map_buffer(
                queue, buffer, flags, 0, (nbytes,), np.uint8, wait_for=wait_for or None, is_blocking=False
            )
        return array.base, event

    def unmap(self, queue: Any, mapping: Any) -> Event:
        """Enqueue the end of a mapping."""
        with self._enqueueing:
            event: Event = mapping.release(queue)
        return event

    def copy(self, queue: Any, source: Any, target: Any, nbytes: int, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a copy between buffers of this context."""
        with self._enqueueing:
            event: Event = cl.enqueue_copy(queue, target, source, byte_count=nbytes, wait_for=wait_for or None)
        return event

    def marker(self, queue: Any, wait_for: Sequence[Event] = ()) -> Event:
        """Enqueue a command that does nothing."""
        with self._enqueueing:
            event: Event = cl.enqueue_marker(queue, wait_for=wait_for or None)
        return event

    def on_queue(self, event: Any) -> bool:
        """Whether the event belongs to ``queue``."""
        return bool(event.get_info(cl.event_info.COMMAND_QUEUE).int_ptr == self._queue_pointer)

    def has_ended(self, event: Any) -> bool:
        """Whether the command is complete; raises what the device reported if it failed."""
        status: int = event.command_execution_status
        if status < _COMPLETE:
            event.wait()
        return status <= _COMPLETE

    def seconds(self, event: Any) -> tuple[float, float] | None:
        """Return when the command began and ended, in seconds of the device's clock."""
        if event.command_execution_status != _COMPLETE:
            return None
        return event.profile.start * 1e-9, event.profile.end * 1e-9

    def flush(self, queue: Any) -> None:
        """Hand what is enqueued to the device."""
        queue.flush()

    def finish(self) -> None:
        """Wait until the queue is empty."""
        self.queue.finish()

    def release(self, buffer: Any) -> None:
        """Give device memory back."""
        buffer.release()

    def is_device_error(self, error: BaseException) -> bool:
        """Out of memory, lost devices and failed commands; a wrong argument is the function's error."""
        return isinstance(error, _DEVICE_ERRORS)


class OpenCL:
    """The OpenCL devices of this machine, each physical device once, opened on demand.

    One context a platform holds all devices of it that are opened together, so that they share events and buffers. But
    PoCL's ``basic`` devices are kept apart from its others: their commands hang on events of another kind of device.
    """

    def __init__(self, cache: Path | None = None) -> None:
        """Enumerate.

        Args:
            cache: folder for compiled kernels; PoCL's own cache goes below it unless POCL_CACHE_DIR is set.

        Raises:
            DeviceError: a driver fails.
        """
        if cache and "POCL_CACHE_DIR" not in os.environ:  # read by PoCL once, when it starts
            folder = cache / "pocl"
            folder.mkdir(parents=True, exist_ok=True)
            os.environ["POCL_CACHE_DIR"] = str(folder)
        self._handles: dict[str, Any] = {}
        self._opened: dict[str, OpenCLDevice] = {}
        try:
            handles, listings = _enumerate()
        except cl.Error as error:
            raise DeviceError(f"The OpenCL drivers don't tell their devices: {error}.") from error
        self.listings = distinct(listings)
        for name, listing in self.listings.items():
            self._handles[name] = handles[listings.index(listing)]

    def open(self, names: Collection[str]) -> dict[str, OpenCLDevice]:
        """Return the named devices; those of one platform that are opened here for the first time share a context.

        Raises:
            KeyError: there is no such device.
            DeviceError: the driver can't open one.
        """
        fresh: dict[tuple[int, bool], list[str]] = {}
        for name in sorted(names):
            if name not in self._opened:
                listing = self.listings[name]
                fresh.setdefault((listing.platform, listing.model.startswith(_POCL_BASIC)), []).append(name)
        for group in fresh.values():
            try:
                context = cl.Context([self._handles[name] for name in group])
                for name in group:
                    self._opened[name] = OpenCLDevice(name, self.listings[name], context, self._handles[name])
            except cl.Error as error:
                raise DeviceError(f"The driver can't open {', '.join(group)}: {error}.") from error
        return {name: self._opened[name] for name in names}

    def describe(self) -> list[dict[str, Any]]:
        """Return the inventory's entries for these devices."""
        return [self._describe(name, listing) for name, listing in self.listings.items()]

    def _describe(self, name: str, listing: Listing) -> dict[str, Any]:
        handle = self._handles[name]
        return {
            "name": name,
            "type": listing.type,
            "api": "opencl",
            "id": listing.identity,
            "model": listing.model,
            "driver": f"{handle.platform.name.strip()} {handle.driver_version.strip()}",
            "computeUnits": int(handle.max_compute_units),
            "memoryBytes": int(handle.global_mem_size),
            "pciAddress": _pci_address(handle),
        }


def _enumerate() -> tuple[list[Any], list[Listing]]:
    """Return the handles of all devices, and how their platforms list them."""
    handles: list[Any] = []
    listings: list[Listing] = []
    for number, platform in enumerate(_platforms()):
        for index, device in enumerate(platform.get_devices()):
            kind = next((name for flag, name in _TYPES if device.type & flag), None)
            if kind is not None and device.available:
                handles.append(device)
                identity = f"{platform.version.strip()}/{device.name.strip()}/{index}"
                listings.append(Listing(number, identity, device.name.strip(), kind))
    return handles, listings


def _platforms() -> list[Any]:
    try:
        return list(cl.get_platforms())
    except cl.LogicError:  # PLATFORM_NOT_FOUND_KHR: no driver is installed, so there is no device
        return []


def _pci_address(device: Any) -> str:
    """Return the device's PCI address (0000:3b:00.0), or an empty string where its driver does not tell."""
    try:
        if "cl_khr_pci_bus_info" in device.extensions:
            info = device.pci_bus_info_khr
            return f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.{info.function:x}"
        if "cl_nv_device_attribute_query" in device.extensions:
            return f"0000:{device.pci_bus_id_nv:02x}:{device.pci_slot_id_nv >> 3:02x}.{device.pci_slot_id_nv & 7:x}"
    except (cl.Error, AttributeError) as error:
        log.warning("%s does not tell its PCI address: %s", device.name, error)
    return ""


def _write_atomically(file: Path, data: bytes) -> None:
    """Write a cache entry that other processes may write or read at this moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
