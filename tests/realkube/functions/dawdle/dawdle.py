# SPDX-License-Identifier: Apache-2.0
"""Waits for every picture, and paints it in the shade of its Pod."""

import hashlib
import socket
import time


class Dawdle:
    """A slow function, which breaks where it is told to."""

    def setup(self, context):
        self._seconds = context.parameters["seconds"]
        self._fail_at = context.parameters["failAt"]
        self._megabytes = context.parameters["megabytes"]
        self._count = 0
        self._held = b""
        self._shade = hashlib.sha256(socket.gethostname().encode()).digest()[0]
        return {"frames": context.inputs["frames"]}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        self._count += 1
        if self._fail_at and self._count >= self._fail_at:
            raise RuntimeError("dawdle breaks")
        if self._megabytes and self._count == 10:
            self._held = b"x" * (self._megabytes << 20)
        time.sleep(self._seconds)
        outputs["frames"].array[...] = self._shade

    def finish(self):
        return {}

    def close(self, *, discard=False):
        pass
