# SPDX-License-Identifier: Apache-2.0
"""filter-resize: our OpenCL kernel against OpenCV, side by side, all cores each; prints one JSON document.

The picture is already on the device, as in a chain; OpenCV has it in host memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from side_by_side import compare, cpu, set_up

from accelchain_runtime.devices.base import Array, Device, DeviceBuffer
from accelchain_runtime.functions.filter_resize.opencl import FILTERS, FilterResize

SOURCES = ((768, 576), (1920, 1080))
TARGET = (300, 300)
GOAL = 2.0
SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
OPENCV: dict[str, Callable[[Array], Array]] = {
    "none": lambda picture: picture,
    "gaussian": lambda picture: cv2.GaussianBlur(picture, (3, 3), 0),
    "median": lambda picture: cv2.medianBlur(picture, 3),
    "sharpen": lambda picture: cv2.filter2D(picture, -1, SHARPEN),
}


def scale(ours: FilterResize, device: Device, source: DeviceBuffer, out: DeviceBuffer) -> None:
    """Scale by our kernel, and wait."""
    ours.run(device.queue, source, out, ()).wait()


def scale_by_opencv(name: str, picture: Array) -> None:
    """Filter and scale by OpenCV."""
    cv2.resize(OPENCV[name](picture), TARGET)


def main() -> None:
    """Measure and print."""
    device = cpu()
    cv2.setNumThreads(device.compute_units)
    out = device.allocate(TARGET[0] * TARGET[1] * 3)
    figures = {}
    for width, height in SOURCES:
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        source = device.upload(picture)
        for name in FILTERS:
            ours = set_up(
                FilterResize(), "filter-resize", device, picture.shape, width=TARGET[0], height=TARGET[1], filter=name
            )
            figures[f"{width}x{height} {name}"] = compare(
                partial(scale, ours, device, source, out), partial(scale_by_opencv, name, picture)
            )
            ours.close()
    print(json.dumps({"target": TARGET, "goal_ratio_min": GOAL, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
