# SPDX-License-Identifier: Apache-2.0
"""A source whose frame n is filled with n; endless where frames is negative; frame ``hangs`` never comes."""

from __future__ import annotations

import threading
import time

from accelchain_runtime.engine.function import EndOfStream, SourceInfo, TensorSpec


class CountSource:
    def setup(self, context):
        self.p = context.parameters
        frames = self.p["frames"]
        self.info = SourceInfo((self.p["width"], self.p["height"]), 25.0, None, self.p["recorded"])
        if frames >= 0:
            left = max(frames - context.start_frame, 0)
            self.info = SourceInfo(self.info.size, 25.0, left, self.p["recorded"])
        return {"frames": TensorSpec((self.p["height"], self.p["width"], 3))}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        if frame.number == self.p["hangs"]:
            threading.Event().wait()
        if 0 <= self.p["frames"] <= frame.number:
            raise EndOfStream(self.p.get("warning"))
        time.sleep(self.p["sleep"])
        outputs["frames"].array[:] = frame.number % 256
        frame.time = frame.number / 25
        frame.source_size = self.info.size
        frame.meta["n"] = frame.number

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
