# SPDX-License-Identifier: Apache-2.0
"""A source on a device: frame n is filled with n."""

from __future__ import annotations

import numpy as np

from accelchain_runtime.engine.function import EndOfStream, SourceInfo, TensorSpec


class ClSource:
    def setup(self, context):
        self.device, self.p = context.device, context.parameters
        source = (context.folder / "fill.cl").read_text()
        self.kernel = self.device.kernel(self.device.build(source, (), context.cache), "fill")
        self.kernel.set_args(None, np.int32(0), np.int32(self.p["width"] * 3))
        self.info = SourceInfo((self.p["width"], self.p["height"]), 0.0, self.p["frames"])
        return {"frames": TensorSpec((self.p["height"], self.p["width"], 3))}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        if frame.number == self.p["frames"]:
            raise EndOfStream
        self.kernel.set_arg(0, outputs["frames"].device)
        self.kernel.set_arg(1, np.int32(frame.number % 256))
        return self.device.launch(queue, self.kernel, (self.p["height"],), None, wait_for)

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
