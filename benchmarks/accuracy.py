# SPDX-License-Identifier: Apache-2.0
"""Boxes on the first 100 frames of OpenCV's vtest.avi: our kernels and onnxruntime; prints one JSON document.

The video is in Debian's package opencv-doc (/usr/share/doc/opencv-doc/examples/data/vtest.avi); pass its path, or that
of any other clip. Frames go through decoding by PyAV and filter-resize (no filter) to both implementations.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
from side_by_side import cpu, set_up

from accelchain_runtime.devices.base import Array, HostDevice
from accelchain_runtime.functions.detect_person.decode import anchors, decode
from accelchain_runtime.functions.detect_person.host import DetectPersonOnnxruntime
from accelchain_runtime.functions.detect_person.model import INPUT_SIZE
from accelchain_runtime.functions.detect_person.opencl import DetectPerson
from accelchain_runtime.functions.detect_person.ports import DETECTIONS, PICTURE
from accelchain_runtime.functions.filter_resize.opencl import FilterResize

VTEST = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FRAMES = 100
GOALS = {0.4: 410, 0.5: 374}
"""Threshold -> boxes on vtest.avi, reached to 2 %."""
IOU = 0.5


class Chain:
    """filter-resize and both detectors on one device."""

    def __init__(self, height: int, width: int) -> None:
        self.device = cpu()
        self.size = (width, height)
        self.resize = set_up(
            FilterResize(), "filter-resize", self.device, (height, width, 3), width=INPUT_SIZE, height=INPUT_SIZE
        )
        self.ours = {
            threshold: set_up(DetectPerson(), "detect-person", self.device, PICTURE.shape, threshold=threshold, iou=IOU)
            for threshold in GOALS
        }
        self.theirs = set_up(DetectPersonOnnxruntime(), "detect-person", HostDevice(), PICTURE.shape)
        self.small = self.device.allocate(PICTURE.nbytes)
        self.found = self.device.allocate(DETECTIONS.nbytes)

    def read(self, buffer: Any, shape: tuple[int, ...], dtype: str) -> Array:
        """What a buffer holds."""
        array = np.empty(shape, dtype)
        self.device.read(self.device.queue, buffer, array).wait()
        return array

    def frame(self, picture: Array) -> tuple[dict[str, int], float]:
        """Boxes of one frame by implementation and threshold, and the largest difference of raw outputs."""
        source = self.device.upload(picture)
        self.resize.run(self.device.queue, source, self.small, ()).wait()
        raw_boxes, raw_classes = raw = self.theirs.raw_outputs(self.read(self.small, PICTURE.shape, PICTURE.dtype))
        boxes = {}
        for threshold, function in self.ours.items():
            function.run(self.device.queue, self.small, self.found, self.size, ()).wait()
            ours = self.read(self.found, DETECTIONS.shape, DETECTIONS.dtype)
            theirs = decode(raw_boxes, raw_classes, anchors(), threshold, IOU, self.size)
            boxes[f"opencl {threshold}"] = int((ours[:, 4] > 0).sum())
            boxes[f"onnxruntime {threshold}"] = int((theirs[:, 4] > 0).sum())
        outputs = next(iter(self.ours.values())).raw_outputs
        differences = (np.abs(self.read(o, r.shape, "float32") - r).max() for o, r in zip(outputs, raw, strict=True))
        self.device.release(source)
        return boxes, float(max(differences))


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, default=VTEST)
    video = parser.parse_args().video
    if not video.is_file():
        parser.error(f"{video} is missing; install Debian's opencv-doc, or name a video")
    total: Counter[str] = Counter()
    worst, count = 0.0, 0
    chain: Chain | None = None
    with av.open(str(video)) as container:
        for _, picture in zip(range(FRAMES), container.decode(video=0), strict=False):
            array = picture.to_ndarray(format="rgb24")
            chain = chain or Chain(*array.shape[:2])
            boxes, difference = chain.frame(array)
            total.update(boxes)
            worst, count = max(worst, difference), count + 1
    document = {"video": video.name, "frames": count, "boxes": total, "raw_output_error": worst}
    if video == VTEST:
        document["goals"] = GOALS
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
