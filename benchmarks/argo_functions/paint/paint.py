# SPDX-License-Identifier: Apache-2.0
"""A source that costs next to nothing: what is measured is the way from one function to the next."""

from accelchain_runtime.engine.function import EndOfStream, SourceInfo, TensorSpec


class Paint:
    """A source of plain pictures: ``frames`` uint8 [height, width, 3]."""

    def setup(self, context):
        given = context.parameters
        self._frames = given["frames"]
        self._first = context.start_frame
        self.info = SourceInfo((given["width"], given["height"]), 25.0, self._frames - self._first)
        return {"frames": TensorSpec((given["height"], given["width"], 3))}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        number = self._first + frame.number
        if number >= self._frames:
            raise EndOfStream
        outputs["frames"].array[...] = number % 256

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
