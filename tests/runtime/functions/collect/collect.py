# SPDX-License-Identifier: Apache-2.0
"""A sink that reports which frames it saw, and with which values; publishes ``uri`` only when it is whole."""

from __future__ import annotations

import time
from pathlib import Path

from accelchain_runtime.engine.function import FunctionError


class Collect:
    def setup(self, context):
        self.sleep = context.parameters["sleep"]
        self.size = context.source_size
        uri = context.parameters.get("uri")
        self.part = Path(uri + context.temporary_suffix) if uri else None
        self.whole = Path(uri) if uri else None
        self.deferred = bool(uri)
        self.fails = context.parameters["fails"]
        self.numbers, self.values = [], []
        return {}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        time.sleep(self.sleep)
        if self.part:
            with self.part.open("a") as stream:
                stream.write(f"{frame.number}\n")
        self.numbers.append(frame.number)
        self.values.append(int(inputs["frames"].array.flat[0]))
        if len({*inputs["frames"].array.flat}) != 1:
            raise AssertionError("a torn frame")

    def finish(self):
        return {"numbers": self.numbers, "values": self.values, "size": list(self.size)}

    def publish(self):
        if self.fails:
            raise FunctionError("the folder is gone.")
        if self.part:
            self.part.touch()
            self.part.rename(self.whole)

    def close(self, *, discard=False):
        if discard and self.part:
            self.part.unlink(missing_ok=True)
