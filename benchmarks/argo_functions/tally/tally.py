# SPDX-License-Identifier: Apache-2.0
"""A sink that looks at all that it gets, and leaves little: what is measured is how it came."""

import json

from accelchain_runtime.functions.publication import open_sink


class Tally:
    """A sink of pictures. Its result holds the sum of each one's 64-bit words, modulo 2^64."""

    deferred = True

    def setup(self, context):
        self._sums = []
        self._output = open_sink(context.parameters["uri"], context)
        return {}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        words = inputs["frames"].array.reshape(-1).view("uint64")
        self._sums.append(int(words.sum(dtype="uint64")))

    def finish(self):
        self._output.file.write(json.dumps(self._sums).encode())
        self._output.complete()
        return {"frames": len(self._sums)}

    def publish(self):
        self._output.publish()

    def close(self, *, discard=False):
        self._output.discard()
