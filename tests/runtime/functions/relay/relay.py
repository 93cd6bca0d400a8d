# SPDX-License-Identifier: Apache-2.0
"""Copies frames, slowly if wanted; its second output shows ports that nobody reads."""

from __future__ import annotations

import time

from accelchain_runtime.engine.function import TensorSpec


class Relay:
    def setup(self, context):
        self.sleep = context.parameters["sleep"]
        return {"frames": context.inputs["frames"], "spare": TensorSpec((4,), "float32")}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        time.sleep(self.sleep)
        outputs["frames"].array[:] = inputs["frames"].array
        outputs["spare"].array[:] = frame.number

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
