# SPDX-License-Identifier: Apache-2.0
"""Small OpenCL functions of which nothing but the hop from one to the next costs anything: for hop_overhead.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelchain_runtime.engine.function import EndOfStream, SourceInfo, TensorSpec

SOURCE = """
__kernel void fill(__global uchar *out, int row) {
    __global uchar *to = out + get_global_id(0) * row;
    for (int i = 0; i < row; i++) to[i] = i;
}
__kernel void add(__global const uchar *in, __global uchar *out, int row) {
    __global const uchar *from = in + get_global_id(0) * row;
    __global uchar *to = out + get_global_id(0) * row;
    for (int i = 0; i < row; i++) to[i] = from[i] + 1;
}
__kernel void look(__global const uchar *in, __global int *sums, int row) {
    __global const uchar *from = in + get_global_id(0) * row;
    int sum = 0;
    for (int i = 0; i < row; i++) sum += from[i];
    sums[get_global_id(0)] = sum;
}
__kernel void fill_none(__global uchar *out, int row) {}
__kernel void add_none(__global const uchar *in, __global uchar *out, int row) {}
__kernel void look_none(__global const uchar *in, __global int *sums, int row) {}
"""


class _Kernel:
    """What the three have in common: a kernel over the rows of a picture, or one that does nothing."""

    kernel_name = ""

    def setup(self, context: Any) -> dict[str, TensorSpec]:
        self.device, parameters = context.device, context.parameters
        height, width, work = parameters["height"], parameters["width"], parameters["work"]
        name = self.kernel_name if work else f"{self.kernel_name}_none"
        self.kernel = self.device.kernel(self.device.build(SOURCE, (), context.cache), name)
        self.row = np.int32(width * 3)
        self.size = (height,) if work else (1,)
        self.spec = TensorSpec((height, width, 3))
        self.begin(parameters)
        return {"frames": self.spec}

    def begin(self, parameters: Any) -> None:
        self.kernel.set_arg(2, self.row)

    def finish(self) -> dict[str, Any]:
        return {}

    def close(self, *, discard: bool = False) -> None:
        pass


class Source(_Kernel):
    kernel_name = "fill"

    def begin(self, parameters: Any) -> None:
        self.kernel.set_arg(1, self.row)
        self.frames = parameters["frames"]
        self.info = SourceInfo((parameters["width"], parameters["height"]), 0.0, self.frames)

    def enqueue(self, frame: Any, inputs: Any, outputs: Any, queue: Any, wait_for: Any) -> Any:
        if frame.number == self.frames:
            raise EndOfStream
        self.kernel.set_arg(0, outputs["frames"].device)
        return self.device.launch(queue, self.kernel, self.size, None, wait_for)


class Step(_Kernel):
    kernel_name = "add"

    def enqueue(self, frame: Any, inputs: Any, outputs: Any, queue: Any, wait_for: Any) -> Any:
        self.kernel.set_arg(0, inputs["frames"].device)
        self.kernel.set_arg(1, outputs["frames"].device)
        return self.device.launch(queue, self.kernel, self.size, None, wait_for)


class Sink(_Kernel):
    kernel_name = "look"

    def setup(self, context: Any) -> dict[str, TensorSpec]:
        super().setup(context)
        return {}

    def begin(self, parameters: Any) -> None:
        super().begin(parameters)
        self.sums = self.device.allocate(4 * parameters["height"])
        self.kernel.set_arg(1, self.sums)

    def enqueue(self, frame: Any, inputs: Any, outputs: Any, queue: Any, wait_for: Any) -> Any:
        self.kernel.set_arg(0, inputs["frames"].device)
        return self.device.launch(queue, self.kernel, self.size, None, wait_for)

    def close(self, *, discard: bool = False) -> None:
        self.device.release(self.sums)
