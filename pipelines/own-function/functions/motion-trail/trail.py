# SPDX-License-Identifier: Apache-2.0
"""A function in Python: each picture is mixed with what is left of those before it."""

import numpy as np


class MotionTrail:
    """Follows the protocol of accelchain_runtime.engine.function; ``api: host`` runs it in a thread of its own."""

    def setup(self, context):
        """The output is as large as the input."""
        self._keep = float(context.parameters["keep"])
        self._trail = None
        return {"frames": context.inputs["frames"]}

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        """Mix one picture: float32 [height, width, 3], 0 to 255."""
        picture = inputs["frames"].array
        if self._trail is None:
            self._trail = picture.astype(np.float32)
        self._trail *= self._keep
        self._trail += np.multiply(picture, 1 - self._keep, dtype=np.float32)
        outputs["frames"].array[...] = self._trail

    def finish(self):
        """No results beside the pictures."""
        return {}

    def close(self, *, discard=False):
        """Forget the trail."""
        self._trail = None
