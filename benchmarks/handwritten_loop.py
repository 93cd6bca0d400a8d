# SPDX-License-Identifier: Apache-2.0
"""The demo chain as a loop written by hand: the yardstick that the engine is held against.

The same libraries and kernels as the chain in pipelines/person-detection, four frames in flight, decoding and encoding
in threads of their own, nothing allocated and nothing copied a frame that need not be: pictures and detections are
memory that the CPU's OpenCL device and the host share. No plan, no status, no links: only this chain on this device.
Run as a script it prints one line of JSON, the best of some runs.
"""

from __future__ import annotations

import argparse
import json
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from side_by_side import cpu, set_up

from accelchain_runtime.devices.base import HostDevice, aligned
from accelchain_runtime.engine.function import EndOfStream, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.functions.decode_video.host import DecodeVideo
from accelchain_runtime.functions.detect_person.opencl import DetectPerson
from accelchain_runtime.functions.draw_boxes.host import DrawBoxes
from accelchain_runtime.functions.encode_video.host import EncodeVideo
from accelchain_runtime.functions.filter_resize.opencl import FilterResize
from accelchain_runtime.functions.write_detections.host import WriteDetections

IN_FLIGHT = 4
SIDE = 300
DEADLINE = 60.0
"""Seconds without a frame after which the loop gives up: one of its threads has failed."""
DETECTIONS = TensorSpec((100, 6), "float32")
CLIP = Path(__file__).parents[1] / "pipelines/person-detection/people.mp4"


@dataclass
class Slot:
    """One frame's memory, as the host and as the device see it."""

    picture: Any
    picture_buffer: Any
    small_buffer: Any
    detections: Any
    detections_buffer: Any
    frame: FrameInfo = field(default_factory=lambda: FrameInfo(0, 0.0, (0, 0)))
    done: Any = None


def run(clip: Path, out_dir: Path, threshold: float = 0.4) -> dict[str, float]:
    """Find the people of a clip; write annotated.mp4 and detections.jsonl into ``out_dir``.

    Returns:
        frames, seconds and cpu_seconds, from the first frame to the end of the last file; setup is not counted.
    """
    device = cpu()
    decode = DecodeVideo()
    spec = decode.setup(_context(uri=str(clip)))["frames"]
    ports = {"frames": spec, "detections": DETECTIONS}
    resize = set_up(FilterResize(), "filter-resize", device, spec.shape, width=SIDE, height=SIDE, filter="none")
    detect = set_up(DetectPerson(), "detect-person", device, (SIDE, SIDE, 3), threshold=threshold, iou=0.5)
    draw, encode, write = DrawBoxes(), EncodeVideo(), WriteDetections()
    draw.setup(_context(ports))
    encode.setup(_context(ports, rate=decode.info.rate, uri=str(out_dir / "annotated.mp4")))
    write.setup(_context(ports, uri=str(out_dir / "detections.jsonl")))
    annotated = SimpleNamespace(array=aligned(spec.shape))
    free: queue.Queue[Slot] = queue.Queue()
    decoded: queue.Queue[Slot | None] = queue.Queue()
    enqueued: queue.Queue[Slot | None] = queue.Queue()
    for _ in range(IN_FLIGHT):
        free.put(_slot(device, spec))

    def decoding() -> None:
        number = 0
        try:
            while True:
                slot = free.get(timeout=DEADLINE)
                slot.frame = FrameInfo(number, 0.0, (0, 0))
                decode.enqueue(slot.frame, {}, {"frames": SimpleNamespace(array=slot.picture)}, None, ())
                decoded.put(slot)
                number += 1
        except EndOfStream:
            pass
        finally:
            decoded.put(None)

    def encoding() -> int:
        frames = 0
        while (slot := enqueued.get(timeout=DEADLINE)) is not None:
            slot.done.wait()
            found = SimpleNamespace(array=slot.detections)
            source = {"frames": SimpleNamespace(array=slot.picture), "detections": found}
            draw.enqueue(slot.frame, source, {"frames": annotated}, None, ())
            write.enqueue(slot.frame, {"detections": found}, {}, None, ())
            frame = slot.frame
            free.put(slot)  # everything that is still to do is done on the annotated copy
            encode.enqueue(frame, {"frames": annotated}, {}, None, ())
            frames += 1
        encode.finish()
        write.finish()
        encode.publish()
        write.publish()
        return frames

    started, cpu_started = time.perf_counter(), time.process_time()
    source, sink = _thread(decoding), _thread(encoding)
    while (slot := decoded.get(timeout=DEADLINE)) is not None:
        resize.run(device.queue, slot.picture_buffer, slot.small_buffer, ())
        slot.done = detect.run(device.queue, slot.small_buffer, slot.detections_buffer, slot.frame.source_size, ())
        device.flush(device.queue)
        enqueued.put(slot)
    enqueued.put(None)
    source.result()
    figures = {"frames": sink.result()}
    figures["seconds"] = time.perf_counter() - started
    figures["cpu_seconds"] = time.process_time() - cpu_started
    for function in (decode, resize, detect, draw, encode, write):
        function.close()
    return figures


def _context(inputs: dict[str, TensorSpec] | None = None, rate: float = 0.0, **parameters: Any) -> SetupContext:
    return SetupContext("loop", parameters, inputs or {}, HostDevice(), source_rate=rate)


def _slot(device: Any, spec: TensorSpec) -> Slot:
    picture, detections = aligned(spec.shape), aligned(DETECTIONS.shape, DETECTIONS.dtype)
    small = device.allocate(SIDE * SIDE * 3)
    return Slot(picture, device.wrap(picture), small, detections, device.wrap(detections))


def _thread(work: Callable[[], Any]) -> Future[Any]:
    """Run ``work`` in a thread; its result or exception is the future's."""
    future: Future[Any] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=body, daemon=True).start()
    return future


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(options.clip, Path(folder)) for _ in range(options.runs)]
    best = min(runs, key=lambda figures: figures["seconds"])
    best["frames_per_second"] = best["frames"] / best["seconds"]
    print(json.dumps({key: round(value, 3) for key, value in best.items()}))


if __name__ == "__main__":
    main()
