# SPDX-License-Identifier: Apache-2.0
"""filter-resize on devices that run OpenCL kernels: one launch a frame, nothing allocated a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer, Kernel, Queue
from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, InputError, SetupContext, TensorSpec
from accelchain_runtime.functions.filter_resize.tables import column_tables, row_tables

FILTERS = {"none": 0, "gaussian": 1, "median": 2, "sharpen": 3}

_LEAST_SIZE, _MOST_SIZE = 16, 8192
"""Limits of width and height, as in the manifest."""
_BANDS_PER_UNIT = 2
"""Bands of rows for each compute unit: more than one, so that a core which others use delays less."""
_PREPARED_SIZE = 32
_MARGIN = 8
"""MARGIN of kernels.cl."""


class FilterResize:
    """Filters a picture (3x3: none, gaussian, median, sharpen) and scales it bilinearly to a fixed size.

    CPUs get a kernel that makes a band of rows an item in vectorised passes, other devices one that makes a pixel an
    item; their results are equal bit by bit.
    """

    def __init__(self, kernel: Literal["rows", "pixels"] | None = None) -> None:
        """Choose the kernel by the device's type, or take the one that is named."""
        self._choice = kernel
        self._device: Device | None = None
        self._buffers: list[DeviceBuffer] = []  # a kernel's arguments don't keep their buffers alive
        self._kernel: Kernel | None = None
        self._global_size: tuple[int, ...] = ()
        self._local_size: tuple[int, ...] | None = None

    @classmethod
    def prepare(cls, device: Device, folder: Path, cache: Path | None) -> None:
        """Compile every filter's kernel into ``cache``; a driver compiles at the first launch, so each is launched."""
        shape = TensorSpec((_PREPARED_SIZE, _PREPARED_SIZE, 3))
        frames = [device.allocate(shape.nbytes) for _ in range(2)]
        for name in FILTERS:
            function = cls()
            function.setup(
                SetupContext(
                    name="prepare",
                    parameters={"width": _PREPARED_SIZE, "height": _PREPARED_SIZE, "filter": name},
                    inputs={"frames": shape},
                    device=device,
                    folder=folder,
                    cache=cache,
                )
            )
            done = function.run(device.queue, frames[0], frames[1], ())
            device.flush(device.queue)
            done.wait()
            function.close()
        for frame in frames:
            device.release(frame)

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Compile the kernel and upload the tables.

        Returns:
            ``frames``: uint8 [height, width, 3].

        Raises:
            InputError: ``frames`` doesn't carry uint8 [height, width, 3], or a parameter is wrong.
        """
        source_height, source_width = _source_size(context)
        width, height = (_size(context, name) for name in ("width", "height"))
        name = context.parameters.get("filter", "none")
        if name not in FILTERS:
            raise InputError(
                f"{context.name}: filter is {name!r}; choose one of {', '.join(FILTERS)}.", parameter="filter"
            )
        device: Device = context.device
        self._device = device
        choice = self._choice or ("rows" if device.type == "cpu" else "pixels")
        source = (context.folder / "kernels.cl").read_text(encoding="utf-8")
        program = device.build(source, [f"-DFILTER={FILTERS[name]}"], context.cache)
        tables = [
            self._upload(table)
            for table in (*row_tables(source_height, height, name == "gaussian"), *column_tables(source_width, width))
        ]
        self._kernel = device.kernel(program, f"resize_{choice}")
        if choice == "rows":
            rows = -(-height // (_BANDS_PER_UNIT * device.compute_units))
            bands = -(-height // rows)
            share = _scratch_bytes(source_width, width)
            scratch = device.allocate(bands * share)
            self._buffers.append(scratch)
            numbers = (share, source_width, source_height, width, height, rows)
            self._global_size, self._local_size = (bands,), (1,)
            self._kernel.set_args(None, None, *tables, scratch, *map(np.int32, numbers))
        else:
            self._global_size, self._local_size = (width, height), None
            self._kernel.set_args(None, None, *tables, *map(np.int32, (source_width, source_height, width)))
        return {"frames": TensorSpec((height, width, 3))}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Queue,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Scale one frame: one launch, not waited for."""
        return self.run(queue, inputs["frames"].device, outputs["frames"].device, wait_for)

    def run(self, queue: Queue, source: DeviceBuffer, out: DeviceBuffer, wait_for: Sequence[Event]) -> Event:
        """Enqueue the kernel from one buffer to another and return its event; nothing is flushed.

        Frames share scratch memory, so they must all go through the same in-order queue.
        """
        assert self._device is not None and self._kernel is not None, "setup comes first"
        self._kernel.set_arg(0, source)
        self._kernel.set_arg(1, out)
        return self._device.launch(queue, self._kernel, self._global_size, self._local_size, wait_for)

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Release the kernel and the tables."""
        self._kernel = None
        while self._device is not None and self._buffers:
            self._device.release(self._buffers.pop())

    def _upload(self, table: Array) -> DeviceBuffer:
        assert self._device is not None
        self._buffers.append(self._device.upload(table))
        return self._buffers[-1]


def _source_size(context: SetupContext) -> tuple[int, int]:
    """Height and width of the pictures that arrive."""
    spec = context.inputs.get("frames")
    if spec is None or len(spec.shape) != 3 or spec.shape[2] != 3 or spec.dtype != "uint8" or min(spec.shape) < 1:
        got = "nothing" if spec is None else f"{spec.dtype} {list(spec.shape)}"
        raise InputError(f"{context.name}: input frames must be uint8 [height, width, 3], but carries {got}.")
    return spec.shape[0], spec.shape[1]


def _size(context: SetupContext, name: str) -> int:
    value = context.parameters.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not _LEAST_SIZE <= value <= _MOST_SIZE:
        raise InputError(
            f"{context.name}: {name} is {value!r}; give a whole number from {_LEAST_SIZE} to {_MOST_SIZE}.",
            parameter=name,
        )
    return value


def _scratch_bytes(source_width: int, width: int) -> int:
    """Scratch memory of one band: see resize_rows in kernels.cl."""
    lines = 2 * (3 * source_width + 2 * _MARGIN) * 2  # two rows of 16-bit numbers with margins
    columns = 4 * width * (2 + 2 + 1)  # left and right neighbours, pixels
    ring = 2 * 3 * source_width  # two filtered rows
    return -(-(lines + columns + ring) // 64) * 64
