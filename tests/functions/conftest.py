# SPDX-License-Identifier: Apache-2.0
"""A real OpenCL device, and functions run on it the way the engine runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.devices.opencl import OpenCL, OpenCLDevice
from accelchain_runtime.engine.function import Array, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.registry import find

FUNCTIONS = {folder.name: folder.folder for folder in find()}


@dataclass
class Slot:
    """A frame's bytes, as ``engine.function.Buffer`` wants them: on a device, or on the host."""

    spec: TensorSpec
    device: Any = None
    array: Any = None


class Runner:
    """Runs one function frame by frame on one device, as the engine would."""

    def __init__(self, device: Any, function: Any, context: SetupContext) -> None:
        self.device, self.function = device, function
        self.outputs = function.setup(context)
        self._held: list[Any] = []

    def slot(self, array: Array | None = None, spec: TensorSpec | None = None) -> Slot:
        """A slot that holds a copy of ``array``, or one of ``spec`` filled with garbage."""
        if array is None:
            assert spec is not None
            array = np.full(spec.nbytes, 0xAB, np.uint8).view(spec.dtype).reshape(spec.shape)
        spec = TensorSpec(array.shape, str(array.dtype))
        if self.device.api == "host":
            return Slot(spec, array=array)
        self._held.append(self.device.upload(array))
        return Slot(spec, device=self._held[-1])

    def read(self, slot: Slot, wait_for: Any = ()) -> Array:
        """What the slot holds."""
        if slot.array is not None:
            return slot.array
        array = np.empty(slot.spec.shape, slot.spec.dtype)
        self.device.read(self.device.queue, slot.device, array, wait_for).wait()
        return array

    def enqueue(self, inputs: dict[str, Slot], source_size: tuple[int, int]) -> tuple[dict[str, Slot], list[Any]]:
        """Enqueue one frame; returns the output slots and what to wait for."""
        outputs = {name: self.slot(spec=spec) for name, spec in self.outputs.items()}
        frame = FrameInfo(number=0, time=0.0, source_size=source_size)
        queue = None if self.device.api == "host" else self.device.queue
        event = self.function.enqueue(frame, inputs, outputs, queue, [])
        return outputs, [] if event is None else [event]

    def __call__(self, array: Array, source_size: tuple[int, int] | None = None) -> Array:
        """One frame through the input port ``frames``; returns what the only output port holds."""
        size = source_size or (array.shape[1], array.shape[0])
        outputs, events = self.enqueue({"frames": self.slot(array)}, size)
        (slot,) = outputs.values()
        return self.read(slot, events)

    def close(self) -> None:
        """Release the function and every slot."""
        self.function.close()
        while self._held:
            self.device.release(self._held.pop())


@pytest.fixture(scope="session")
def opencl_device() -> OpenCLDevice:
    """The first OpenCL device, usually PoCL's CPU."""
    api = OpenCL()
    if not api.listings:
        pytest.fail("no OpenCL device; install the extra: accelchain[cpu]")
    name = next(iter(api.listings))
    return api.open([name])[name]


@pytest.fixture
def start(opencl_device: OpenCLDevice) -> Iterator[Callable[..., Runner]]:
    """``start(function, "filter-resize", frames=(h, w, 3), width=300, …)`` sets up; closed after the test.

    ``host=True`` binds it to the host, ``cache`` gives it a cache; other keywords are its parameters.
    """
    runners: list[Runner] = []

    def run(
        function: Any,
        name: str,
        *,
        frames: tuple[int, ...],
        host: bool = False,
        cache: Path | None = None,
        **parameters: Any,
    ) -> Runner:
        device = HostDevice() if host else opencl_device
        context = SetupContext(
            name=name.split("-")[0],
            parameters=parameters,
            inputs={"frames": TensorSpec(frames)},
            device=device,
            folder=FUNCTIONS[name],
            cache=cache,
        )
        runners.append(Runner(device, function, context))
        return runners[-1]

    yield run
    for runner in runners:
        runner.close()
