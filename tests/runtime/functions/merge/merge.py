# SPDX-License-Identifier: Apache-2.0
"""Joins inputs that must all hold the frame's number."""

from __future__ import annotations

import time


class Merge:
    def setup(self, context):
        self.sleep = context.parameters["sleep"]
        return {"frames": context.inputs["a"]}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        time.sleep(self.sleep)
        for name, buffer in inputs.items():
            if not (buffer.array == frame.number % 256).all():
                raise AssertionError(f"input {name} of frame {frame.number} holds {buffer.array.flat[0]}")
            if buffer.array.flags.writeable:
                raise AssertionError("an input must be read-only")
        outputs["frames"].array[:] = inputs["a"].array

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
