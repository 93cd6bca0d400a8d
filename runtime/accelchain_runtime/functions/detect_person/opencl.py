# SPDX-License-Identifier: Apache-2.0
"""detect-person in hand-written kernels: network, box decoding and suppression, nothing passes through the host.

Heads run on a queue of their own beside the backbone, and the boxes after them. Everything that a frame needs belongs
to the instance, so the next frame may be enqueued at once: the launch that overwrites a map waits for the heads that
still read it, and in-order queues do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelchain_runtime.devices.base import Device, DeviceBuffer, Queue
from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.functions.detect_person.decode import MAX_DETECTIONS, anchors, logit
from accelchain_runtime.functions.detect_person.model import INPUT_SIZE, UNBOUNDED
from accelchain_runtime.functions.detect_person.pixels import Pixels
from accelchain_runtime.functions.detect_person.ports import DETECTIONS, PICTURE, Settings
from accelchain_runtime.functions.detect_person.rows import Rows
from accelchain_runtime.functions.detect_person.steps import Launch, Layout, Memory, Step
from accelchain_runtime.functions.detect_person.weights import load

_OUT_ARGUMENT, _WIDTH_ARGUMENT, _HEIGHT_ARGUMENT = 6, 11, 12
"""Indices among the arguments of the kernel ``find_boxes``."""


class DetectPerson:
    """Finds people in uint8 RGB pictures of 300 x 300 pixels.

    CPUs run rows.cl, other devices pixels.cl; their raw outputs differ by rounding only.
    """

    def __init__(self, layout: Callable[[Device, Path, Path | None, Memory], Layout] | None = None) -> None:
        """Choose the kernels by the device's type, or take those of ``layout``."""
        self._choice = layout
        self._device: Device | None = None
        self._memory: Memory | None = None
        self._backbone: list[Step] = []
        self._heads: dict[int, list[Step]] = {}
        self._boxes: Launch | None = None
        self._side: Queue = None
        self._reading: dict[int, Event] = {}
        """Map -> the last enqueued head that reads it."""

    @classmethod
    def prepare(cls, device: Device, folder: Path, cache: Path | None) -> None:
        """Fold the weights into ``cache`` and compile the kernels.

        Drivers may compile at the first launch only, so one frame runs.
        """
        function = cls()
        function.setup(
            SetupContext(
                name="prepare",
                parameters={},
                inputs={"frames": PICTURE},
                device=device,
                folder=folder,
                cache=cache,
            )
        )
        picture = device.upload(np.zeros(PICTURE.shape, np.uint8))
        detections = device.allocate(DETECTIONS.nbytes)
        function.run(device.queue, picture, detections, (INPUT_SIZE, INPUT_SIZE), ()).wait()
        function.close()
        device.release(picture)
        device.release(detections)

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Load the weights, compile the kernels, allocate the maps.

        Returns:
            ``detections``: float32 [100, 6].

        Raises:
            InputError: ``frames`` isn't uint8 [300, 300, 3], or a parameter is outside 0..1.
        """
        settings = Settings.of(context)
        device: Device = context.device
        self._device = device
        network = load(context.folder, context.cache)
        self._memory = memory = Memory(device, network)
        choice = self._choice or (Rows if device.type == "cpu" else Pixels)
        layout = choice(device, context.folder, context.cache, memory)
        for step in layout.steps(network):
            if step.is_head and step.source is not None:
                self._heads.setdefault(step.source, []).append(step)
            else:
                self._backbone.append(step)
        self._boxes = _box_launch(device, memory, context, settings, layout.lanes)
        self._side = device.new_queue()
        return {"detections": DETECTIONS}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Queue,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Find the people of one frame; nothing is waited for."""
        return self.run(queue, inputs["frames"].device, outputs["detections"].device, frame.source_size, wait_for)

    def run(
        self,
        queue: Queue,
        picture: DeviceBuffer,
        detections: DeviceBuffer,
        source_size: tuple[int, int],
        wait_for: Sequence[Event],
    ) -> Event:
        """Enqueue the network and the boxes; return the event of the last command.

        Args:
            queue: in-order queue of the backbone, the same for every frame.
            picture: uint8 [300, 300, 3].
            detections: float32 [100, 6], written.
            source_size: (width, height) in pixels that boxes refer to.
            wait_for: when the picture is ready and ``detections`` free.
        """
        device, boxes = self._device, self._boxes
        assert device is not None and boxes is not None, "setup comes first"
        waits = list(wait_for)
        for step in self._backbone:
            reader = self._reading.get(step.result)
            if step.picture_argument is not None:
                step.launches[0].kernel.set_arg(step.picture_argument, picture)
            done = self._enqueue(queue, step, [*waits, reader] if reader else waits)
            waits = []
            for head in self._heads.get(step.result, ()):
                self._reading[step.result] = self._enqueue(self._side, head, [done])
        device.flush(queue)  # before the side queue is: it waits for this one's events
        for index, value in (
            (_OUT_ARGUMENT, detections),
            (_WIDTH_ARGUMENT, np.float32(source_size[0])),
            (_HEIGHT_ARGUMENT, np.float32(source_size[1])),
        ):
            boxes.kernel.set_arg(index, value)
        event = device.launch(self._side, boxes.kernel, boxes.global_size, boxes.local_size)
        device.flush(self._side)
        return event

    @property
    def raw_outputs(self) -> Sequence[DeviceBuffer]:
        """The network's own outputs of the last frame: boxes float32 [1917, 4], classes float32 [1917, 2]."""
        assert self._memory is not None, "setup comes first"
        return self._memory.outputs

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Release kernels, queue and memory."""
        self._backbone, self._heads, self._boxes, self._reading = [], {}, None, {}
        self._side = None
        if self._memory is not None:
            self._memory.release()
            self._memory = None

    def _enqueue(self, queue: Queue, step: Step, wait_for: Sequence[Event]) -> Event:
        assert self._device is not None
        for launch in step.launches:
            event = self._device.launch(queue, launch.kernel, launch.global_size, launch.local_size, wait_for)
            wait_for = ()
        return event


def _box_launch(device: Device, memory: Memory, context: SetupContext, settings: Settings, lanes: int) -> Launch:
    # Without relaxed mathematics: comparisons must hold for infinities and NaN.
    source = (context.folder / "boxes.cl").read_text(encoding="utf-8")
    kernel = device.kernel(device.build(source, [f"-DLANES={lanes}"], context.cache), "find_boxes")
    table = anchors()
    count = len(table)
    least = np.clip(logit(settings.threshold), -UNBOUNDED, UNBOUNDED)
    kernel.set_args(
        *memory.outputs,
        memory.upload(table),
        memory.allocate(16 * count),
        memory.allocate(4 * count),
        memory.allocate(4 * count),
        None,  # detections, like the size of the source, come with the frame
        *map(np.int32, (count, MAX_DETECTIONS)),
        *map(np.float32, (least, settings.iou, *context.source_size)),
    )
    return Launch(kernel, (lanes,), (lanes,))
